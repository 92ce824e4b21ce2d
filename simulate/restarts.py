"""A process that restarts anywhere is the one that never stopped: same bytes, same decisions."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.dispatcher.decide import Settings, State, World
from services.presence import state as presences
from shared import codec
from shared.events import Event
from simulate.broken import require
from simulate.inputs import Start
from simulate.log import Log
from simulate.minds import Router, Watcher
from simulate.seats import Mind, Seat

_EVERY = 61


class Restarts:
    """Compares restarted processes with what they were."""

    def __init__(self, log: Log, settings: Settings) -> None:
        self.log = log
        self.settings = settings
        self.rounds = 0

    def check(self, seat: Seat, before: bytes, end: int) -> None:
        """The process was just started again: folded as far as before, it must be the same."""
        mind = seat.mind
        now_s = seat.now_s
        for entry in self.log.entries[seat.cursor : end]:
            if entry.family == seat.family:
                seat.tail.position, seat.tail.writer = entry.position, entry.writer
            mind.evolve(entry, now_s)
        seat.cursor = max(end, seat.cursor)
        require(_same(mind, before), "restart", f"{seat.name} restarted to another state")

    def compare(self, seat: Seat, mind: Router | Watcher, start: Start) -> None:
        """Fold everything again beside it."""
        del start
        other: Mind = Router(self.settings) if isinstance(mind, Router) else Watcher()
        other.load(None, seat.now_s)
        for entry in self.log.entries[: seat.cursor]:
            other.evolve(entry, seat.now_s)
        require(_same(other, mind.pack()), "restart", f"{seat.name} differs from the log")

    def decide_alike(self, seat: Seat, mind: Router, events: Sequence[Event]) -> None:
        """Now and then: a process from a snapshot of this moment says the same."""
        self.rounds += 1
        if self.rounds % _EVERY:
            return
        found = mind.look(seat)
        settings = msgspec.structs.replace(self.settings, placed_at_once=0)
        fresh = World(codec.unpack(mind.pack(), State), settings)
        again = mind.decided_by(fresh, seat, found)
        require(_alike(again, events), "restart", "decides otherwise after a restart")
        same = mind.decided_by(mind.world, seat, found)
        require(list(same) == list(events), "restart", "asked twice, it says something else")


def _alike(again: Sequence[Event], events: Sequence[Event]) -> bool:
    """The same for each account, as far as the shorter round goes: how a round is shared among accounts hangs on how
    many there are to look at, and a fresh process looks at all."""
    if len(again) == len(events):
        return list(again) == list(events)
    for account_id in {getattr(each, "account_id", "") for each in (*again, *events)}:
        mine = [each for each in events if getattr(each, "account_id", "") == account_id]
        other = [each for each in again if getattr(each, "account_id", "") == account_id]
        both = min(len(mine), len(other))
        if mine[:both] != other[:both]:
            return False
    return bool(again) and bool(events)


def _same(mind: Mind, packed: bytes) -> bool:
    if isinstance(mind, Watcher):
        # Looking at an agent leaves a blank record, which says nothing.
        before = codec.unpack(packed, presences.State)
        return _spoken(mind.state) == _spoken(before) and mind.state.directory == before.directory
    return mind.pack() == packed


def _spoken(state: presences.State) -> dict[presences.AgentKey, presences.Agent]:
    return {
        (account_id, agent_id): agent
        for account_id, agents in state.agents.items()
        for agent_id, agent in agents.items()
        if agent != presences.Agent()
    }
