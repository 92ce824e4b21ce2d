"""The drain window of a device: how many entries may be handed over that it has not acknowledged. Pure.

It starts small, doubles while acknowledgements come quickly and halves when they come late, so that a phone on a
bad line holds little in flight and a desk that returns after a night drains fast. A device that never acknowledges
is held at the limit for as long as it stays: it is not closed, because what it misses is safe and an old client may
read without acknowledging."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from shared.ids import Position

_QUICK_S = 1.0
_LATE_S = 5.0
_LEAST = 50


class Window:
    """`room` is how many more entries may go out now."""

    __slots__ = ("_filled_at_s", "_most", "_owed_first", "_owed_last", "_unacked", "size")

    def __init__(self, first: int, most: int) -> None:
        self.size = first
        self._most = most
        self._unacked: deque[Position] | None = None
        self._filled_at_s = 0.0
        # What was handed over before this connection may never have been said: its first acknowledgement always counts.
        self._owed_first: Position = 1
        self._owed_last: Position = 0

    @property
    def unacked(self) -> int:
        """Entries handed over and not acknowledged."""
        return len(self._unacked) if self._unacked else 0

    @property
    def room(self) -> int:
        """How many more may be handed over."""
        return self.size - self.unacked

    @property
    def last_unacked(self) -> Position:
        """The newest entry that was not acknowledged, 0 if there is none."""
        return self._unacked[-1] if self._unacked else 0

    def sent(
        self, positions: Sequence[Position], now_s: float, *, owed: Sequence[Position]
    ) -> None:
        """Entries were handed over, in this order; `owed`: those of which others wait to hear that they arrived."""
        if self._unacked is None:
            # Made when it is needed: an idle device shall cost nothing here.
            self._unacked = deque()
            self._filled_at_s = now_s
        self._unacked.extend(positions)
        if owed:
            self._owed_first = self._owed_first or owed[0]
            self._owed_last = owed[-1]

    def pay(self, up_to: Position) -> bool:
        """Whether an acknowledgement tells others something that no earlier one of this connection did."""
        if not self._owed_first or up_to < self._owed_first:
            return False
        self._owed_first = 0 if up_to >= self._owed_last else up_to + 1
        return True

    def acked(self, up_to: Position, now_s: float) -> int:
        """The device holds everything up to `up_to`; how many entries that were."""
        unacked = self._unacked
        if unacked is None:
            return 0
        before = len(unacked)
        while unacked and unacked[0] <= up_to:
            unacked.popleft()
        count = before - len(unacked)
        if count:
            self._adapt(before, now_s - self._filled_at_s)
            self._filled_at_s = now_s
        if not unacked:
            self._unacked = None
        return count

    def _adapt(self, before: int, took_s: float) -> None:
        if took_s > _LATE_S:
            self.size = max(self.size // 2, min(_LEAST, self.size))
        elif took_s < _QUICK_S and before * 2 >= self.size:
            self.size = min(self.size * 2, self._most)
