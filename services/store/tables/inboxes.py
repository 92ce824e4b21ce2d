"""Pages of several inboxes as one statement. To begin `inbox.PAGE` costs PostgreSQL as much as twenty messages of it, and
to send it and be answered costs us more; of many who come back together only the first pays for both."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import psycopg
from psycopg.pq import Format

from services.store.tables.inbox import PAGE, limit_of, page_of, read_inbox
from shared.database import Connection
from shared.ids import Position
from shared.queries import InboxPage, ReadInbox

_COLUMNS = {
    "holder": "uuid",
    "viewer": "text",
    "account": "uuid",
    "after": "int8",
    "limit": "int8",
    "since": "int8",
    "counted": "bool",
}


def _joined() -> bytes:
    """The page's statement once for each question, which are rows of arrays."""
    page = PAGE.replace("%(shard)s", f"${len(_COLUMNS) + 1}")
    for name in _COLUMNS:
        page = page.replace(f"%({name})s", f"asked.its_{name}")
    arrays = ", ".join(f"${at}::{kind}[]" for at, kind in enumerate(_COLUMNS.values(), 1))
    names = ", ".join(f"its_{name}" for name in _COLUMNS)
    return (
        f"SELECT asked.number, found.* FROM unnest({arrays}) WITH ORDINALITY asked({names}, number)"
        f" CROSS JOIN LATERAL ({page}) found"
    ).encode()


_JOINED = _joined()


@functools.cache
def _planned_at(doublings: int) -> bytes:
    """As in `inbox`: planned anew whenever the log has doubled."""
    return b"/* %d */" % doublings + _JOINED


async def read_inboxes(
    connection: Connection, questions: Sequence[ReadInbox], shard: str, *, end: Position
) -> list[tuple[Position, str, InboxPage]] | None:
    """What `inbox.read_inbox` says to each question, all of one snapshot; one alone is asked by it. None: the store has
    not begun yet."""
    if len(questions) == 1:
        one = await read_inbox(connection, questions[0], shard, end=end)
        return None if one is None else [one]
    cursor = psycopg.AsyncRawCursor(connection)
    cursor.format = Format.BINARY
    owners = [each.owner_id for each in questions]
    await cursor.execute(
        _planned_at(end.bit_length()),
        [
            owners,
            owners,
            [each.account_id for each in questions],
            [each.after for each in questions],
            [limit_of(each) for each in questions],
            [each.unheard_since_ns for each in questions],
            [each.counts_unread for each in questions],
            shard,
        ],
        prepare=True,
    )
    rows = {row[0]: row[1:] for row in await cursor.fetchall()}
    if not rows:
        return None
    return [page_of(rows[at], question) for at, question in enumerate(questions, 1)]
