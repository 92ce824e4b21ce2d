"""A small batch as one statement: the checkpoint by compare-and-set, and only if it moved the rows of every table.

A transaction of COPYs costs two round trips a table, whatever it holds; a batch of a few events paid more for them
than for its rows. One statement is a transaction of its own: one round trip, one wait for the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from services.store.tables.binary import record_array
from services.store.tables.layout import TABLES, TALLIES, Layout, Table
from services.store.tables.parameters import Encoded
from shared.database import MOVE_CHECKPOINT, Connection, Move

_BY_NAME = {table.name: table for table in TABLES}


class Records(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The rows for one table, each encoded."""

    table: Table
    rows: list[bytes]


async def write_at_once(
    connection: Connection, move: Move, records: Sequence[Records], layout: Layout
) -> bool:
    """Commit. False: somebody else leads, and nothing was written."""
    text = _statement(tuple([x.table.name for x in records]))
    arrays = [Encoded(record_array(layout[x.table.name], x.rows)) for x in records]
    if records and records[-1].table is TALLIES:
        arrays.append(arrays[-1])
    found = await connection.execute(text, [*move.parameters, *arrays], prepare=True)
    return bool((await found.fetchall())[0][0])


@lru_cache(maxsize=1024)
def _statement(names: tuple[str, ...]) -> bytes:
    parts = [f"moved AS ({MOVE_CHECKPOINT} RETURNING 1)"]
    parts += [f"t{number} AS ({_insert(_BY_NAME[name])})" for number, name in enumerate(names)]
    if TALLIES.name in names:
        parts.append(f"gone AS ({_DELETE_EMPTY})")
    return f"WITH {', '.join(parts)} SELECT count(*) FROM moved".encode()


def _insert(table: Table) -> str:
    text = (
        f"INSERT INTO {table.name} AS t ({', '.join(table.columns)})"
        f" SELECT x.* FROM moved, unnest(%s::{table.name}[]) AS x"
    )
    if table is TALLIES:
        return f"{text} WHERE NOT EXISTS ({_EMPTY}) {_ON_CONFLICT}"
    if not table.key:
        return text
    keys = [name for name, _ in table.key]
    changes = [f"{name} = excluded.{name}" for name in table.columns if name not in keys]
    return f"{text} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {', '.join(changes)}"


# Tallies grow by what is given. One that would count nothing afterwards is deleted, because batches of another size
# would not have made it; a statement can't update a row and delete it, so the two look at different ones.
_EMPTY = (
    "SELECT FROM conversation_tallies o WHERE (o.account_id, o.inbox_id, o.team_id, o.status, o.is_held)"
    " = (x.account_id, x.inbox_id, x.team_id, x.status, x.is_held)"
    " AND o.conversations + x.conversations = 0"
)
_ON_CONFLICT = (
    "ON CONFLICT (account_id, inbox_id, team_id, status, is_held) DO UPDATE"
    " SET conversations = t.conversations + excluded.conversations, unread = t.unread + excluded.unread,"
    " overdue = t.overdue + excluded.overdue, escalated = t.escalated + excluded.escalated"
)
_DELETE_EMPTY = (
    "DELETE FROM conversation_tallies o USING moved, unnest(%s::conversation_tallies[]) AS x WHERE"
    " (o.account_id, o.inbox_id, o.team_id, o.status, o.is_held)"
    " = (x.account_id, x.inbox_id, x.team_id, x.status, x.is_held)"
    " AND o.conversations + x.conversations = 0"
)
