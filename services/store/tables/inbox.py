"""Questions about inboxes: entries after a position, and which inboxes of a bucket moved."""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg
from psycopg.pq import Format
from psycopg.types.numeric import Int8

from services.store.tables.conversations import UNREAD_OF_HOLDER
from services.store.tables.messages import message_size
from services.store.tables.paging import MOST_BYTES
from services.store.tables.ranges import MOST_BYTES as MOST_RANGE_BYTES
from services.store.tables.ranges import MOST_MESSAGES as MOST_RANGE
from services.store.tables.read import (
    CONVERSATION,
    NOTE,
    RECEIPT,
    Row,
    conversation,
    note,
    receipt,
)
from shared import packed
from shared.database import Connection
from shared.errors import Rejected
from shared.ids import Position
from shared.queries import (
    ConversationRow,
    Entry,
    Heads,
    InboxPage,
    MessageRow,
    NoteRow,
    ReadHeads,
    ReadInbox,
    UnheardRow,
)

_MOST_ENTRIES = 500
_MOST_OWNERS = 8000
_MOST_UNHEARD = 50
_MOST_RECEIPTS = 500
_ENTRY_BYTES = 200
_ABOUT_MESSAGES = "('message', 'message_edited', 'message_retracted')"

# A line of `shared.packed`: what is not so for most messages follows a tab. Whose device it was is only for its owner.
_LINE = """
int8send(e.position) || int8send(e.prev) || int8send(e.at_ns) || int8send(m.seq) || int8send(m.seen_up_to)
|| uuid_send(m.conversation_id) || uuid_send(m.message_id) || textsend(m.message_id::text)
|| int4send(octet_length(m.body))
|| textsend(e.kind || ' ' || m.author_kind || ' ' || m.author_id || ' ' || m.content_type
|| CASE WHEN e.kind = 'message' AND m.author_id <> %(viewer)s AND m.revision = 0 AND m.clash_of IS NULL AND NOT
(m.automatic OR m.crossed OR m.retracted OR m.unreadable OR m.id_clash) THEN '' ELSE E'\\t'
|| CASE WHEN e.kind = 'message' THEN ' ' ELSE m.position || ' ' || m.at_ns END || ' ' || m.revision || ' '
|| coalesce(m.device_id::text, '') || ' ' || coalesce(m.clash_of::text, '') || ' '
|| CASE WHEN m.automatic THEN 'a' ELSE '' END || CASE WHEN m.crossed THEN 'c' ELSE '' END
|| CASE WHEN m.retracted THEN 'r' ELSE '' END || CASE WHEN m.unreadable THEN 'u' ELSE '' END
|| CASE WHEN m.id_clash THEN 'i' ELSE '' END END || E'\\n') || m.body
"""

