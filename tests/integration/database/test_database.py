"""Migrations run once and forward; the checkpoint has one holder; a lost server is Unavailable."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from deploy.dev.postgres_server import PostgresServer
from shared.database import (
    Connection,
    Move,
    borrow,
    connect,
    give_up_lead,
    guard_durability,
    lost_as_unavailable,
    migrate,
    move_checkpoint,
    open_pool,
    read_checkpoint,
    take_lead,
)
from shared.errors import Refused, Unavailable


async def test_migrations_run_once_however_many_start_them(empty_database_url: str) -> None:
    """Three at once: one applies, the others find it done, and a later run has nothing to do."""
    done = await asyncio.gather(*(migrate(empty_database_url) for _ in range(3)))
    assert sorted(map(bool, done)) == [False, False, True]
    assert await migrate(empty_database_url) == []


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("UPDATE nightdesk_migrations SET sha256 = 'x'", "edited"),
        ("INSERT INTO nightdesk_migrations VALUES ('9999_later.sql', 'x')", "newer"),
    ],
)
async def test_a_history_that_is_not_ours_is_refused(
    database_url: str, statement: str, word: str
) -> None:
    """An edited migration and a database of a newer release end with one clear line."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(statement.encode())
    with pytest.raises(Refused, match=word):
        await migrate(database_url)


async def test_one_leads_and_the_other_gets_it_when_it_is_given_up(database_url: str) -> None:
    """A fresh lead is not taken; a move by who does not lead, or from elsewhere, is none."""
    connection = await connect(database_url, name="test")
    try:
        assert await take_lead(connection, "s", "nobody") is None
        first = await read_checkpoint(connection, "s")
        assert (first.position, first.is_fresh) == (0, False)
        assert await take_lead(connection, "s", "one") is not None
        assert await take_lead(connection, "s", "two") is None
        forward = Move(shard="s", leader="one", expected=0, to=5, digest=b"d", at_ns=1)
        assert not await move_checkpoint(
            connection, Move(shard="s", leader="two", expected=0, to=5)
        )
        assert await move_checkpoint(connection, forward)
        assert not await move_checkpoint(connection, forward)
        await give_up_lead(connection, "s", "one")
        taken = await take_lead(connection, "s", "two")
        assert taken is not None
        assert (taken.position, taken.digest, taken.epoch) == (5, b"d", first.epoch)
    finally:
        await connection.close()


async def test_a_server_that_does_not_sync_is_refused_in_production(
    postgres_server: PostgresServer,
) -> None:
    """fsync=off forgets commits when the machine loses power: production refuses it, development is warned."""
    url = postgres_server.url()
    with pytest.raises(Refused, match="fsync=off"):
        await guard_durability(url, mode="production")
    assert "fsync" in await guard_durability(url, mode="development")


async def test_a_server_that_is_away_is_unavailable() -> None:
    """Connecting and borrowing say "later", in time, instead of raising what a driver raises."""
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    with pytest.raises(Unavailable):
        await connect(nowhere, name="test")
    pool = await open_pool(nowhere, name="test")
    with pytest.raises(Unavailable):
        async with borrow(pool, timeout_s=0.2):
            pass
    await pool.close()


async def test_a_session_can_not_hold_a_lock_while_it_idles(database_url: str) -> None:
    """A process that is frozen inside a transaction loses it, so that another can go on."""
    connection = await connect(database_url, name="test")
    found = await connection.execute(
        "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)",
        [["idle_in_transaction_session_timeout", "lock_timeout", "synchronous_commit"]],
    )
    assert dict(await found.fetchall()) == {
        "idle_in_transaction_session_timeout": "2000",
        "lock_timeout": "3000",
        "synchronous_commit": "on",
    }
    await connection.execute("SET idle_in_transaction_session_timeout = '50ms'")
    with pytest.raises(Unavailable):
        await _idle_in_transaction(connection, database_url)
    await connection.close()


async def _idle_in_transaction(connection: Connection, url: str) -> None:
    with lost_as_unavailable("testing"):
        async with connection.transaction():
            await connection.execute("SELECT 1")
            await asyncio.to_thread(_until_gone, url)
            await connection.execute("SELECT 1")


def _until_gone(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
        while other.execute(query + " AND datname = current_database()").fetchall()[0][0]:
            other.execute("SELECT pg_sleep(0.01)")
