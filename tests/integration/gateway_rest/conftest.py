"""One store, presence and gateway for all tests here, with two accounts made by the operator's command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.support.gateway_world import World, open_world
from tests.support.rest import Api, Office, make_account
from tests.support.services import service
from tests.support.surroundings import OwnSurroundings


@pytest.fixture(scope="session")
def world(own_surroundings: OwnSurroundings) -> Iterator[World]:
    """The services that these tests share; nobody stops them."""
    with own_surroundings("gateway") as around:
        settings = {"NIGHTDESK_NATS_URL": around.nats.url_of("presence")}
        with open_world(around) as opened, service("presence", around, settings=settings):
            yield opened


@pytest.fixture(scope="session")
def accounts(world: World) -> list[tuple[str, str]]:
    """Two accounts that know nothing of each other."""
    return [make_account(world), make_account(world)]


@pytest.fixture
async def anybody(world: World) -> AsyncIterator[Api]:
    """Somebody without a token."""
    async with aiohttp.ClientSession() as http:
        yield Api(http, world.url)


@pytest.fixture
async def office(anybody: Api, accounts: list[tuple[str, str]]) -> Office:
    """The first account, with an agent, a team and an inbox of this test alone."""
    made = Office(anybody, *accounts[0])
    await made.furnish()
    return made


@pytest.fixture
async def elsewhere(anybody: Api, accounts: list[tuple[str, str]]) -> Office:
    """The second account."""
    made = Office(anybody, *accounts[1])
    await made.furnish()
    return made
