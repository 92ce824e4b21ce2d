"""One store and one gateway for all tests of a module; every test has an account of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.dev.nats_server import NatsServer
from tests.support.gateway_world import Desk, World, open_desk, open_world
from tests.support.services import Surroundings
from tests.support.surroundings import OwnSurroundings


@pytest.fixture(scope="module")
def world(own_surroundings: OwnSurroundings) -> Iterator[World]:
    """The services that the module's tests share; nobody stops these."""
    with own_surroundings("gateway") as around, open_world(around) as opened:
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
