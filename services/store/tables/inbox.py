"""Questions about inboxes: entries after a position, and which inboxes of a bucket moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from services.store.tables.conversations import total_unread
from services.store.tables.messages import message_size
from services.store.tables.paging import MOST_BYTES, cut
from services.store.tables.ranges import Ranges, read_ranges
from services.store.tables.read import (
    CONVERSATION,
    MESSAGE,
    NOTE,
    RECEIPT,
    Row,
    conversation,
    message,
    note,
    receipt,
)
from shared.database import Connection
from shared.errors import Rejected
from shared.ids import AccountId, Position
from shared.queries import (
    ConversationRow,
    Entry,
    Heads,
    InboxPage,
    MessageRow,
    NoteRow,
    ReadHeads,
    ReadInbox,
    ReceiptRow,
    UnheardRow,
)

_MOST_ENTRIES = 500
_MOST_OWNERS = 8000
_MOST_UNHEARD = 50
_MESSAGE_KINDS = frozenset({"message", "message_edited", "message_retracted"})


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a page of entries points to, by id."""

    messages: dict[str, MessageRow]
    notes: dict[str, NoteRow]
    conversations: dict[str, ConversationRow]
    ranges: Ranges


async def read_inbox(connection: Connection, question: ReadInbox) -> InboxPage:
    """Entries after a position in order. An inbox that nobody ever got an entry in is empty, not absent."""
    limit = min(max(question.limit, 1), _MOST_ENTRIES)
    found = await connection.execute(
        "SELECT position, prev, at_ns, kind, conversation_id, about_id, from_seq, to_seq"
        " FROM entries WHERE owner_id = %s AND account_id = %s AND position > %s"
        " ORDER BY position LIMIT %s",
        [question.owner_id, question.account_id, question.after, limit + 1],
    )
    rows = await found.fetchall()
    pointed = await _pointed(connection, question.account_id, rows[:limit])
    entries = [_entry(question.owner_id, row, pointed) for row in rows[:limit]]
    page, is_cut = cut(entries, limit, entry_size, most_bytes=MOST_BYTES)
    return InboxPage(
        entries=page,
        head=await _head(connection, question),
        unread=await total_unread(connection, question.account_id, question.owner_id),
        receipts=await _receipts(connection, question),
        more=is_cut or len(rows) > limit,
        unheard=await _unheard(connection, question) if question.unheard_since_ns else (),
    )


def entry_size(entry: Entry) -> int:
    """Bytes that an entry takes in an answer, about."""
    messages = entry.messages if entry.message is None else (entry.message,)
    note_bytes = len(entry.note.body) if entry.note is not None else 0
    conversation_bytes = 1000 if entry.conversation is not None else 0
    return 400 + conversation_bytes + note_bytes + sum(message_size(row) for row in messages)


async def _pointed(connection: Connection, account_id: AccountId, rows: Sequence[Row]) -> _Found:
    message_ids = [row[5] for row in rows if row[3] in _MESSAGE_KINDS]
    note_ids = [row[5] for row in rows if row[3] == "note"]
    conversation_ids = list({row[4] for row in rows})
    ranges = [(account_id, row[4], row[6], row[7]) for row in rows if row[7]]
    messages = [message(x) for x in await _by_ids(connection, _MESSAGES, account_id, message_ids)]
    notes = [note(x) for x in await _by_ids(connection, _NOTES, account_id, note_ids)]
    conversations = [
        conversation(x)
        for x in await _by_ids(connection, _CONVERSATIONS, account_id, conversation_ids)
    ]
    return _Found(
        messages={x.message_id: x for x in messages},
        notes={x.note_id: x for x in notes},
        conversations={x.conversation_id: x for x in conversations},
        ranges=await read_ranges(connection, ranges),
    )


_MESSAGES = f"SELECT {MESSAGE} FROM messages WHERE account_id = %s AND message_id = ANY(%s::uuid[])"
_NOTES = f"SELECT {NOTE} FROM notes WHERE account_id = %s AND note_id = ANY(%s::uuid[])"
_CONVERSATIONS = (
    f"SELECT {CONVERSATION} FROM conversations"
    " WHERE account_id = %s AND conversation_id = ANY(%s::uuid[])"
)


async def _by_ids(
    connection: Connection, statement: str, account_id: AccountId, ids: list[Any]
) -> list[Row]:
    if not ids:
        return []
    found = await connection.execute(statement.encode(), [account_id, ids])
    return await found.fetchall()


