"""The log and the database belong together: a service works with no other pair."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.dev.nats_server import NatsServer
from shared.bus import connect, stream_name
from shared.bus.api import api_request
from shared.bus.connection import BusSettings
from shared.config import Shared
from shared.errors import Refused
from shared.opening import ensure_log
from tests.integration.store.conftest import store_here
from tests.support.log import STREAM
from tests.support.services import Surroundings


async def _ensure(nats: NatsServer, database_url: str, shard: str) -> None:
    shared = Shared(
        nats_url=nats.url,
        database_url=database_url,
        master_key_file="",
        shard=shard,
        stream_max_bytes=STREAM.max_bytes,
    )
    bus = await connect(BusSettings(url=nats.url))
    try:
        await ensure_log(bus, shared)
    finally:
        await bus.close()


async def test_the_same_log_is_taken_again(
    nats_server: NatsServer, database_url: str, shard: str
) -> None:
    """The first service makes the log, the next one finds it and goes on."""
    await _ensure(nats_server, database_url, shard)
    await _ensure(nats_server, database_url, shard)


async def test_a_log_that_is_gone_is_not_made_anew(
    nats_server: NatsServer, database_url: str, shard: str
) -> None:
    """An empty log in the place of one that is lost would give its positions a second time."""
    await _ensure(nats_server, database_url, shard)
    bus = await connect(BusSettings(url=nats_server.url))
    await api_request(bus, f"STREAM.DELETE.{stream_name(shard)}")
    await bus.close()
    with pytest.raises(Refused, match="is gone"):
        await _ensure(nats_server, database_url, shard)


async def test_another_log_is_refused(
    nats_server: NatsServer, fresh_nats: NatsServer, database_url: str, shard: str, tmp_path: Path
) -> None:
    """A healthy log that this database was not filled from: the service ends before it writes a word into either."""
    await _ensure(nats_server, database_url, shard)
    bus = await connect(BusSettings(url=fresh_nats.url))
    config = {
        "name": stream_name(shard),
        "subjects": [f"nd.ev.{shard}.*"],
        "discard": "new",
        "max_bytes": STREAM.max_bytes,
        "max_consumers": 100,
        "allow_atomic": True,
    }
    await api_request(bus, f"STREAM.CREATE.{stream_name(shard)}", config)
    await bus.close()
    with pytest.raises(Refused, match="not the one"):
        await _ensure(fresh_nats, database_url, shard)
    around = Surroundings(
        nats=fresh_nats, database_url=database_url, shard=shard, directory=tmp_path
    )
    with pytest.raises(Refused, match="not the one"):
        async with store_here(around):
            pass
