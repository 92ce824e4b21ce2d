"""What presence is told of the devices that people use."""

from __future__ import annotations

from typing import cast

import msgspec

from services.gateway.presence import Presence
from shared.bus import Bus
from shared.codec import unpack
from shared.commands import Beats, Connection
from tests.support import desk


class _Bus:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.told: list[Beats] = []

    async def publish(self, _subject: str, payload: bytes) -> None:
        self.told.append(unpack(payload, Beats))


def _connection(name: str) -> Connection:
    return Connection(
        account_id=desk.ACCOUNT,
        agent_id=desk.agent_id("ann"),
        device_id=desk.device_id(name),
        connection=f"gateway:{name}",
    )


async def test_a_device_that_is_taken_up_is_told_of_before_the_next_beat() -> None:
    """Once until the beat, however much is done on it; the others are not told again; one that is gone is not told of."""
    bus = _Bus()
    presence = Presence(cast("Bus", bus), "0", gateway="gateway")
    desktop, phone = _connection("desktop"), _connection("phone")
    await presence.opened(desktop)
    await presence.opened(phone)
    await presence.tell_used()
    assert [b for b in bus.told if b.alive] == []
    for count in (1, 2):
        presence.is_active(msgspec.structs.replace(phone, active=count))
    await presence.tell_used()
    presence.is_active(msgspec.structs.replace(phone, active=3))
    await presence.tell_used()
    (told,) = [b for b in bus.told if b.alive]
    assert [(c.connection, c.active) for c in told.alive] == [(phone.connection, 2)]
    await presence.beat()
    assert {(c.connection, c.active) for c in bus.told[-1].alive} == {
        (desktop.connection, 0),
        (phone.connection, 3),
    }
    presence.is_active(msgspec.structs.replace(phone, active=4))
    await presence.closed(phone.connection)
    before = len(bus.told)
    await presence.tell_used()
    assert len(bus.told) == before
