"""Questions about inboxes: entries after a position, and which inboxes of a bucket moved."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.store.tables.conversations import HEAD_AND_UNREAD
from services.store.tables.messages import message_size
from services.store.tables.paging import MOST_BYTES
from services.store.tables.ranges import Ranges, read_ranges
from services.store.tables.read import (
    CONVERSATION,
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
    NoteRow,
    ReadHeads,
    ReadInbox,
    UnheardRow,
)

_MOST_ENTRIES = 500
_MOST_OWNERS = 8000
_MOST_UNHEARD = 50
_ENTRY_BYTES = 200
_MESSAGE_KINDS = frozenset({"message", "message_edited", "message_retracted"})


class _Found(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a page of entries points to, by id, apart from its messages."""

    notes: dict[str, NoteRow]
    conversations: dict[str, ConversationRow]
    ranges: Ranges


# As few columns as there can be: the ids of a message are those of its entry and of the question.
_ENTRIES = b"""
SELECT e.position, e.prev, e.at_ns, e.kind, e.conversation_id::text, e.about_id::text, e.from_seq,
    e.to_seq, m.seq, m.position, m.at_ns, m.author_kind, m.author_id, m.content_type, m.body,
    m.revision, m.device_id::text, m.seen_up_to, m.automatic, m.crossed, m.retracted, m.unreadable,
    m.id_clash, m.clash_of::text
FROM (SELECT * FROM entries WHERE owner_id = %(owner)s AND account_id = %(account)s
    AND position > %(after)s ORDER BY position LIMIT %(limit)s) e
LEFT JOIN messages m ON m.account_id = e.account_id AND m.message_id = e.about_id
ORDER BY e.position
"""
_CONVERSATIONS = (
    f"SELECT {CONVERSATION} FROM conversations"
    " WHERE account_id = %s AND conversation_id = ANY(%s::uuid[])"
).encode()
_NOTES = f"SELECT {NOTE} FROM notes WHERE account_id = %s AND note_id = ANY(%s::uuid[])".encode()


async def read_inbox(connection: Connection, question: ReadInbox) -> InboxPage:
    """Entries after a position in order. An inbox that nobody ever got an entry in is empty, not absent."""
    limit = min(max(question.limit, 1), _MOST_ENTRIES)
    values = {
        "owner": question.owner_id,
        "viewer": question.owner_id,
        "holder": question.owner_id,
        "account": question.account_id,
        "after": question.after,
        "limit": limit + 1,
    }
    # Asked together and fetched afterwards: one round trip when the connection is a pipeline.
    entries = await connection.cursor(binary=True).execute(_ENTRIES, values)
    numbers = await connection.execute(HEAD_AND_UNREAD, values)
    receipts = await connection.execute(_RECEIPTS, values)
    rows = await entries.fetchall()
    pointed = await _pointed(connection, question.account_id, rows[:limit])
    page, is_cut = _page(question, rows[:limit], pointed)
    head, unread = (await numbers.fetchall())[0]
    return InboxPage(
        entries=page,
        head=head,
        unread=unread,
        receipts=tuple([receipt(row) for row in await receipts.fetchall()]),
        more=is_cut or len(rows) > limit,
        unheard=await _unheard(connection, question) if question.unheard_since_ns else (),
    )


def _page(
    question: ReadInbox, rows: Sequence[Row], found: _Found
) -> tuple[tuple[Entry, ...], bool]:
    """The entries that fit an answer, at least one, and whether there were more."""
    entries: list[Entry] = []
    size = 0
    for row in rows:
        entry = _entry(question, row, found)
        size += entry_size(entry)
        if size > MOST_BYTES and entries:
            return tuple(entries), True
        entries.append(entry)
    return tuple(entries), False


def entry_size(entry: Entry) -> int:
    """Bytes that an entry takes in an answer, about."""
    if entry.message is not None:
        return _ENTRY_BYTES + message_size(entry.message)
    note_bytes = len(entry.note.body) if entry.note is not None else 0
    conversation_bytes = 1000 if entry.conversation is not None else 0
    return (
        _ENTRY_BYTES
        + conversation_bytes
        + note_bytes
        + sum(message_size(x) for x in entry.messages)
    )


async def _pointed(connection: Connection, account_id: AccountId, rows: Sequence[Row]) -> _Found:
    ids = list({row[4] for row in rows})
    conversations: list[Row] = []
    if ids:
        about = await connection.execute(_CONVERSATIONS, [account_id, ids])
        conversations = await about.fetchall()
    note_ids = [row[5] for row in rows if row[3] == "note"]
    ranges = [(account_id, row[4], row[6], row[7]) for row in rows if row[7]]
    notes: list[NoteRow] = []
    if note_ids:
        found = await connection.execute(_NOTES, [account_id, note_ids])
        notes = [note(x) for x in await found.fetchall()]
    return _Found(
        notes={x.note_id: x for x in notes},
        conversations={row[1]: conversation(row) for row in conversations},
        ranges=await read_ranges(connection, ranges),
    )


def _entry(question: ReadInbox, row: Row, found: _Found) -> Entry:
    position, prev, at_ns, kind, conversation_id, about_id, from_seq, to_seq = row[:8]
    owner_id = question.owner_id
    about = found.conversations[conversation_id]
    held = owner_id in (about.contact_id, about.agent_id)
    if kind in _MESSAGE_KINDS:
        return Entry(
            owner_id=owner_id,
            position=position,
            prev=prev,
            at_ns=at_ns,
            kind=kind,
            conversation_id=conversation_id,
            held=held,
            message=message((question.account_id, conversation_id, about_id, *row[8:])),
        )
    messages = tuple(found.ranges.get((conversation_id, from_seq), ())) if to_seq else ()
    return Entry(
        owner_id=owner_id,
        position=position,
        prev=prev,
        at_ns=at_ns,
        kind=kind,
        conversation_id=conversation_id,
        held=held,
        note=found.notes[about_id] if kind == "note" else None,
        conversation=about if kind != "note" else None,
        from_seq=from_seq,
        to_seq=to_seq,
        messages=messages,
        more=bool(to_seq) and (not messages or messages[-1].seq < to_seq),
    )


_RECEIPTS = (
    f"SELECT {', '.join(f'r.{x.strip()}' for x in RECEIPT.split(','))}"
    " FROM conversations c JOIN receipts r USING (account_id, conversation_id)"
    " WHERE c.account_id = %(account)s AND r.position > %(after)s"
    " AND (c.contact_id = %(owner)s::uuid OR c.agent_id = %(owner)s::uuid)"
    " ORDER BY r.position DESC LIMIT 500"
).encode()


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
