"""Entries into frames of at most 64 KiB. Pure.

An entry is never split: the messages of an assignment that don't fit are left out and `more` says so; the client
reads them by REST."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from shared.codec import to_json
from shared.ids import Position
from shared.wire.frames import MAX_FRAME_BYTES
from shared.wire.views import EntryView

_HEAD = b'{"op":"entries","entries":['
_ROOM_BYTES = MAX_FRAME_BYTES - 1_024
"""What entries may take: head, cursor and the rest stay far below the difference."""


def pack_entries(
    views: Sequence[EntryView], cursor_at: Callable[[Position], str], *, current: bool
) -> list[bytes]:
    """The `entries` frames for some entries, in order. Only the last one may be `current`."""
    return list(pack_encoded(map(encoded_entry, views), cursor_at, current=current))


def encoded_entry(view: EntryView) -> tuple[Position, bytes]:
    """An entry as `pack_encoded` takes it."""
    return view.position, _fitting(view)


def pack_encoded(
    entries: Iterable[tuple[Position, bytes]],
    cursor_at: Callable[[Position], str],
    *,
    current: bool,
) -> Iterator[bytes]:
    """As `pack_entries`. A full frame comes out before the next one is begun, so that the client reads it meanwhile."""
    group: list[bytes] = []
    size_bytes = 0
    last = 0
    for position, encoded in entries:
        if group and size_bytes + len(encoded) + 1 > _ROOM_BYTES:
            yield _frame(group, cursor_at(last), current=False)
            group, size_bytes = [], 0
        group.append(encoded)
        size_bytes += len(encoded) + 1
        last = position
    if group:
        yield _frame(group, cursor_at(last), current=current)


def _frame(encoded: Sequence[bytes], cursor: str, *, current: bool) -> bytes:
    tail = b'],"cursor":"' + cursor.encode() + b'","current":'
    return _HEAD + b",".join(encoded) + tail + (b"true}" if current else b"false}")


def _fitting(view: EntryView) -> bytes:
    """The entry as JSON, without messages that make it too large for a frame."""
    encoded = to_json(view)
    if len(encoded) <= _ROOM_BYTES:
        return encoded
    sizes = [len(to_json(message)) + 1 for message in view.messages]
    excess = len(encoded) - _ROOM_BYTES
    kept = list(view.messages)
    while kept and excess > -32:
        kept.pop()
        excess -= sizes[len(kept)]
    cut = msgspec.structs.replace(view, messages=kept, more=view.more or len(kept) < len(sizes))
    encoded = to_json(cut)
    if len(encoded) > _ROOM_BYTES and cut.conversation is not None:
        bare = msgspec.structs.replace(cut.conversation, last_message=None)
        encoded = to_json(msgspec.structs.replace(cut, conversation=bare))
    return encoded


def one_frame(encoded: Sequence[bytes], cursor: str, *, current: bool) -> bytes | None:
    """The `entries` frame for entries that are JSON already; None if they are too much for one."""
    if sum([len(each) + 1 for each in encoded]) > _ROOM_BYTES:
        return None
    return _frame(encoded, cursor, current=current)