# Everything that a page needs, as one statement: one snapshot, one round trip, one row. Its fixed limits let the
# planner see that a page is small whatever is asked for; each lateral is looked up row by row, or the planner would
# begin with everybody's receipts.
PAGE = f"""
WITH page AS MATERIALIZED (SELECT * FROM (SELECT position, prev, at_ns, kind, conversation_id, about_id, from_seq, to_seq
FROM entries WHERE owner_id = %(holder)s::uuid AND account_id = %(account)s AND position > %(after)s
ORDER BY position LIMIT {_MOST_ENTRIES}) first LIMIT %(limit)s),
about AS MATERIALIZED (SELECT c.*, p.is_shown FROM
(SELECT conversation_id, bool_or(kind NOT IN {_ABOUT_MESSAGES} AND kind <> 'note') AS is_shown FROM page GROUP BY 1) p
CROSS JOIN LATERAL (SELECT * FROM conversations WHERE account_id = %(account)s AND conversation_id = p.conversation_id
LIMIT 1) c)
SELECT k.position, k.epoch, (SELECT max(position) FROM page),
(SELECT max(position) FROM entries WHERE owner_id = %(holder)s AND account_id = %(account)s),
CASE WHEN %(counted)s THEN ({UNREAD_OF_HOLDER}) ELSE 0 END,
(SELECT string_agg({_LINE}, '') FROM page e CROSS JOIN LATERAL (SELECT * FROM messages
WHERE account_id = %(account)s AND message_id = e.about_id LIMIT 1) m WHERE e.kind IN {_ABOUT_MESSAGES}),
(SELECT string_agg(uuid_send(conversation_id), '') FROM about WHERE %(holder)s IN (contact_id, agent_id)),
(SELECT json_agg(json_build_array(position, prev, at_ns, kind, conversation_id, about_id, from_seq, to_seq))::text
FROM page WHERE kind NOT IN {_ABOUT_MESSAGES}),
(SELECT json_agg(json_build_array({CONVERSATION}))::text FROM about WHERE is_shown),
(SELECT json_agg(json_build_array({NOTE.replace("body", "encode(body, 'base64')")}))::text
FROM (SELECT n.* FROM page e CROSS JOIN LATERAL (SELECT * FROM notes
WHERE account_id = %(account)s AND note_id = e.about_id LIMIT 1) n WHERE e.kind = 'note') noted),
(SELECT string_agg({_LINE}, '') FROM page e CROSS JOIN LATERAL (SELECT * FROM messages
WHERE account_id = %(account)s AND conversation_id = e.conversation_id AND seq BETWEEN e.from_seq AND e.to_seq
ORDER BY seq LIMIT {MOST_RANGE}) m WHERE e.to_seq > 0),
(SELECT json_agg(json_build_array({RECEIPT}))::text FROM (SELECT r.* FROM (SELECT conversation_id
FROM conversations WHERE account_id = %(account)s AND (contact_id = %(holder)s OR agent_id = %(holder)s) OFFSET 0) c
CROSS JOIN LATERAL (SELECT * FROM receipts WHERE account_id = %(account)s AND conversation_id = c.conversation_id
AND position > %(after)s OFFSET 0) r ORDER BY r.position DESC LIMIT {_MOST_RECEIPTS}) changed),
CASE WHEN %(since)s > 0 THEN (SELECT json_agg(json_build_array(e.position, e.at_ns, e.conversation_id))::text
FROM (SELECT * FROM entries WHERE owner_id = %(holder)s AND account_id = %(account)s AND position <= %(after)s
ORDER BY position DESC LIMIT {_MOST_UNHEARD}) e
CROSS JOIN LATERAL (SELECT agent_id FROM conversations WHERE account_id = %(account)s
AND conversation_id = e.conversation_id LIMIT 1) c
LEFT JOIN LATERAL (SELECT author_id FROM messages WHERE e.kind = 'message' AND account_id = %(account)s
AND message_id = e.about_id LIMIT 1) m ON true
LEFT JOIN LATERAL (SELECT read FROM receipts WHERE account_id = %(account)s AND conversation_id = e.conversation_id
AND recipient_id = %(viewer)s LIMIT 1) r ON true WHERE e.at_ns >= %(since)s AND c.agent_id = %(holder)s
AND (e.kind = 'conversation_assigned' OR m.author_id <> %(viewer)s) AND coalesce(r.read, 0) < e.position) END
FROM checkpoint k WHERE k.shard = %(shard)s
"""
# To plan it takes longer than to carry it out. Every look-up is by an index, and no id of a message comes twice.
PLANNED_ONCE = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_memoize": "off",
    "jit": "off",
}
_NAMES = ("holder", "viewer", "account", "after", "limit", "since", "shard", "counted")


def _numbered(statement: str) -> bytes:
    """With $1, $2, … for the names: a statement of this length would be read anew for each question."""
    for number, name in enumerate(_NAMES, 1):
        statement = statement.replace(f"%({name})s", f"${number}")
    return statement.encode()


@functools.cache
def _planned_at(doublings: int) -> bytes:
    """A plan that was made when there was little is a bad one later, and nobody analyses tables within their first
    minute: the statement is another one, and planned anew, whenever the log has doubled."""
    return b"/* %d */" % doublings + _numbered(PAGE)


def limit_of(question: ReadInbox) -> int:
    """How many entries a page may have."""
    return min(max(question.limit, 1), _MOST_ENTRIES)


async def read_inbox(
    connection: Connection, question: ReadInbox, shard: str, *, end: Position
) -> tuple[Position, str, InboxPage] | None:
    """Checkpoint, epoch and the entries after a position. An inbox that nobody ever got an entry in is empty, not
    absent; None: the store has not begun yet. `end`: about where the log ends."""
    cursor = psycopg.AsyncRawCursor(connection)
    cursor.format = Format.BINARY
    await cursor.execute(
        _planned_at(end.bit_length()),
        [
            question.owner_id,
            question.owner_id,
            question.account_id,
            Int8(question.after),
            Int8(limit_of(question)),
            Int8(question.unheard_since_ns),
            shard,
            question.counts_unread,
        ],
        prepare=True,
    )
    row = await cursor.fetchone()
    return None if row is None else page_of(row, question)


