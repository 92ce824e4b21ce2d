"""A store, presence and two gateways for all tests of a module, with a short wait before the lock moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from deploy.dev.ports import free_port
from deploy.dev.service_process import ServiceProcess
from tests.support.gateway_world import Desk, World, open_desk, open_world
from tests.support.services import service
from tests.support.surroundings import OwnSurroundings

WAIT_S = 2.0


class Two(msgspec.Struct, frozen=True, kw_only=True):
    """Two gateways, and presence; `world` has the first."""

    world: World
    other: ServiceProcess
    other_port: int
    presence: ServiceProcess

    @property
    def other_url(self) -> str:
        """WebSocket of the second gateway."""
        return f"ws://127.0.0.1:{self.other_port}/ws"


@pytest.fixture(scope="module")
def two(own_surroundings: OwnSurroundings) -> Iterator[Two]:
    """What the module's tests share; who stops one starts it again."""
    with own_surroundings("devices") as around:
        settings = {
            "NIGHTDESK_ALERT_WAIT_S": str(WAIT_S),
            "NIGHTDESK_PRESENCE_PRIMARY_PAUSE_S": "0.1",
            "NIGHTDESK_GATEWAY_BEAT_S": "0.5",
        }
        port = free_port()
        with (
            open_world(around, settings=settings) as world,
            service("presence", around, settings=settings) as presence,
            service(
                "gateway",
                around,
                settings={
                    **settings,
                    "NIGHTDESK_NATS_URL": around.nats.url_of("gateway"),
                    "NIGHTDESK_MASTER_KEY_FILE": str(around.directory / "master.key"),
                    "NIGHTDESK_GATEWAY_PORT": str(port),
                },
            ) as other,
        ):
            yield Two(world=world, other=other, other_port=port, presence=presence)


@pytest.fixture
async def desk(two: Two) -> AsyncIterator[Desk]:
    """A fresh account in the shared world."""
    async with open_desk(two.world) as opened:
        yield opened
