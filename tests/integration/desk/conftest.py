"""All four services for the tests here, as one account uses them: REST, devices, decisions."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from deploy.dev.nats_server import NatsServer
from deploy.dev.postgres_server import PostgresServer
from tests.support.gateway_world import World, open_world
from tests.support.rest import Api, Office, make_account
from tests.support.servers import own_database
from tests.support.services import Surroundings, service


@pytest.fixture(scope="module")
def world(
    nats_server: NatsServer,
    postgres_server: PostgresServer,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """The services that a module's tests share; nobody stops them."""
    with own_database(postgres_server, template_database) as database_url:
        around = Surroundings(
            nats=nats_server,
            database_url=database_url,
            shard=f"t{uuid.uuid4().hex[:12]}",
            directory=tmp_path_factory.mktemp("desk"),
        )
        users = {
            name: {"NIGHTDESK_NATS_URL": nats_server.url_of(name)}
            for name in ("presence", "dispatcher")
        }
        with (
            open_world(around) as opened,
            service("presence", around, settings=users["presence"]),
            service("dispatcher", around, settings=users["dispatcher"]),
        ):
            yield opened


@pytest.fixture(scope="module")
def account(world: World) -> tuple[str, str]:
    """Its id and its administrator's address."""
    return make_account(world)


@pytest.fixture
async def office(world: World, account: tuple[str, str]) -> AsyncIterator[Office]:
    """The account, with an agent, a team and an inbox of this test alone."""
    async with aiohttp.ClientSession() as http:
        made = Office(Api(http, world.url), *account)
        await made.furnish()
        yield made