def page_of(row: Row, question: ReadInbox) -> tuple[Position, str, InboxPage]:
    """Checkpoint, epoch and page of a row of `PAGE`."""
    checkpoint, epoch, last, head, unread, lines, held, *rest = row
    others, conversations, notes, given, receipts, unheard = rest
    found = _Found(
        notes={row[2]: _note(row) for row in _listed(notes)},
        conversations={row[1]: conversation(row) for row in _listed(conversations)},
        given=_given(given or b"", question),
        held=packed.ids_in(held or b""),
    )
    page = InboxPage(
        head=head or 0,
        last=last or 0,
        entries=_others(question, _listed(others), found),
        packed=lines or b"",
        held=held or b"",
        unread=unread,
        receipts=tuple([receipt(x) for x in _listed(receipts)]),
        more=bool(last) and last < head,
        unheard=tuple(
            [
                UnheardRow(position=position, at_ns=at_ns, conversation_id=conversation_id)
                for position, at_ns, conversation_id in reversed(_listed(unheard))
            ]
        ),
    )
    return checkpoint, epoch, _fitting(page)


def _listed(text: str | None) -> list[Any]:
    return msgspec.json.decode(text) if text else []


class _Found(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What entries that are not about one message point to, by id; `given`: by the entry's position."""

    notes: dict[str, NoteRow]
    conversations: dict[str, ConversationRow]
    given: dict[Position, list[MessageRow]]
    held: set[bytes]


def _given(lines: bytes, question: ReadInbox) -> dict[Position, list[MessageRow]]:
    found: dict[Position, list[MessageRow]] = {}
    for line in packed.split(lines):
        found.setdefault(line[0], []).append(packed.row_of(line, question.account_id))
    return found


def _note(row: list[Any]) -> NoteRow:
    return note((*row[:-1], base64.b64decode(row[-1])))


def _others(question: ReadInbox, rows: Sequence[Row], found: _Found) -> tuple[Entry, ...]:
    """The entries that are not about one message."""
    entries = []
    for position, prev, at_ns, kind, conversation_id, about_id, from_seq, to_seq in rows:
        messages = _bearable(found.given.get(position, []))
        entries.append(
            Entry(
                owner_id=question.owner_id,
                position=position,
                prev=prev,
                at_ns=at_ns,
                kind=kind,
                conversation_id=conversation_id,
                held=packed.id_bytes(conversation_id) in found.held,
                note=found.notes[about_id] if kind == "note" else None,
                conversation=found.conversations[conversation_id] if kind != "note" else None,
                from_seq=from_seq,
                to_seq=to_seq,
                messages=messages,
                more=bool(to_seq) and (not messages or messages[-1].seq < to_seq),
            )
        )
    return tuple(entries)


def _bearable(rows: Sequence[MessageRow]) -> tuple[MessageRow, ...]:
    """The first messages of an assignment, as many as are not too large to come with it."""
    size = 0
    for number, row in enumerate(rows):
        size += len(row.body)
        if number and size > MOST_RANGE_BYTES:
            return tuple(rows[:number])
    return tuple(rows)


def _fitting(page: InboxPage) -> InboxPage:
    """The page as far as it fits an answer, one entry at least."""
    size = len(page.packed) + sum(entry_size(entry) for entry in page.entries)
    if size <= MOST_BYTES:
        return page
    sizes = packed.sizes(page.packed)
    sizes |= {entry.position: entry_size(entry) for entry in page.entries}
    kept, total = 0, 0
    for position in sorted(sizes):
        total += sizes[position]
        if total > MOST_BYTES and kept:
            break
        kept = position
    return msgspec.structs.replace(
        page,
        last=kept,
        entries=tuple([entry for entry in page.entries if entry.position <= kept]),
        packed=packed.until(page.packed, kept),
        more=True,
    )


def entry_size(entry: Entry) -> int:
    """Bytes that an entry takes in an answer, about."""
    note_bytes = len(entry.note.body) if entry.note is not None else 0
    conversation_bytes = 1000 if entry.conversation is not None else 0
    messages = sum(message_size(row) for row in entry.messages)
    return _ENTRY_BYTES + conversation_bytes + note_bytes + messages


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
