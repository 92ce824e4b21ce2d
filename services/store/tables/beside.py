"""Projections beside the live ones: making their schema, putting it in place, and comparing the two."""

from __future__ import annotations

import msgspec

from shared.bus import Delivery
from shared.database import Connection
from shared.ids import Position

LIVE = "projection"
BESIDE = "projection_check"
_OLD = "projection_old"
_NOT_FOLDED = "checkpoint"
_MOST_SHOWN = 1000


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table that is compared: where the live one is, its key and its columns."""

    name: str
    schema: str
    key: tuple[str, ...]
    columns: tuple[str, ...]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A row that is not the same. `columns` are names only: what people wrote is never shown."""

    table: str
    key: str
    where: str
    columns: tuple[str, ...] = ()


async def make_beside(connection: Connection) -> None:
    """Empty tables of the same shape as the live ones, in their own schema."""
    async with connection.transaction():
        await connection.execute(f"DROP SCHEMA IF EXISTS {BESIDE} CASCADE".encode())
        await connection.execute(f"CREATE SCHEMA {BESIDE}".encode())
        for table in await tables(connection):
            await connection.execute(
                f"CREATE TABLE {BESIDE}.{table.name}"
                f" (LIKE {table.schema}.{table.name} INCLUDING ALL)".encode()
            )


async def drop_beside(connection: Connection) -> None:
    """Forget the tables beside."""
    await connection.execute(f"DROP SCHEMA IF EXISTS {BESIDE} CASCADE".encode())


async def tables(connection: Connection) -> list[Table]:
    """Every table that is folded from the log. `message_ids` is truth and folded all the same: so it is checked."""
    found = await connection.execute(
        "SELECT n.nspname, c.relname,"
        " (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a"
        "   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),"
        " (SELECT array_agg(a.attname::text ORDER BY array_position(i.indkey::int[], a.attnum::int))"
        "   FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)"
        "   WHERE i.indrelid = c.oid AND i.indisprimary)"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'"
        " AND (n.nspname = %s AND c.relname <> %s OR n.nspname = 'truth' AND c.relname = 'message_ids')"
        " ORDER BY c.relname",
        [LIVE, _NOT_FOLDED],
    )
    return [
        Table(name=name, schema=schema, columns=tuple(columns), key=tuple(key))
        for schema, name, columns, key in await found.fetchall()
    ]


async def compare(connection: Connection, table: Table) -> tuple[int, list[Difference]]:
    """How many rows differ between the live table and the one beside, and the first thousand of them."""
    keys = ", ".join(table.key)
    is_other = " OR ".join(f"l.{name} IS DISTINCT FROM c.{name}" for name in table.columns)
    names = ", ".join(
        f"CASE WHEN l.{name} IS DISTINCT FROM c.{name} THEN '{name}' END" for name in table.columns
    )
    first = table.key[0]
    found = await connection.execute(
        f"SELECT count(*) OVER (), concat_ws(' ', {keys}), l.{first} IS NULL, c.{first} IS NULL,"
        f" array_remove(ARRAY[{names}], NULL)"
        f" FROM {table.schema}.{table.name} l FULL JOIN {BESIDE}.{table.name} c USING ({keys})"
        f" WHERE {is_other} LIMIT {_MOST_SHOWN}".encode()
    )
    count = 0
    differences = []
    for total, key, is_not_live, is_not_folded, columns in await found.fetchall():
        count = total
        is_one = is_not_live or is_not_folded
        where = "only in the log" if is_not_live else "only live" if is_not_folded else "differs"
        differences.append(
            Difference(
                table=table.name,
                key=key,
                where=where,
                columns=() if is_one else tuple(columns),
            )
        )
    return count, differences


async def shards(connection: Connection) -> dict[str, tuple[Position, bytes | None]]:
    """Every shard with a live checkpoint, its position and digest."""
    found = await connection.execute(
        f"SELECT shard, position, digest FROM {LIVE}.checkpoint ORDER BY shard".encode()
    )
    return {shard: (position, digest) for shard, position, digest in await found.fetchall()}


async def read_events(
    connection: Connection, shard: str, *, after: Position, up_to: Position, limit: int
) -> list[tuple[Delivery, bytes]]:
    """Events of the append-only log, each with the digest that was kept when it was stored."""
    found = await connection.execute(
        "SELECT position, subject, at_ns, payload, digest FROM truth.events"
        " WHERE shard = %s AND position > %s AND position <= %s ORDER BY position LIMIT %s",
        [shard, after, up_to, limit],
    )
    return [(Delivery(*row[:4]), row[4]) for row in await found.fetchall()]


async def read_digests(
    connection: Connection, shard: str, *, after: Position
) -> dict[Position, bytes]:
    """Digests of the next stored events by position, for comparing them with the stream."""
    found = await connection.execute(
        "SELECT position, digest FROM truth.events WHERE shard = %s AND position > %s"
        " ORDER BY position LIMIT 10000",
        [shard, after],
    )
    return dict(await found.fetchall())


async def analyze(connection: Connection) -> None:
    """Let the planner know the tables beside before anybody asks them."""
    for table in await tables(connection):
        await connection.execute(f"ANALYZE {BESIDE}.{table.name}".encode())


async def hold_live(connection: Connection) -> None:
    """Inside a transaction: wait for questions and commits under way, let no new ones begin until it ends."""
    await connection.execute(f"LOCK TABLE {LIVE}.checkpoint IN ACCESS EXCLUSIVE MODE".encode())


async def put_in_place(connection: Connection, *, epoch: str | None) -> None:
    """Inside the transaction that holds the live ones: the tables beside become the live ones. The checkpoints go
    with them, without a leader, so whoever led begins a new term; `epoch`: the new one if numbers differ."""
    await connection.execute(
        f"CREATE TABLE {BESIDE}.checkpoint (LIKE {LIVE}.checkpoint INCLUDING ALL)".encode()
    )
    await connection.execute(
        f"INSERT INTO {BESIDE}.checkpoint (shard, position, digest, epoch, at_ns)"
        f" SELECT shard, position, digest, coalesce(%s, epoch), at_ns FROM {LIVE}.checkpoint".encode(),
        [epoch],
    )
    await connection.execute(f"DROP TABLE {BESIDE}.message_ids".encode())
    await connection.execute(f"DROP SCHEMA IF EXISTS {_OLD} CASCADE".encode())
    await connection.execute(f"ALTER SCHEMA {LIVE} RENAME TO {_OLD}".encode())
    await connection.execute(f"ALTER SCHEMA {BESIDE} RENAME TO {LIVE}".encode())


async def drop_old(connection: Connection) -> None:
    """Free the space of what was replaced."""
    await connection.execute(f"DROP SCHEMA IF EXISTS {_OLD} CASCADE".encode())
