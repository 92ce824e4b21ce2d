"""Events that no row can hold: found by halving, kept in quarantine, counted so that a fault of ours stops the store
instead of filling the quarantine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from services.store.fold import Record
from services.store.handlers.batch import REFUSED, Poisoned
from shared import log
from shared.bus import Delivery
from shared.errors import Refused
from shared.ids import Position

WINDOW = 10_000
_LOOKS = 100_000
_UNREADABLE = frozenset({"unreadable", "no_envelope", "unknown_family", REFUSED})


class Poison:
    """What is known to be refused, and how large a batch may be meanwhile."""

    def __init__(self, *, batch_entries: int, limit: int) -> None:
        self.positions: set[Position] = set()
        self._full = batch_entries
        self._step = batch_entries
        self._careful_until: Position = 0
        self._looks_until: Position = 0
        self.is_careful = False
        """Whether what was cut last may hold what the database refuses: then each cut is a batch of its own."""
        self._limit = limit
        self._recent: deque[Position] = deque()

    def halve(self, fault: Poisoned) -> None:
        """After a batch was refused: go on from the checkpoint with half of it; one alone is the culprit."""
        self._careful_until = max(self._careful_until, fault.last)
        self._step = max(1, fault.count // 2)
        if fault.count == 1:
            self.positions.add(fault.last)
        kind = type(fault.__cause__).__name__
        log.get().error("batch_refused", last=fault.last, events=fault.count, kind=kind)

    def look_for_ids(self, last: Position) -> None:
        """After a batch held a MessageID that was stored before: do it again, and look for a while before each commit,
        so that who repeats on purpose costs one batch and no more."""
        self._careful_until = max(self._careful_until, last)
        self._looks_until = max(self._looks_until, last + _LOOKS)

    def asks_for_ids(self, position: Position) -> bool:
        """Whether a batch that begins here is folded knowing which MessageIDs are stored already. Usually not: a repeat
        is rare, and the key of `message_ids` finds it."""
        return position <= max(self._looks_until, self._careful_until)

    def cut(self, deliveries: list[Delivery]) -> list[list[Delivery]]:
        """What was delivered, in the sizes that may be committed now."""
        self.is_careful = deliveries[0].position <= self._careful_until
        if not self.is_careful:
            self._step = self._full
        step = self._step
        return [deliveries[i : i + step] for i in range(0, len(deliveries), step)]

    def watch(self, quarantined: Iterable[tuple[Record, str]]) -> None:
        """Report what was quarantined. Raises `Refused` when it is so much that the fault must be ours."""
        recent = self._recent
        for record, reason in quarantined:
            log.get().error("event_quarantined", position=record.position, reason=reason)
            if reason in _UNREADABLE:
                recent.append(record.position)
        while recent and recent[0] <= recent[-1] - WINDOW:
            recent.popleft()
        if len(recent) > self._limit:
            raise Refused(
                f"{len(recent)} unreadable events within {WINDOW}: this release can't read this log",
                code="too_much_poison",
            )
