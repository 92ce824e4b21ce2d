"""Snapshots: they shorten a start, never change what is decided, and are thrown away when they can't be read."""

from __future__ import annotations

import msgspec
import pytest

from deploy.dev.nats_server import NatsServer
from deploy.dev.postgres_server import PostgresServer
from shared.bus import Delivery, digest
from shared.events import ConversationAssigned
from shared.snapshot import Snapshots
from tests.support import desk
from tests.support.log import PATIENCE_S
from tests.support.servers import migrate
from tests.support.services import (
    Surroundings,
    TestLog,
    acknowledging,
    open_test_log,
    service,
)


class Small(msgspec.Struct):
    """A state."""

    words: dict[str, int] = {}


def _delivery(position: int) -> Delivery:
    return Delivery(position=position, subject="s", at_ns=1, payload=b"%d" % position)


def _snapshots(url: str, *, version: int = 1) -> Snapshots[Small]:
    return Snapshots(url, service="test", shard="0", kind=Small, version=version)


async def test_the_newest_snapshot_comes_back(database_url: str) -> None:
    """What was saved is loaded with its position and digest; an older one never replaces a newer one."""
    kept = _snapshots(database_url)
    assert await kept.load() is None
    packed = msgspec.msgpack.encode(Small(words={"a": 2}))
    await kept.save(packed, _delivery(7))
    await kept.save(msgspec.msgpack.encode(Small()), _delivery(5))
    loaded = await kept.load()
    assert loaded is not None
    assert (loaded.position, loaded.digest) == (7, digest(_delivery(7)))
    assert loaded.state == Small(words={"a": 2})


@pytest.mark.parametrize("packed", [b"", b"\xc1", msgspec.msgpack.encode({"words": 3})])
async def test_a_snapshot_that_cannot_be_read_counts_for_nothing(
    database_url: str, packed: bytes
) -> None:
    """Broken bytes, another form or another version: the log is read instead, and a new snapshot replaces it."""
    kept = _snapshots(database_url)
    await kept.save(packed, _delivery(7))
    assert await kept.load() is None
    newer = _snapshots(database_url, version=2)
    assert await newer.load() is None
    await newer.save(msgspec.msgpack.encode(Small()), _delivery(3))
    assert await kept.load() is None
    assert await newer.load() is not None


async def test_a_start_from_a_snapshot_goes_on_where_it_stopped(
    log: TestLog, around: Surroundings
) -> None:
    """An orderly stop leaves a snapshot; the next process knows everything and repeats nothing."""
    agents = [desk.agent("ann", capacity=100)]
    await log.append("account", *agents, desk.team("ann"), desk.inbox(), desk.policy())
    await log.append("presence", desk.online("ann"))
    async with acknowledging(log, "ann"):
        for turn in range(3):
            with service("dispatcher", around) as process:
                name = f"c{turn}"
                await log.append("conversation", desk.started(name))
                await log.append("message", desk.wrote(name))
                await log.until(turn + 1, ConversationAssigned)
                process.ask_to_stop()
                assert process.wait_stopped(PATIENCE_S)
    texts = [path.read_text() for path in sorted(around.directory.glob("dispatcher-*.log"))]
    assert all('"snapshot_saved"' in text for text in texts)
    assert len(log.events(ConversationAssigned)) == 3


async def test_the_dispatcher_decides_while_postgres_is_down(
    fresh_postgres: PostgresServer, nats_server: NatsServer, around: Surroundings
) -> None:
    """PostgreSQL is needed to start and for snapshots, not to route."""
    migrate(fresh_postgres.url())
    shard = f"{around.shard}p"[:16]
    lonely = msgspec.structs.replace(around, database_url=fresh_postgres.url(), shard=shard)
    async with open_test_log(nats_server, shard) as log:
        await log.append("account", desk.agent("ann"), desk.team("ann"), desk.inbox())
        with service("dispatcher", lonely) as process:
            fresh_postgres.kill()
            await log.append("presence", desk.online("ann"))
            await log.append("conversation", desk.started("c"))
            await log.append("message", desk.wrote("c"))
            await log.until(1, ConversationAssigned)
            process.ask_to_stop()
            assert process.wait_stopped(PATIENCE_S)
