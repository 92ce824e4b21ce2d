"""The one fold that drops repeated messages for every reader that acts: it remembers the MessageIDs of an hour
of log time, and of half an hour more at most. An hour is enough because a gateway looks older ids up before it appends
them. Pure.

A busy desk has tens of millions of ids in that time, so an id is twelve bytes here. The store needs none of this: its
`message_ids` has no window.
"""

from __future__ import annotations

from struct import Struct
from zlib import crc32

import msgspec

from shared.events import MessagePosted

WINDOW_NS = 3_600_000_000_000
_SHARE_NS = WINDOW_NS // 2
_KEPT = 3
"""Half hours: the one that runs and two that are over are an hour at least."""
_MARK = Struct(">H6s")
_PRINT = 4
_ENTRY = _MARK.size + _PRINT
_TAIL_CHARS = 12
"""The end of an id, which is random in those that are made as they should be."""


class Repeats(msgspec.Struct, kw_only=True, omit_defaults=True):
    """`shares`: by half hour of log time, then by two bytes of a checksum of account and MessageID, entries one after the
    other: the rest of the checksum, the end of the id, the beginning of the first fingerprint. `recent`, `older`: first
    fingerprint and log time by account and MessageID, from snapshots of earlier releases."""

    shares: dict[int, dict[int, bytes]] = {}
    recent: dict[str, tuple[bytes, int]] = {}
    older: dict[str, tuple[bytes, int]] = {}


def is_repeat(state: Repeats, event: MessagePosted, at_ns: int) -> bool:
    """Fold one message and tell whether to drop it: same id and same fingerprint within the window.

    The same id with another fingerprint is another message (the store keeps it under its own id). That two ids leave
    the same entry takes chance and not skill: fingerprints are made with a key that no sender has.
    """
    message_id = event.message_id
    number = at_ns // _SHARE_NS
    share = state.shares.get(number)
    if share is None:
        share = _turn(state, number)
    checksum = crc32(f"{event.account_id}/{message_id}".encode())
    bucket = checksum & 0xFFFF
    try:
        mark = _MARK.pack(checksum >> 16, bytes.fromhex(message_id[-_TAIL_CHARS:]))
    except ValueError:
        mark = _MARK.pack(checksum >> 16, message_id.encode()[-_TAIL_CHARS // 2 :])
    fingerprint = event.fingerprint[:_PRINT]
    for each in state.shares.values():
        entries = each.get(bucket)
        if entries is not None and mark in entries:
            first = _find(entries, mark)
            if first is not None:
                return first == fingerprint.ljust(_PRINT, b"\0")
    if (state.recent or state.older) and (known := _known(state, event, at_ns)) is not None:
        return known
    entry = mark + fingerprint
    share[bucket] = share.get(bucket, b"") + entry.ljust(_ENTRY, b"\0")
    return False


def _turn(state: Repeats, number: int) -> dict[int, bytes]:
    """Begin a half hour, and forget those that are over for long."""
    state.shares = {n: share for n, share in state.shares.items() if n > number - _KEPT}
    # The one that runs comes first: most repeats follow at once.
    state.shares = {number: {}, **state.shares}
    least_ns = number * _SHARE_NS - WINDOW_NS
    if all(at_ns < least_ns for _, at_ns in (*state.recent.values(), *state.older.values())):
        state.recent, state.older = {}, {}
    return state.shares[number]


def _find(entries: bytes, mark: bytes) -> bytes | None:
    """The first fingerprint of the id."""
    place = entries.find(mark)
    while place % _ENTRY:
        if place < 0:
            return None
        place = entries.find(mark, place + 1)
    return entries[place + _MARK.size : place + _ENTRY]


def _known(state: Repeats, event: MessagePosted, at_ns: int) -> bool | None:
    """What an earlier release remembers of the id; None if nothing."""
    key = f"{event.account_id}/{event.message_id}"
    first = state.recent.get(key) or state.older.get(key)
    return first[0] == event.fingerprint if first and at_ns - first[1] <= WINDOW_NS else None
