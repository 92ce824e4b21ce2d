"""The processes that write a fenced family: fold, then claim, then append, with the rules of `shared.fenced` and no
network. What a process folds and decides is its mind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from shared.events import Event, WriterStarted
from shared.subjects import Family
from simulate.inputs import Outcome, Start
from simulate.log import Entry, Log

OVERDUE_NS = 1_000_000_000
_LOOKS_NS = 250_000_000
SECOND_NS = 1_000_000_000


class Draft(msgspec.Struct):
    """Events on their way to the log. `waits`: how many inputs happen before they arrive."""

    events: Sequence[Event]
    expected: int
    waits: int = 0
    outcome: Outcome = "stored"


class Tail(msgspec.Struct):
    """The family's last event as folded."""

    position: int = 0
    writer: str = ""


class Mind(Protocol):
    """What a process remembers and how it decides. `now_s` is its own monotonic clock."""

    def load(self, packed: bytes | None, now_s: float) -> None:
        """Begin with a snapshot or with nothing."""

    def pack(self) -> bytes:
        """The folded state."""

    def evolve(self, entry: Entry, now_s: float) -> None:
        """Fold one entry."""

    def decide(self, seat: Seat) -> Sequence[Event]:
        """What to append now."""

    @property
    def has_more(self) -> bool:
        """Whether it wants to be asked again before time goes on, though it decided nothing."""

    def fly(self, seat: Seat, events: Sequence[Event]) -> None:
        """These are on their way to the log."""

    def drop(self) -> None:
        """They are refused, or it is unknown what became of them."""

    def renew(self, seat: Seat) -> None:
        """Something was unclear: judge nobody by the time before."""

    def stay_awake(self, seat: Seat) -> None:
        """It has looked a moment ago, and the looks before that changed nothing."""


class Seat:
    """One process and its part in writing a family."""

    def __init__(self, name: str, family: Family, log: Log, mind: Mind) -> None:
        self.name = name
        self.family: Family = family
        self.log = log
        self.mind = mind
        self.offset_s = float(sum(name.encode()))
        self.is_stalled = False
        self.hold: tuple[int, Outcome] | None = None
        self.lives = 0
        self.saved: tuple[int, bytes, Tail] | None = None
        self.start("zero")

    @property
    def writer(self) -> str:
        """A new one a life."""
        return f"{self.name}.{self.lives}"

    @property
    def is_active(self) -> bool:
        """Whether the family's last folded event is its own."""
        return self.tail.writer == self.writer

    @property
    def is_settled(self) -> bool:
        """Whether it has folded everything and nothing of it is on the way."""
        is_at_end = self.cursor == self.log.end and self.tail.position >= self.barrier
        return is_at_end and self.draft is None and not self.is_stalled

    @property
    def now_s(self) -> float:
        """This process's monotonic clock; it agrees with nobody else's."""
        return self.log.now_ns / SECOND_NS + self.offset_s

    def start(self, how: Start) -> None:
        """A new process: what it remembers is its snapshot, or nothing."""
        self.lives += 1
        self.offset_s += 1_234.5
        self.draft: Draft | None = None
        self.barrier = self.log.last.get(self.family, 0)
        self.has_claimed = False
        self.overdue: tuple[int, int] | None = None
        self.is_awake = False
        self.woke_ns = self.fair_ns = self.log.now_ns
        self.looked_ns = 0
        self.cursor, self.tail = 0, Tail()
        packed = None
        if how == "snapshot" and self.saved is not None:
            self.cursor, packed, tail = self.saved
            self.tail = msgspec.structs.replace(tail)
        self.mind.load(packed, self.now_s)

    def save(self) -> None:
        """Keep a snapshot."""
        self.saved = (self.cursor, self.mind.pack(), msgspec.structs.replace(self.tail))

    def wake(self) -> None:
        """Time has passed while it was awake; not so right after a start or a stall."""
        if self.is_awake and not self.is_stalled:
            self.mind.stay_awake(self)
        self.is_awake = not self.is_stalled

    def fold(self) -> bool:
        """Fold to the log's end; whether there was anything."""
        if self.cursor == self.log.end:
            return False
        was_active = self.is_active
        now_s = self.now_s
        for entry in self.log.entries[self.cursor :]:
            if entry.family == self.family:
                self.tail = Tail(entry.position, entry.writer)
            self.mind.evolve(entry, now_s)
        self.cursor = self.log.end
        if self.is_active and not was_active:
            self.fair_ns = self.log.now_ns
            self.mind.renew(self)
        return True

    def step(self, judge: Judge) -> bool:
        """Once at the log's end: whether anything was appended."""
        if self.draft is not None:
            return self._arrive()
        if self.tail.position < self.barrier:
            return False
        if self.is_active:
            events = self.mind.decide(self)
            if events:
                judge(self, events)
                self._send(events)
            return bool(events) or self.mind.has_more
        if not self.has_claimed:
            return self._claim()
        return self._stand_by()

    def _stand_by(self) -> bool:
        now_ns = self.log.now_ns
        if now_ns - self.looked_ns < _LOOKS_NS:
            return False
        self.looked_ns = now_ns
        if not self.mind.decide(self):
            self.overdue = None
        elif self.overdue is None or self.overdue[0] != self.tail.position:
            self.overdue = (self.tail.position, now_ns)
        elif now_ns - self.overdue[1] >= OVERDUE_NS:
            return self._claim()
        return False

    def _claim(self) -> bool:
        self.has_claimed = True
        self.overdue = None
        self._send([WriterStarted(writer=self.writer)])
        return True

    def _send(self, events: Sequence[Event]) -> None:
        waits, outcome = self.hold or (0, "stored")
        self.hold = None
        self.draft = Draft(events, self.tail.position, waits, outcome)
        self.mind.fly(self, events)

    def _arrive(self) -> bool:
        draft = self.draft
        if draft is None or draft.waits > 0:
            return False
        self.draft = None
        is_stored = draft.outcome != "dropped" and self.log.append_fenced(
            draft.events, family=self.family, writer=self.writer, expected=draft.expected
        )
        if not (is_stored and draft.outcome == "stored"):
            self.mind.drop()
        # Whatever became of it, nothing is decided before the family's end is folded.
        self.barrier = self.log.last.get(self.family, 0)
        return True


Judge = Callable[[Seat, Sequence[Event]], None]
