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
from shared import codec
from shared.events import (
    ConversationAssigned,
    PolicySaved,
    RoutingEvent,
)
from shared.ids import PolicyId, TeamId


class Run:
    """A world that is fed encoded events, as the log would feed it, and counts its own time."""

    def __init__(self) -> None:
        self.world = World(State(), Settings(burst=1_000_000, round_events=1000))
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
            if not found:
                return decided
            decided += found
            began = time.process_time()
            payloads = [codec.encode_event(event) for event in found]
            self.encoding_s += time.process_time() - began
            self.folding_s += self.fold(payloads)

    def saving(self, backlog: Backlog) -> Iterator[tuple[str, float]]:
        """What a saved document costs while all of it waits: until decisions can be made again."""
        account = self.world.state.account(backlog.account_id)
        policy = PolicySaved(
            account_id=backlog.account_id, writer="", policy_id=PolicyId("p"), name="p"
        )
        new_team = msgspec.structs.replace(next(iter(account.teams.values())), team_id=TeamId("t"))
        for name, event in (
            ("an agent saved", next(iter(account.agents.values()))),
            ("a team saved", next(iter(account.teams.values()))),
            ("an inbox saved", next(iter(account.inboxes.values()))),
            ("a policy saved", policy),
            ("a new team", new_team),
        ):
            cost_s = self.fold([codec.encode_event(event)])
            began = time.process_time()
            found = decide(
                self.world, self.now_ns, evidence=Evidence(stored=self.position), writer="bench"
            )
            cost_s += time.process_time() - began
            if found:
                raise AssertionError("nothing changed, so there is nothing to decide")
            yield name, cost_s

    def line(self, name: str, count: int) -> str:
        """What each of so many decisions cost, in parts."""
        parts = (self.deciding_s, self.encoding_s, self.folding_s)
        costs = " + ".join(f"{seconds / count * 1e6:.1f}" for seconds in parts)
        total = sum(parts) / count * 1e6
        return f"{name:<10}{total:10.1f} µs a decision: decide + encode + fold {costs} ({count:,})"


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
    for name, cost_s in run.saving(backlog):
        print(f"{name:<22}{cost_s * 1000:8.1f} ms until the next decision")
    run.feed(backlog.arriving_agents())
    assigned = [e for e in run.decide_all() if isinstance(e, ConversationAssigned)]
    print(run.line("assign", len(assigned)))
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
