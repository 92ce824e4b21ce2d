"""A log and what a dispatcher needs around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.dev.nats_server import NatsServer
from tests.support.services import Surroundings, TestLog, open_test_log


@pytest.fixture
def around(nats_server: NatsServer, database_url: str, shard: str, tmp_path: Path) -> Surroundings:
    """The shared servers, a database and a shard of this test alone."""
    return Surroundings(
        nats=nats_server, database_url=database_url, shard=shard, directory=tmp_path
    )


@pytest.fixture
async def log(around: Surroundings) -> AsyncIterator[TestLog]:
    """The log that the test writes."""
    async with open_test_log(around.nats, around.shard) as opened:
        yield opened


@pytest.fixture
def fresh(fresh_nats: NatsServer, database_url: str, shard: str, tmp_path: Path) -> Surroundings:
    """The same with a nats-server that may be killed."""
    return Surroundings(nats=fresh_nats, database_url=database_url, shard=shard, directory=tmp_path)


@pytest.fixture
async def log_fresh(fresh: Surroundings) -> AsyncIterator[TestLog]:
    """The log on the server that may be killed."""
    async with open_test_log(fresh.nats, fresh.shard) as opened:
        yield opened
