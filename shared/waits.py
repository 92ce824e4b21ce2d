"""What of a conversation waits for an answer: positions, oldest first, and how long the list of them may become. Pure.

A visitor may write thousands of messages that nobody answers, and every one of them would carry all before it through
each fold and row. So the list is thinned in its middle, by rules that hang on nothing but the list: the oldest and the
newest `NEWEST` stay exact, between them stay some at even distances. An answer that leaves fewer than `NEWEST` open
finds exactly what it did not cover. One that leaves more leaves them all open, and what is open then begins right after
what its author saw, at the time of the last that is known before: a deadline may come early by a sixteenth of the
wait, never late.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from shared.ids import Position

NEWEST = 64
MOST = 128
_STEPS = 32

Waits = tuple[Position, ...]


def joined(waits: Waits, position: Position) -> Waits:
    """With one more message that waits, newer than all."""
    if len(waits) >= MOST:
        waits = _thinned(waits)
    return (*waits, position)


def uncovered(waits: Waits, seen_up_to: Position) -> Waits:
    """What an answer leaves open whose author was shown nothing beyond `seen_up_to`."""
    if not waits or waits[0] > seen_up_to:
        return waits
    if waits[-1] <= seen_up_to:
        return ()
    rest = waits[bisect_right(waits, seen_up_to) :]
    following = seen_up_to + 1
    # Between the last that is covered and the first that is not, some may have been left out.
    return rest if len(rest) < NEWEST or rest[0] == following else (following, *rest)


def times(  # The list before and after, and the event between: there is no smaller thing to pass.
    before: Waits, before_ns: Sequence[int], after: Waits, position: Position, at_ns: int
) -> tuple[int, ...]:
    """The log times of what waits `after` an event, from those of what waited before it."""
    if not after:
        return ()
    more = len(before) - len(after)
    if more == -1 and after[-1] == position:
        return (*before_ns, at_ns)
    if more >= 0 and after[0] == before[more] and after[-1] == before[-1]:
        return tuple(before_ns[more:])
    return tuple([_time(before, before_ns, p, at_ns) for p in after])


def _time(before: Waits, before_ns: Sequence[int], wait: Position, at_ns: int) -> int:
    """Of a wait that was known its own, else that of the last known before it."""
    place = bisect_right(before, wait) - 1
    if place < 0 or (place == len(before) - 1 and before[place] != wait):
        return at_ns
    return before_ns[place]


def _thinned(waits: Waits) -> Waits:
    first, newest = waits[0], waits[-NEWEST:]
    distance = -(-(newest[0] - first) // _STEPS)
    kept = [first]
    for each in waits[1:-NEWEST]:
        if each - kept[-1] >= distance:
            kept.append(each)
    return (*kept, *newest)
