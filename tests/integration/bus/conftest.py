"""A connection and a stream of its own for every test of the bus."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from deploy.dev.nats_server import NatsServer
from shared.bus import Bus, BusSettings, connect, ensure_stream
from tests.support.log import PATIENCE_S, STREAM


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    """A connection to the shared server."""
    opened = await connect(
        BusSettings(url=nats_server.url, name="test", request_timeout_s=PATIENCE_S)
    )
    yield opened
    await opened.close()


@pytest.fixture
async def fresh_bus(fresh_nats: NatsServer) -> AsyncIterator[Bus]:
    """A connection to a server of this test's own, which it may kill."""
    opened = await connect(BusSettings(url=fresh_nats.url, name="test", drain_timeout_s=2))
    yield opened
    await opened.close()


@pytest.fixture
async def log(bus: Bus, shard: str) -> str:
    """The shard of an empty log on the shared server."""
    await ensure_stream(bus, shard, STREAM)
    return shard


@pytest.fixture
async def fresh_log(fresh_bus: Bus, shard: str) -> str:
    """The shard of an empty log on the test's own server."""
    await ensure_stream(fresh_bus, shard, STREAM)
    return shard
