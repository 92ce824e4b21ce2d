"""Edge out: the SQL statements of the dispatcher. It only reads, and only to tell about the past."""

from __future__ import annotations

from shared.database import Connection
from shared.ids import AccountId, Position

_ROWS = 2_000
Row = tuple[Position, int, bytes]
"""Position, log time, payload."""


async def read_events(
    connection: Connection, shard: str, account_id: AccountId, *, after: Position, to: Position
) -> list[Row]:
    """The account's next events after a position, up to another; an empty list when there are no more."""
    cursor = await connection.execute(
        "SELECT position, at_ns, payload FROM truth.events"
        " WHERE shard = %s AND position > %s AND position <= %s AND account_id = %s"
        " ORDER BY position LIMIT %s",
        [shard, after, to, account_id, _ROWS],
    )
    return await cursor.fetchall()
