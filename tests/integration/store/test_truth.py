"""The projections are what the log says, whatever happened to the store meanwhile."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import psycopg
import pytest
from prometheus_client import REGISTRY

from services.store import rebuild
from tests.integration.store.conftest import Asker, store_here
from tests.integration.store.traffic import created, day, edited, posted
from tests.support.desk import started
from tests.support.log import PATIENCE_S
from tests.support.services import Surroundings, TestLog, service, wait_ready


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
    output, _ = await asyncio.wait_for(process.communicate(), 2 * PATIENCE_S)
    return process.returncode or 0, output.decode()


async def differences(around: Surroundings, log: TestLog) -> dict[str, int]:
    """What `nightdesk verify` counts, without the seconds that a command takes to start."""
    result = await rebuild.verify(around.database_url, log.bus, lambda *_: None)
    return result.counts


def change(around: Surroundings, statement: str) -> None:
    """Spoil something behind the store's back."""
    with psycopg.connect(around.database_url, autocommit=True) as connection:
        assert connection.execute(statement.encode()).rowcount


def batches(result: str) -> float:
    """Batches with this outcome, so far in this process."""
    return REGISTRY.get_sample_value("nightdesk_store_batches_total", {"result": result}) or 0.0


async def test_a_store_killed_again_and_again_ends_with_the_truth(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """SIGKILL in mid-run, three times, loses and doubles nothing: verify finds no difference."""
    settings = {"NIGHTDESK_STORE_BATCH_ENTRIES": "50"}
    with service("store", around, settings=settings) as store:
        written = asyncio.create_task(log.append_mixed(day(1500)))
        for _ in range(3):
            await asyncio.wait({written}, timeout=0.4)
            store.kill()
            store.start()
            await asyncio.to_thread(wait_ready, store)
        await asker.until_stored(await written)
    status, output = await command(around, "verify", "--json")
    assert (status, json.loads(output)["counts"]) == (0, {})


async def test_a_store_drops_repeats_that_it_did_not_look_for(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """The store does not ask which MessageIDs are known. What it remembers it drops at once; what was stored before its
    time is found by its key, and the batch is done again: nothing is stored twice, nothing is set aside."""
    await log.append("conversation", created("v"), started("v"))
    messages = [posted("v", f"m{number}") for number in range(300)]
    await log.append("message", *messages)
    before = (batches("halved"), batches("retried"))
    async with store_here(around, batch_entries=100):
        await asker.until_stored((await log.append("message", messages[299]))[-1])
    assert batches("retried") == before[1]
    await log.append("message", messages[3], posted("v", "new"), messages[298])
    last = (await log.append("message", *(posted("v", f"n{number}") for number in range(300))))[-1]
    async with store_here(around, batch_entries=100):
        await asker.until_stored(last)
        assert await differences(around, log) == {}
    with psycopg.connect(around.database_url) as connection:
        counted = connection.execute(
            "SELECT (SELECT count(*) FROM projection.messages), (SELECT count(*) FROM truth.events),"
            " (SELECT count(*) FROM truth.quarantine)"
        ).fetchone()
    assert counted == (601, last, 0)
    assert batches("halved") == before[0]
    assert batches("retried") > before[1]


async def test_a_store_far_behind_writes_what_the_log_says(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """A store that is behind makes rows while it folds, before it knows what later events of the batch do to them: an
    edit of a message whose row was made counts all the same, and nothing is refused."""
    await log.append("conversation", created("v"), started("v"))
    await log.append("message", posted("v", "first"))
    await log.append_mixed(day(1200, seed=3))
    last = (await log.append("message", edited("v", "first", b"later")))[-1]
    before = (batches("halved"), batches("retried"))
    async with store_here(around, behind_entries=0):
        await asker.until_stored(last)
        assert await differences(around, log) == {}
    with psycopg.connect(around.database_url) as connection:
        found = connection.execute("SELECT 1 FROM projection.messages WHERE body = 'later'")
        assert found.rowcount == 1
    assert (batches("halved"), batches("retried")) == before


async def test_two_stores_write_as_one(around: Surroundings, log: TestLog, asker: Asker) -> None:
    """Of two stores one writes; when it is killed the other goes on, and nothing is missing or twice."""
    settings = {"NIGHTDESK_STORE_BATCH_ENTRIES": "50"}
    events = day(1200, seed=2)
    with (
        service("store", around, settings=settings) as first,
        service("store", around, settings=settings),
    ):
        await log.append_mixed(events[:600])
        first.kill()
        await asker.until_stored(await log.append_mixed(events[600:]))
    assert await differences(around, log) == {}


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
    """A row changed, lost or forged behind the store's back is found."""
    async with store_here(around):
        await asker.until_stored(await log.append_mixed(day(200, seed=3)))
        change(around, statement)
        assert table in await differences(around, log)


async def test_the_command_prints_places_and_no_texts(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """`nightdesk verify` names table, key and column of a difference and ends with 1; never a body."""
    async with store_here(around):
        await asker.until_stored(await log.append_mixed(day(100, seed=8)))
        change(around, "UPDATE projection.messages SET body = 'forged text' WHERE seq = 1")
        status, output = await command(around, "verify")
    assert status == 1
    assert "messages" in output
    assert "body" in output
    assert "forged" not in output


async def test_rebuild_repairs_while_the_store_runs(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """Spoiled projections are replaced by what the log says under a new epoch; the store goes on writing."""
    events = day(900, seed=4)
    async with store_here(around):
        epoch = await asker.until_stored(await log.append_mixed(events[:500]))
        change(around, "UPDATE projection.messages SET seq = seq + 1000 WHERE seq = 1")
        written = asyncio.create_task(log.append_mixed(events[500:]))
        status, output = await command(around, "rebuild")
        assert (status, "new epoch" in output) == (0, True), output
        assert await asker.until_stored(await written) != epoch
        assert await differences(around, log) == {}


async def test_rebuild_of_sound_projections_keeps_the_epoch(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """When every number stays the same, cursors stay good."""
    async with store_here(around):
        last = await log.append_mixed(day(200, seed=5))
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
