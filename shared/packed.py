"""The messages of an inbox page as PostgreSQL joins them: one run of bytes, handed through by the store as it is.

A row a message would be made into objects and back into bytes twice before it is opened; most of what a drain cost was
that. Only the gateway looks into the bytes, and only once. The statement that writes them is in the store's
`tables/inbox.py`. Pure.
"""

from __future__ import annotations

import functools
import struct
import uuid
from collections.abc import Collection
from typing import Any, cast

import msgspec

from shared.errors import Malformed
from shared.events import Author
from shared.ids import AccountId, ConversationId, DeviceId, MessageId, Position
from shared.queries import Entry, InboxPage, MessageRow, ReadInbox

_HEAD = struct.Struct(">qqqqq16s16s36si")
_ID_BYTES = 16

Line = tuple[int, int, int, int, int, bytes, bytes, bytes, int, bytes, bytes]
"""position, prev, at_ns, seq, seen_up_to, conversation id, message id, message id as text, size of the body; who and
what (see `Told`), body."""


class Told(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is the same for many lines: the kind of the entry, who wrote, and what is not as it is for most messages."""

    kind: str
    author: Author
    content_type: str
    position: int | None = None
    """Of the message, where the entry is about a later change of it; so are its time and the rest."""
    at_ns: int = 0
    revision: int = 0
    device_id: DeviceId | None = None
    clash_of: MessageId | None = None
    flags: str = ""
    """Letters: a automatic, c crossed, r retracted, u unreadable, i id_clash."""


def split(packed: bytes) -> list[Line]:
    """The lines in the order of their positions. Raises `Malformed`."""
    lines: list[Line] = []
    at, end = 0, len(packed)
    unpack, width = _HEAD.unpack_from, _HEAD.size
    try:
        while at < end:
            head = unpack(packed, at)
            begin = packed.index(b"\n", at + width)
            who = packed[at + width : begin]
            at = begin + 1 + head[8]
            lines.append((*head, who, packed[begin + 1 : at]))
    except (struct.error, ValueError) as err:
        raise Malformed("a page of an inbox can't be read") from err
    if at != end:
        raise Malformed("a page of an inbox is cut off")
    lines.sort()
    return lines


def sizes(packed: bytes) -> dict[Position, int]:
    """How many bytes each line takes, by its position."""
    return {line[0]: _HEAD.size + len(line[9]) + 1 + line[8] for line in split(packed)}


def until(packed: bytes, last: Position) -> bytes:
    """The lines up to a position."""
    return b"".join(
        [
            _HEAD.pack(*line[:9]) + line[9] + b"\n" + line[10]
            for line in split(packed)
            if line[0] <= last
        ]
    )


@functools.lru_cache(maxsize=16_384)
def told(who: bytes) -> Told:
    """Who wrote a line, and what. Raises `Malformed`."""
    try:
        common, _, rest = who.decode().partition("\t")
        kind, author_kind, author_id, content_type = common.split(" ", 3)
        author = Author(kind=cast("Any", author_kind), id=author_id)
        if not rest:
            return Told(kind=kind, author=author, content_type=content_type)
        position, at_ns, revision, device_id, clash_of, flags = rest.split(" ")
        return Told(
            kind=kind,
            author=author,
            content_type=content_type,
            position=int(position) if position else None,
            at_ns=int(at_ns) if at_ns else 0,
            revision=int(revision),
            device_id=DeviceId(device_id) if device_id else None,
            clash_of=MessageId(clash_of) if clash_of else None,
            flags=flags,
        )
    except ValueError as err:
        raise Malformed("a line of an inbox can't be read") from err


@functools.lru_cache(maxsize=16_384)
def id_text(raw: bytes) -> str:
    """An id as text; for ids that many lines share."""
    return str(uuid.UUID(bytes=raw))


def id_bytes(text: str) -> bytes:
    """The other way round."""
    return bytes.fromhex(text.replace("-", ""))


def ids_in(joined: bytes) -> set[bytes]:
    """Ids that stand one after the other."""
    return {joined[at : at + _ID_BYTES] for at in range(0, len(joined), _ID_BYTES)}


def row_of(line: Line, account_id: AccountId) -> MessageRow:
    """The message of a line."""
    position, _, at_ns, seq, seen_up_to, conversation_id, _, message_id, _, who, body = line
    about = told(who)
    flags = about.flags
    return MessageRow(
        account_id=account_id,
        conversation_id=ConversationId(id_text(conversation_id)),
        message_id=MessageId(message_id.decode()),
        seq=seq,
        position=position if about.position is None else about.position,
        at_ns=at_ns if about.position is None else about.at_ns,
        author=about.author,
        content_type=about.content_type,
        body=body,
        revision=about.revision,
        device_id=about.device_id,
        seen_up_to=seen_up_to,
        automatic="a" in flags,
        crossed="c" in flags,
        retracted="r" in flags,
        unreadable="u" in flags,
        id_clash="i" in flags,
        clash_of=about.clash_of,
    )


def positions(page: InboxPage) -> list[Position]:
    """Where the entries of a page stand, in order."""
    others = [entry.position for entry in page.entries]
    return sorted([*(line[0] for line in split(page.packed)), *others])


def entries_of(page: InboxPage, question: ReadInbox) -> tuple[Entry, ...]:
    """Every entry of a page, in order."""
    held = ids_in(page.held)
    owner_id, account_id = question.owner_id, question.account_id
    about_messages = [
        entry_of(line, owner_id=owner_id, account_id=account_id, held=held)
        for line in split(page.packed)
    ]
    return tuple(sorted([*about_messages, *page.entries], key=lambda entry: entry.position))


def entry_of(line: Line, *, owner_id: str, account_id: AccountId, held: Collection[bytes]) -> Entry:
    """The entry of a line; `held`: ids of the conversations that the owner holds."""
    row = row_of(line, account_id)
    return Entry(
        owner_id=owner_id,
        position=line[0],
        prev=line[1],
        at_ns=line[2],
        kind=cast("Any", told(line[9]).kind),
        conversation_id=row.conversation_id,
        held=line[5] in held,
        message=row,
    )