def _entry(owner_id: str, row: Row, found: _Found) -> Entry:
    position, prev, at_ns, kind, conversation_id, about_id, from_seq, to_seq = row
    about = found.conversations[conversation_id]
    messages = tuple(found.ranges.get((conversation_id, from_seq), ())) if to_seq else ()
    is_of_conversation = kind not in _MESSAGE_KINDS and kind != "note"
    return Entry(
        owner_id=owner_id,
        position=position,
        prev=prev,
        at_ns=at_ns,
        kind=kind,
        conversation_id=conversation_id,
        held=owner_id in (about.contact_id, about.agent_id),
        message=found.messages[about_id] if kind in _MESSAGE_KINDS else None,
        note=found.notes[about_id] if kind == "note" else None,
        conversation=about if is_of_conversation else None,
        from_seq=from_seq,
        to_seq=to_seq,
        messages=messages,
        more=bool(to_seq) and (not messages or messages[-1].seq < to_seq),
    )


async def _head(connection: Connection, question: ReadInbox) -> Position:
    found = await connection.execute(
        "SELECT coalesce(max(position), 0) FROM entries WHERE owner_id = %s AND account_id = %s",
        [question.owner_id, question.account_id],
    )
    head: Position = (await found.fetchall())[0][0]
    return head


async def _receipts(connection: Connection, question: ReadInbox) -> tuple[ReceiptRow, ...]:
    columns = ", ".join(f"r.{x.strip()}" for x in RECEIPT.split(","))
    found = await connection.execute(
        f"SELECT {columns} FROM conversations c JOIN receipts r USING (account_id, conversation_id)"
        " WHERE c.account_id = %(account)s AND r.position > %(after)s"
        " AND (c.contact_id = %(owner)s::uuid OR c.agent_id = %(owner)s::uuid)"
        " ORDER BY r.position DESC LIMIT 500".encode(),
        {"account": question.account_id, "after": question.after, "owner": question.owner_id},
    )
    return tuple([receipt(row) for row in await found.fetchall()])


async def _unheard(connection: Connection, question: ReadInbox) -> tuple[UnheardRow, ...]:
    found = await connection.execute(
        "SELECT e.position, e.at_ns, e.conversation_id"
        " FROM (SELECT * FROM entries WHERE owner_id = %(owner)s AND account_id = %(account)s"
        "  AND position <= %(after)s ORDER BY position DESC LIMIT %(most)s) e"
        " JOIN conversations c USING (account_id, conversation_id)"
        " LEFT JOIN messages m ON e.kind = 'message' AND m.account_id = e.account_id"
        "  AND m.message_id = e.about_id"
        " LEFT JOIN receipts r ON r.account_id = e.account_id"
        "  AND r.conversation_id = e.conversation_id AND r.recipient_id = %(name)s"
        " WHERE e.at_ns >= %(since)s AND c.agent_id = %(owner)s::uuid"
        " AND (e.kind = 'conversation_assigned' OR m.author_id <> %(name)s)"
        " AND coalesce(r.read, 0) < e.position ORDER BY e.position DESC",
        {
            "owner": question.owner_id,
            "name": question.owner_id,
            "account": question.account_id,
            "after": question.after,
            "since": question.unheard_since_ns,
            "most": _MOST_UNHEARD,
        },
    )
    return tuple(
        [
            UnheardRow(position=position, at_ns=at_ns, conversation_id=conversation_id)
            for position, at_ns, conversation_id in await found.fetchall()
        ]
    )


async def read_heads(connection: Connection, question: ReadHeads) -> Heads:
    """Owners whose inbox or receipts moved after a position, over all accounts of the bucket."""
    moved = await connection.execute(
        "SELECT owner_id, max(position) FROM entries WHERE bucket = %s AND position > %s"
        " GROUP BY owner_id",
        [question.bucket, question.since],
    )
    heads: dict[str, Position] = dict(await moved.fetchall())
    changed = await connection.execute(
        "SELECT o.owner_id, max(r.position) FROM receipts r"
        " JOIN conversations c USING (account_id, conversation_id)"
        " CROSS JOIN LATERAL (VALUES (c.contact_id), (c.agent_id)) AS o(owner_id)"
        " WHERE r.bucket = %s AND r.position > %s AND o.owner_id IS NOT NULL GROUP BY o.owner_id",
        [question.bucket, question.since],
    )
    receipts: dict[str, Position] = dict(await changed.fetchall())
    if len(heads) + len(receipts) > _MOST_OWNERS:
        raise Rejected("invalid", "too many inboxes moved since: read each inbox")
    return Heads(heads=heads, receipts=receipts)
