"""Poison, strangers, a database that goes away, servers that forget: nothing is lost for anyone else."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
import psycopg
import pytest

from deploy.dev.nats_server import NatsServer
from deploy.dev.postgres_server import PostgresServer
from services.store.tables.layout import read_layout
from shared import codec
from shared import events as e
from shared import queries as q
from shared.bus import Entry
from shared.database import connect
from shared.errors import Refused
from shared.ids import ConversationId
from shared.subjects import event_subject
from tests.integration.store.conftest import Asker, store_here
from tests.integration.store.test_truth import differences
from tests.integration.store.traffic import created, day, posted
from tests.support.desk import ACCOUNT, conversation_id, started, visitor
from tests.support.log import PATIENCE_S, running
from tests.support.servers import migrate
from tests.support.services import Surroundings, TestLog, open_test_log, service


def quarantine(url: str) -> list[tuple[int, str]]:
    """Positions and reasons."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT position, reason FROM truth.quarantine ORDER BY position"
        ).fetchall()


async def append_raw(log: TestLog, payload: bytes) -> int:
    """Append bytes that are no event of ours."""
    async with running(log.bus, log.shard) as commit:
        entry = Entry(subject=event_subject(log.shard, "message"), payload=payload, key="raw")
        return (await commit.append([entry], timeout_s=PATIENCE_S))[0]


async def messages(asker: Asker, at_least: int) -> list[q.MessageRow]:
    await asker.until_stored(at_least)
    question = q.ListMessages(
        account_id=ACCOUNT, conversation_id=conversation_id("v"), at_least=at_least
    )
    return list((await asker.ask("messages", question, q.MessagePage)).rows)


async def test_what_no_row_can_hold_is_quarantined_alone(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """A NUL in a text, an id that is none and garbage are set aside; everything around them is stored, and
    verify agrees."""
    before = [("conversation", created("v")), ("conversation", started("v"))]
    await log.append_mixed([*before, *(("message", posted("v", f"a{i}")) for i in range(30))])  # type: ignore[list-item]
    nul = e.LabelsChanged(
        account_id=ACCOUNT, conversation_id=conversation_id("v"), by=visitor("v"), added=("a\0b",)
    )
    no_id = e.ConversationStarted(
        account_id=ACCOUNT,
        conversation_id=ConversationId("no id"),
        inbox_id=started("v").inbox_id,  # type: ignore[union-attr]
        contact_id=started("v").contact_id,  # type: ignore[union-attr]
        by=visitor("v"),
    )
    first = (await log.append("conversation", nul, no_id))[0]
    garbage = await append_raw(log, b"\xc1 not an event")
    last = (await log.append("message", *(posted("v", f"b{i}") for i in range(30))))[-1]
    async with store_here(around):
        assert len(await messages(asker, last)) == 60
        assert [x[0] for x in quarantine(around.database_url)] == [first, first + 1, garbage]
        assert await differences(around, log) == {}


async def test_an_unreadable_message_keeps_its_place(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """A message whose inside can't be read takes its seq, is shown as unreadable, and is set aside."""
    raw = msgspec.msgpack.decode(codec.encode_event(posted("v", "broken")))
    raw["author"] = 7
    await log.append("conversation", created("v"), started("v"))
    await log.append("message", posted("v", "before"))
    position = await append_raw(log, msgspec.msgpack.encode(raw))
    last = (await log.append("message", posted("v", "after")))[0]
    async with store_here(around):
        rows = await messages(asker, last)
        assert [(row.seq, row.unreadable, row.body) for row in rows] == [
            (1, False, b"before"),
            (2, True, b""),
            (3, False, b"after"),
        ]
        assert quarantine(around.database_url) == [(position, "unreadable")]


async def test_an_event_of_an_unknown_conversation_is_set_aside(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """It stays in the log's memory with a reason, and the same message is stored once its conversation exists."""
    stray = (await log.append("message", posted("v", "m")))[0]
    await log.append("conversation", created("v"), started("v"))
    last = (await log.append("message", posted("v", "m")))[0]
    async with store_here(around):
        assert [row.position for row in await messages(asker, last)] == [last]
        assert quarantine(around.database_url) == [(stray, "unknown_conversation")]


async def test_much_poison_stops_the_store(around: Surroundings, log: TestLog) -> None:
    """More unreadable events than a fault of somebody else explains: the store stops, loudly."""
    for _ in range(12):
        await append_raw(log, b"\xc1")
    status, errors = await _run_store(around)
    assert status == 2
    assert "unreadable events" in errors


async def test_a_database_that_restarts_is_waited_for(
    nats_server: NatsServer, fresh_postgres: PostgresServer, shard: str, tmp_path: Path
) -> None:
    """PostgreSQL killed in mid-run: questions are answered "unavailable" meanwhile, and then nothing is missing."""
    migrate(fresh_postgres.url())
    around = Surroundings(
        nats=nats_server, database_url=fresh_postgres.url(), shard=shard, directory=tmp_path
    )
    async with open_test_log(nats_server, shard) as log:
        asker = Asker(log)
        with service("store", around, settings={"NIGHTDESK_STORE_BATCH_ENTRIES": "50"}):
            events = day(900, seed=6)
            await asker.until_stored(await log.append_mixed(events[:300]))
            written = asyncio.create_task(log.append_mixed(events[300:]))
            fresh_postgres.kill()
            answer = await asker.answer("counts", q.GetCounts(account_id=ACCOUNT))
            assert answer.status == "unavailable"
            fresh_postgres.start()  # only the main thread may start processes
            await asker.until_stored(await written)
            assert await differences(around, log) == {}


async def test_a_server_that_forgets_commits_is_refused(
    around: Surroundings, fresh_postgres: PostgresServer
) -> None:
    """synchronous_commit=off ends the store before it begins, with one clear line and exit status 2."""
    migrate(fresh_postgres.url())
    with psycopg.connect(fresh_postgres.url(superuser=True), autocommit=True) as connection:
        connection.execute("ALTER DATABASE nightdesk SET synchronous_commit = off")
    lazy = msgspec.structs.replace(around, database_url=fresh_postgres.url())
    refused = await _run_store(lazy)
    assert refused[0] == 2
    assert "synchronous_commit=off" in refused[1]


async def _run_store(around: Surroundings) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.store",
        env=around.environment(),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return process.returncode or 0, errors.decode()


async def test_rows_never_go_into_the_wrong_columns(database_url: str) -> None:
    """Records name no columns: a table whose columns are not the known ones, in the known order, is refused."""
    connection = await connect(database_url, name="test")
    try:
        assert set(await read_layout(connection)) >= {"truth.events", "entries"}
        await connection.execute("ALTER TABLE devices_received RENAME owner_id TO x")
        await connection.execute("ALTER TABLE devices_received RENAME device_id TO owner_id")
        await connection.execute("ALTER TABLE devices_received RENAME x TO device_id")
        with pytest.raises(Refused, match="devices_received"):
            await read_layout(connection)
    finally:
        await connection.close()
