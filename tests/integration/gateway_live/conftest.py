"""One store and one gateway for all tests of a module; every test has an account of its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.dev.nats_server import NatsServer
from deploy.dev.postgres_server import PostgresServer
from tests.support.gateway_world import Desk, World, open_desk, open_world
from tests.support.servers import own_database
from tests.support.services import Surroundings


@pytest.fixture(scope="module")
def world(
    nats_server: NatsServer,
    postgres_server: PostgresServer,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """The services that the module's tests share; nobody stops these."""
    with own_database(postgres_server, template_database) as database_url:
        around = Surroundings(
            nats=nats_server,
            database_url=database_url,
            shard=f"t{uuid.uuid4().hex[:12]}",
            directory=tmp_path_factory.mktemp("gateway"),
        )
        with open_world(around) as opened:
            yield opened


@pytest.fixture
async def desk(world: World) -> AsyncIterator[Desk]:
    """A fresh account in the shared world."""
    async with open_desk(world) as opened:
        yield opened


@pytest.fixture
def around(nats_server: NatsServer, database_url: str, shard: str, tmp_path: Path) -> Surroundings:
    """For a test that stops or starts services of its own."""
    return Surroundings(
        nats=nats_server, database_url=database_url, shard=shard, directory=tmp_path
    )
