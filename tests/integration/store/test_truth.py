"""The projections are what the log says, whatever happened to the store meanwhile."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence

import psycopg
import pytest

from shared.events import Event
from shared.ids import Position
from shared.subjects import Family
from tests.integration.store.conftest import Asker
from tests.integration.store.traffic import day
from tests.support.services import Surroundings, TestLog, service, wait_ready


async def write(log: TestLog, events: Sequence[tuple[Family, Event]]) -> Position:
    """Append events of several families, keeping their order; the last position."""
    last = 0
    run: list[Event] = []
    for index, (family, event) in enumerate(events):
        run.append(event)
        if index + 1 == len(events) or events[index + 1][0] != family:
            last = (await log.append(family, *run))[-1]
            run = []
    return last


async def command(around: Surroundings, *arguments: str) -> tuple[int, str]:
    """Run `nightdesk …` as an operator does; exit status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli",
        *arguments,
        env=around.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, output.decode()


def change(around: Surroundings, statement: str) -> None:
    """Spoil something behind the store's back."""
    with psycopg.connect(around.database_url, autocommit=True) as connection:
        assert connection.execute(statement.encode()).rowcount


async def test_a_store_killed_again_and_again_ends_with_the_truth(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """SIGKILL in mid-run, three times, loses and doubles nothing: verify finds no difference."""
    settings = {"NIGHTDESK_STORE_BATCH_ENTRIES": "50"}
    with service("store", around, settings=settings) as store:
        written = asyncio.create_task(write(log, day(1500)))
        for _ in range(3):
            await asyncio.wait({written}, timeout=0.4)
            store.kill()
            store.start()
            await asyncio.to_thread(wait_ready, store)
        await asker.until_stored(await written)
    status, output = await command(around, "verify", "--json")
    assert (status, json.loads(output)["counts"]) == (0, {})


async def test_two_stores_write_as_one(around: Surroundings, log: TestLog, asker: Asker) -> None:
    """Of two stores one writes; when it is killed the other goes on, and nothing is missing or twice."""
    settings = {"NIGHTDESK_STORE_BATCH_ENTRIES": "50"}
    events = day(1200, seed=2)
    with (
        service("store", around, settings=settings) as first,
        service("store", around, settings=settings),
    ):
        await write(log, events[:600])
        first.kill()
        await asker.until_stored(await write(log, events[600:]))
    assert (await command(around, "verify"))[0] == 0


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("UPDATE projection.messages SET body = 'x' WHERE seq = 2", "messages"),
        ("DELETE FROM projection.entries WHERE position % 7 = 0", "entries"),
        ("UPDATE truth.message_ids SET fingerprint = 'x'", "message_ids"),
        ("DELETE FROM truth.events WHERE position = 100", "events"),
        ("UPDATE truth.events SET payload = 'x' WHERE position = 90", "events"),
    ],
)
async def test_verify_names_what_is_not_as_the_log_says(
    around: Surroundings, log: TestLog, asker: Asker, statement: str, table: str
) -> None:
    """A row changed, lost or forged behind the store's back is found, and no text is printed."""
    with service("store", around):
        await asker.until_stored(await write(log, day(200, seed=3)))
        change(around, statement)
        status, output = await command(around, "verify", "--json")
    assert status == 1
    assert table in json.loads(output)["counts"]


async def test_rebuild_repairs_while_the_store_runs(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """Spoiled projections are replaced by what the log says under a new epoch; the store goes on writing."""
    events = day(900, seed=4)
    with service("store", around):
        epoch = await asker.until_stored(await write(log, events[:500]))
        change(around, "UPDATE projection.messages SET seq = seq + 1000 WHERE seq = 1")
        written = asyncio.create_task(write(log, events[500:]))
        status, output = await command(around, "rebuild")
        assert (status, "new epoch" in output) == (0, True), output
        assert await asker.until_stored(await written) != epoch
        assert (await command(around, "verify"))[0] == 0


async def test_rebuild_of_sound_projections_keeps_the_epoch(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """When every number stays the same, cursors stay good."""
    with service("store", around):
        last = await write(log, day(200, seed=5))
        epoch = await asker.until_stored(last)
        status, output = await command(around, "rebuild")
        assert (status, "same epoch" in output) == (0, True), output
        assert await asker.until_stored(last) == epoch


async def test_verify_that_cannot_run_says_so(around: Surroundings) -> None:
    """Without a database the exit status is 2, not "no differences"."""
    nowhere = Surroundings(
        nats=around.nats,
        database_url="postgresql://nobody@127.0.0.1:1/nothing",
        shard=around.shard,
        directory=around.directory,
    )
    status, output = await command(nowhere, "verify")
    assert status == 2
    assert "database" in output
