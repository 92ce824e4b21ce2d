"""All four services for the tests here, as one account uses them: REST, devices, decisions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.support.gateway_world import World, open_world
from tests.support.rest import Api, Office, make_account
from tests.support.services import service
from tests.support.surroundings import OwnSurroundings


@pytest.fixture(scope="module")
def world(own_surroundings: OwnSurroundings) -> Iterator[World]:
    """The services that a module's tests share; nobody stops them."""
    with own_surroundings("desk") as around:
        users = {
            name: {"NIGHTDESK_NATS_URL": around.nats.url_of(name)}
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
