"""Rows of many questions for one row each, as one statement that says itself of which checkpoint it is: to send a
statement and to be answered costs more than twenty such rows.

Ids must be canonical: one that is none would cost all the others their answer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg.pq import Format

from services.store.tables.read import Row, contact
from shared.database import Connection
from shared.ids import Position
from shared.queries import FactsRow, MessageIdRow

Found = tuple[Position, str, Any]
"""Checkpoint, epoch and the row; None: there is none."""


class Key(NamedTuple):
    """Whose, and which."""

    account_id: str
    own_id: str


class Kind(NamedTuple):
    """A statement and what a row of it is."""

    statement: str
    row: Callable[[Row], Any]


def _of(table: str, key: str, columns: str) -> str:
    """Each row by its primary key, whatever the planner believes of the table's size."""
    return (
        "SELECT p.position, p.epoch, asked.number, found.* FROM checkpoint p"
        " CROSS JOIN unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY asked(account_id, own_id, number)"
        f" LEFT JOIN LATERAL (SELECT {columns} FROM {table} WHERE account_id = asked.account_id"
        f" AND {key} = asked.own_id LIMIT 1) found ON true WHERE p.shard = $3"
    )


def _facts(row: Row) -> FactsRow:
    return FactsRow(
        account_id=row[0],
        conversation_id=row[1],
        contact_id=row[2],
        inbox_id=row[3],
        team_id=row[4],
        agent_id=row[5],
        previous_agent_id=row[6],
        status=row[7],
        last_entry=row[8],
        version=row[9],
    )


FACTS = Kind(
    statement=_of(
        "conversations",
        "conversation_id",
        "account_id::text, conversation_id::text, contact_id::text, inbox_id::text, team_id::text,"
        " agent_id::text, previous_agent_id::text, status, last_entry, version",
    ),
    row=_facts,
)
MESSAGE_IDS = Kind(
    statement=_of("message_ids", "message_id", "position, fingerprint"),
    row=lambda row: MessageIdRow(position=row[0], fingerprint=row[1]),
)
CONTACTS = Kind(
    statement=_of(
        "contacts",
        "contact_id",
        "account_id::text, contact_id::text, inbox_id::text, is_identified, profile,"
        " profile_revision, merged_into::text, created_ns",
    ),
    row=contact,
)


@functools.cache
def _planned_at(statement: str, doublings: int) -> bytes:
    """As in `inbox`: planned anew whenever the log has doubled."""
    return f"/* {doublings} */ {statement}".encode()


async def read_keyed(
    connection: Connection, kind: Kind, keys: Sequence[Key], shard: str, *, end: Position
) -> list[Found] | None:
    """What there is under each key, in their order, all of one snapshot. None: the store has not begun yet. `end`:
    about where the log ends."""
    cursor = psycopg.AsyncRawCursor(connection)
    cursor.format = Format.BINARY
    await cursor.execute(
        _planned_at(kind.statement, end.bit_length()),
        [[key.account_id for key in keys], [key.own_id for key in keys], shard],
        prepare=True,
    )
    rows = {row[2]: row for row in await cursor.fetchall()}
    if not rows:
        return None
    return [_found(rows[at], kind) for at in range(1, len(keys) + 1)]


def _found(row: Row, kind: Kind) -> Found:
    # Every such row begins with a column that is never null.
    return row[0], row[1], None if row[3] is None else kind.row(row[3:])
