"""What a decision costs by itself, without a broker: decide, encode, fold back, over a large backlog, in CPU time of
one process, so that a busy machine does not spoil the figures much.

python -m bench.deciding [--waiting 100000] [--agents 2000] [--skills 200]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator

import msgspec

from bench.backlog import Backlog, Fact, Size
from services.dispatcher.decide import Evidence, Settings, State, World, decide, faults
from services.dispatcher.decide.settings import PLACED_AT_ONCE
from shared import codec
from shared.events import (
    AgentOffline,
    AgentOnline,
    ConversationAssigned,
    Event,
    PolicySaved,
    RoutingEvent,
    TeamRemoved,
)
from shared.ids import AccountId, PolicyId, TeamId


class Run:
    """A world that is fed encoded events, as the log would feed it, and counts its own time."""

    def __init__(self) -> None:
        self.world = World(
            State(), Settings(burst=1_000_000, round_events=1000, placed_at_once=PLACED_AT_ONCE)
        )
        self.position = 0
        self.now_ns = time.time_ns()
        self.deciding_s = 0.0
        self.encoding_s = 0.0
        self.folding_s = 0.0

    def fold(self, payloads: list[bytes]) -> float:
        """Decode and fold; seconds."""
        began = time.process_time()
        for payload in payloads:
            self.position += 1
            self.now_ns += 1000
            self.world.evolve(codec.decode_event(payload), self.position, self.now_ns)
        return time.process_time() - began

    def feed(self, facts: Iterable[Fact]) -> tuple[int, float]:
        """Encode, then fold: events and seconds."""
        payloads = [codec.encode_event(event) for _, event in facts]
        return len(payloads), self.fold(payloads)

    def decide_all(self) -> list[RoutingEvent]:
        """Rounds until there is nothing to decide."""
        decided: list[RoutingEvent] = []
        self.deciding_s = self.encoding_s = self.folding_s = 0.0
        while True:
            began = time.process_time()
            evidence = Evidence(stored=self.position)
            found = decide(self.world, self.now_ns, evidence=evidence, writer="bench")
            self.deciding_s += time.process_time() - began
            if not found and not self.world.behind:
                return decided
            decided += found
            began = time.process_time()
            payloads = [codec.encode_event(event) for event in found]
            self.encoding_s += time.process_time() - began
            self.folding_s += self.fold(payloads)

    def saving(self, backlog: Backlog) -> Iterator[tuple[str, float, float]]:
        """What saved documents cost while all of it waits: seconds in all until decisions can be made again, and the
        longest stretch of them in which the process does nothing else."""
        account = self.world.state.account(backlog.account_id)
        policy = PolicySaved(
            account_id=backlog.account_id, writer="", policy_id=PolicyId("p"), name="p"
        )
        some = next(iter(account.agents.values()))
        team = next(iter(account.teams.values()))
        replace = msgspec.structs.replace
        ruled = [replace(each, policy_id=policy.policy_id) for each in account.inboxes.values()]
        saved: tuple[tuple[str, list[Event]], ...] = (
            ("an agent saved", [some]),
            ("a team saved", [team]),
            ("an inbox saved", [ruled[0]]),
            ("every inbox saved", list(ruled)),
            ("a policy that rules all inboxes", [policy]),
            ("a new team", [replace(team, team_id=TeamId("t"))]),
            ("a new language", [replace(some, skills={**some.skills, "lang:zh": 1})]),
            ("a limited channel", [replace(some, channel_capacity={"web": 1})]),
            ("a team removed", [_removed(backlog.account_id)]),
        )
        for name, documents in saved:
            yield name, *self._behind(documents)

    def _behind(self, documents: list[Event]) -> tuple[float, float]:
        steps = [self.fold([codec.encode_event(event) for event in documents])]
        while True:
            began = time.process_time()
            evidence = Evidence(stored=self.position)
            found = decide(self.world, self.now_ns, evidence=evidence, writer="bench")
            steps.append(time.process_time() - began)
            if found:
                raise AssertionError("nobody is here, so there is nothing to decide")
            if not self.world.behind:
                return sum(steps), max(steps)

    def returning(self, backlog: Backlog) -> Iterator[tuple[str, float, float]]:
        """Everybody leaves at once, and all that they hold goes back to the queues."""
        self.feed(_leaving(backlog))
        self.now_ns += 3600 * 1_000_000_000
        longest_s, queued = 0.0, 0
        began_s = time.process_time()
        while True:
            round_s = time.process_time()
            evidence = Evidence(stored=self.position)
            found = decide(self.world, self.now_ns, evidence=evidence, writer="bench")
            longest_s = max(longest_s, time.process_time() - round_s)
            if not found and not self.world.behind:
                yield f"{queued:,} returns", time.process_time() - began_s, longest_s
                return
            queued += len(found)
            self.fold([codec.encode_event(event) for event in found])

    def line(self, name: str, count: int) -> str:
        """What each of so many decisions cost, in parts."""
        parts = (self.deciding_s, self.encoding_s, self.folding_s)
        costs = " + ".join(f"{seconds / count * 1e6:.1f}" for seconds in parts)
        total = sum(parts) / count * 1e6
        return f"{name:<10}{total:10.1f} µs a decision: decide + encode + fold {costs} ({count:,})"


def _told(name: str, cost_s: float, longest_s: float) -> str:
    return f"{name:<33}{cost_s * 1000:8.1f} ms, at most {longest_s * 1000:5.1f} ms at a time"


def _removed(account_id: AccountId) -> Event:
    return TeamRemoved(account_id=account_id, writer="", team_id=TeamId("t"))


def _leaving(backlog: Backlog) -> Iterator[Fact]:
    for _, event in backlog.arriving_agents():
        if isinstance(event, AgentOnline):
            offline = AgentOffline(
                account_id=event.account_id,
                writer="",
                agent_id=event.agent_id,
                device_id=event.device_id,
                why="disconnected",
            )
            yield "presence", offline


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--agents", type=int, default=2_000)
    parser.add_argument("--skills", type=int, default=200)
    options = parser.parse_args()
    run = Run()
    size = Size(waiting=options.waiting, agents=options.agents, skills=options.skills)
    backlog = Backlog(size)
    run.feed(backlog.configuration())
    count, seconds = run.feed(backlog.arrivals())
    print(f"{'fold':<10}{seconds / count * 1e6:10.1f} µs an event ({count:,})")
    print(run.line("queue", len(run.decide_all())))
    for name, cost_s, longest_s in run.saving(backlog):
        print(_told(name, cost_s, longest_s))
    run.feed(backlog.arriving_agents())
    assigned = [e for e in run.decide_all() if isinstance(e, ConversationAssigned)]
    print(run.line("assign", len(assigned)))
    for name, cost_s, longest_s in run.returning(backlog):
        print(_told(name, cost_s, longest_s))
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
