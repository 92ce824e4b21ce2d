"""One session a device over all gateways: the newest stays, whichever gateway hears of the other first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from services.gateway.ephemeral import Hearing
from services.gateway.sessions.registry import Registry
from services.gateway.sessions.session import Session
from services.gateway.tokens import Principal
from shared.codec import pack
from shared.commands import Connected, DeviceConnected
from shared.ids import AccountId, DeviceId
from tests.unit.gateway.test_sessions import open_session

DEVICE = DeviceId("d")


class Gateway:
    """A gateway of that name on which the device said hello at a time."""

    def __init__(self, name: str, hello_ns: int) -> None:
        self.name = name
        self.session, _, _ = open_session()
        self.session.principal = Principal(
            kind="visitor", id="v", account_id=AccountId("a"), role="visitor"
        )
        self.session.device_id = DEVICE
        self.session.hello_ns = hello_ns
        registry = Registry()
        registry.add(self.session)
        registry.attach(self.session)
        parts: Any = SimpleNamespace(
            bus=None, shared=SimpleNamespace(shard="0"), name=name, tokens=None
        )
        nobody: Any = None
        self.hearing = Hearing(parts, registry=registry, typing=nobody, looking=nobody)

    async def hear(self, other: Gateway) -> Session:
        """The other's word of its session."""
        device = DeviceConnected(owner_id="v", device_id=DEVICE, at_ns=other.session.hello_ns)
        note = Connected(gateway=other.name, devices=(device,))
        await self.hearing._hear(SimpleNamespace(payload=pack(note)))  # type: ignore[arg-type]
        return self.session


@pytest.mark.parametrize(("first_ns", "second_ns"), [(1, 2), (5, 5)])
async def test_exactly_one_of_two_sessions_stays(first_ns: int, second_ns: int) -> None:
    """The older ends with 3504; of two in the same moment the same one for both."""
    first, second = Gateway("g1", first_ns), Gateway("g2", second_ns)
    assert (await first.hear(second)).close_code == 3504
    assert (await second.hear(first)).close_code == 0


async def test_its_own_word_ends_nothing() -> None:
    """A gateway hears its own notes, too."""
    one = Gateway("g1", 1)
    assert (await one.hear(Gateway("g1", 2))).close_code == 0
