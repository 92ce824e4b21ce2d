"""How fast the dispatcher decides, without a broker: fold, decide, encode and fold back, over a large backlog.
CPU time of one process, so that a busy machine does not spoil the figures much.

python -m bench.dispatch [--waiting 100000] [--agents 2000] [--teams 20]
"""

from __future__ import annotations

import argparse
import time
import uuid

from services.dispatcher.decide import Evidence, Settings, State, World, decide, faults
from shared import codec, events
from shared.events import Author, ConversationAssigned, Event
from shared.ids import (
    AccountId,
    AgentId,
    ContactId,
    ConversationId,
    DeviceId,
    InboxId,
    MessageId,
    TeamId,
)

ACCOUNT = AccountId(str(uuid.uuid4()))


class Run:
    """A world that is fed encoded events, as the log would feed it, and counts its own time."""

    def __init__(self) -> None:
        self.world = World(State(), Settings(burst=1_000_000))
        self.position = 0
        self.now_ns = time.time_ns()

    def fold(self, payloads: list[bytes]) -> float:
        """Decode and fold; seconds."""
        began = time.process_time()
        for payload in payloads:
            self.position += 1
            self.now_ns += 1000
            self.world.evolve(codec.decode_event(payload), self.position, self.now_ns)
        return time.process_time() - began

    def decide_all(self) -> tuple[int, int, float]:
        """Rounds until there is nothing to decide: (decisions, assignments, seconds)."""
        decisions = assignments = 0
        began = time.process_time()
        while True:
            evidence = Evidence(stored=self.position)
            found = decide(self.world, self.now_ns, evidence=evidence, writer="bench")
            if not found:
                return decisions, assignments, time.process_time() - began
            decisions += len(found)
            assignments += sum(isinstance(e, ConversationAssigned) for e in found)
            self.fold([codec.encode_event(event) for event in found])


def configuration(agents: int, teams: int, capacity: int) -> list[Event]:
    """Agents dealt out to teams, an inbox a team that asks for one of three skills."""
    agent_ids = [AgentId(str(uuid.uuid4())) for _ in range(agents)]
    saved: list[Event] = [
        events.AgentSaved(
            account_id=ACCOUNT,
            writer="",
            agent_id=agent_id,
            name=b"",
            email=b"",
            capacity=capacity,
            skills={f"skill{n % 3}": n % 5 + 1, "lang:zh": 1},
        )
        for n, agent_id in enumerate(agent_ids)
    ]
    for number in range(teams):
        team_id = TeamId(str(uuid.uuid4()))
        members = dict.fromkeys(agent_ids[number::teams], 0)
        saved.append(
            events.TeamSaved(
                account_id=ACCOUNT, writer="", team_id=team_id, name="", members=members
            )
        )
        inbox_id = InboxId(str(uuid.uuid4()))
        saved.append(
            events.InboxSaved(
                account_id=ACCOUNT,
                writer="",
                inbox_id=inbox_id,
                inbox_key=inbox_id,
                name="",
                team_id=team_id,
                skills={f"skill{number % 3}": 1},
            )
        )
    return saved


def arrivals(inboxes: list[InboxId], count: int) -> list[Event]:
    """Conversations with one message each."""
    found: list[Event] = []
    for number in range(count):
        conversation_id = ConversationId(str(uuid.uuid4()))
        author = Author(kind="visitor", id=str(uuid.uuid4()))
        found.append(
            events.ConversationStarted(
                account_id=ACCOUNT,
                conversation_id=conversation_id,
                inbox_id=inboxes[number % len(inboxes)],
                contact_id=ContactId(author.id),
                by=author,
                language=("zh", "en")[number % 2],
            )
        )
        found.append(
            events.MessagePosted(
                account_id=ACCOUNT,
                conversation_id=conversation_id,
                message_id=MessageId(str(uuid.uuid4())),
                author=author,
                content_type="text",
                body=bytes(200),
                fingerprint=bytes(16),
            )
        )
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--agents", type=int, default=2_000)
    parser.add_argument("--teams", type=int, default=20)
    options = parser.parse_args()
    run = Run()
    capacity = 1 + options.waiting * 9 // 10 // options.agents
    setup = configuration(options.agents, options.teams, capacity)
    inboxes = [e.inbox_id for e in setup if isinstance(e, events.InboxSaved)]
    run.fold([codec.encode_event(event) for event in setup])
    encoded = [codec.encode_event(event) for event in arrivals(inboxes, options.waiting)]
    seconds = run.fold(encoded)
    print(f"fold      {len(encoded) / seconds:10,.0f} events/s ({len(encoded):,} events)")
    decisions, _, seconds = run.decide_all()
    print(f"queue     {decisions / seconds:10,.0f} decisions/s ({decisions:,}, nobody online)")
    account = run.world.state.account(ACCOUNT)
    online = [
        events.AgentOnline(
            account_id=ACCOUNT, writer="", agent_id=agent_id, device_id=DeviceId(agent_id)
        )
        for agent_id in account.agents
    ]
    run.fold([codec.encode_event(event) for event in online])
    _, assignments, seconds = run.decide_all()
    print(
        f"assign    {assignments / seconds:10,.0f} decisions/s ({assignments:,} to {options.agents:,} agents)"
    )
    began = time.process_time()
    packed = codec.pack(run.world.state)
    packing = time.process_time() - began
    began = time.process_time()
    World(codec.unpack(packed, State), Settings()).ring(run.now_ns)
    print(
        f"snapshot  {len(packed) / 1e6:10,.1f} MB, packed in {packing * 1000:.0f} ms,"
        f" loaded and indexed in {(time.process_time() - began) * 1000:.0f} ms"
    )
    print(
        f"waiting   {run.world.waiting():10,}, limbo {run.world.limbo()}, faults {len(faults(run.world))}"
    )


if __name__ == "__main__":
    main()
