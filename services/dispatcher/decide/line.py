"""A queue that knows places: items in order, cheap at both ends, exact in the middle."""

from __future__ import annotations

from bisect import bisect_left, insort

from shared.ids import ConversationId, Position

Item = tuple[Position, ConversationId]

_COMPACT_FROM = 1024


class Line:
    """Waiting conversations, oldest first. The usual moves (join at the end, leave at the front) are O(1)."""

    __slots__ = ("_items", "_start")

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._start = 0

    def __len__(self) -> int:
        return len(self._items) - self._start

    def at(self, place: int) -> Item:
        """The item at a place, from 0."""
        return self._items[self._start + place]

    def place(self, item: Item) -> int:
        """How many are before the item."""
        return bisect_left(self._items, item, lo=self._start) - self._start

    def add(self, item: Item) -> None:
        """Let it join at its place."""
        if not self or self._items[-1] < item:
            self._items.append(item)
        else:
            insort(self._items, item, lo=self._start)

    def discard(self, item: Item) -> None:
        """Let it leave, wherever it stands."""
        index = bisect_left(self._items, item, lo=self._start)
        if index == len(self._items) or self._items[index] != item:
            return
        if index > self._start:
            del self._items[index]
            return
        self._start += 1
        if self._start >= _COMPACT_FROM and self._start * 2 > len(self._items):
            del self._items[: self._start]
            self._start = 0
