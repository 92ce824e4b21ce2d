"""Devices of one agent on real gateways: one is heard, the lock moves when it is not, and nobody rings for nothing."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from shared.events import PrimaryDeviceChanged
from shared.ids import ConversationId
from tests.integration.devices.conftest import WAIT_S, Two
from tests.support.gateway_world import Desk, Device, Frame, device_id
from tests.support.log import until
from tests.support.services import wait_ready

QUIET_S = WAIT_S + 1
"""After this the lock has moved if it moves."""


class Pair:
    """An agent's loud device (it holds the lock) and their quiet one on another gateway, and a visitor who writes."""

    def __init__(self, desk: Desk, two: Two) -> None:
        self.desk = desk
        self.two = two
        self.loud_id, self.quiet_id = device_id(), device_id()
        self.loud: Device
        self.quiet: Device
        self.visitor: Device
        self.conversation_id: ConversationId

    async def open(self) -> None:
        """Connect the loud one first, so that it gets the lock."""
        desk = self.desk
        contact_id, self.conversation_id = await desk.conversation()
        await desk.assign(self.conversation_id, desk.bob)
        self.visitor = await desk.visitor(contact_id)
        self.loud = await desk.agent(desk.bob, device=self.loud_id)
        await self.moved(1)
        self.quiet = await desk.agent(desk.bob, device=self.quiet_id, url=self.two.other_url)

    def moves(self) -> list[PrimaryDeviceChanged]:
        """Moves of this agent's lock."""
        found = [event for _, event in self.desk.log.events(PrimaryDeviceChanged)]
        return [
            e for e in found if isinstance(e, PrimaryDeviceChanged) and e.agent_id == self.desk.bob
        ]

    async def moved(self, count: int) -> PrimaryDeviceChanged:
        """Wait for that many moves; the last."""
        await until(lambda: len(self.moves()) >= count)
        return self.moves()[-1]

    async def write(self, text: str = "anybody?") -> int:
        """The visitor writes and both devices have it; the position."""
        position: int = (await self.visitor.post(self.conversation_id, text))["position"]
        for device in (self.loud, self.quiet):
            if device.close_code is None:
                await device.until(_brings(position))
        return position


def _brings(position: int) -> Any:
    return lambda f: f.get("op") == "entries" and f["entries"][-1]["position"] >= position


def _alert(position: int) -> Any:
    return lambda f: f.get("op") == "alert" and f["position"] == position


def _entry(device: Device, position: int) -> Frame:
    return next(e for e in device.entries() if e["position"] == position)


def _alerts(device: Device) -> list[int]:
    return [f["position"] for f in device.frames if f.get("op") == "alert"]


@pytest.fixture
async def pair(desk: Desk, two: Two) -> Pair:
    """Connected and ready."""
    made = Pair(desk, two)
    await made.open()
    return made


async def test_an_answer_keeps_the_lock(pair: Pair) -> None:
    """The holder acknowledges in time: it alone was told, nothing moves, whatever the other one acknowledges."""
    for _ in range(3):
        position = await pair.write()
        await pair.quiet.say(op="received", up_to=position)
        await pair.loud.say(op="received", up_to=position)
        assert _entry(pair.loud, position)["alert"]
        assert not _entry(pair.quiet, position)["alert"]
    await pair.desk.log.pass_time(QUIET_S)
    assert [move.why for move in pair.moves()] == ["connected"]
    assert _alerts(pair.quiet) == _alerts(pair.loud) == []


async def test_the_lock_moves_from_a_holder_that_sleeps(pair: Pair) -> None:
    """It acknowledges nothing: one recorded move, the other device on the other gateway is told, although it had
    acknowledged in silence; the sleeper that acknowledges later is not told again."""
    position = await pair.write()
    await pair.quiet.say(op="received", up_to=position)
    alert = await pair.quiet.until(_alert(position))
    move = await pair.moved(2)
    assert (move.device_id, move.why, move.fence) == (pair.quiet_id, "unanswered", 2)
    assert move.alert == position
    assert alert["fence"] == 2
    await pair.quiet.say(op="received", up_to=position, alerted=position)
    await pair.loud.say(op="received", up_to=position, alerted=0)
    await pair.desk.log.pass_time(QUIET_S)
    assert len(pair.moves()) == 2
    assert _alerts(pair.loud) == []
    # A gateway that is slow to read may take the silent acknowledgement for a late answer, and tell once more.
    assert set(_alerts(pair.quiet)) == {position}


async def test_nobody_answers(pair: Pair) -> None:
    """The lock goes to the other device once and stays there, however often the first one connects."""
    await pair.write()
    await pair.moved(2)
    await pair.loud.leave()
    pair.loud = await pair.desk.agent(pair.desk.bob, device=pair.loud_id)
    await pair.desk.log.pass_time(QUIET_S + WAIT_S)
    assert len(pair.moves()) == 2


async def test_one_device_that_is_slow_is_told_again(desk: Desk, two: Two) -> None:
    """It acknowledges after its time and still holds the lock: a new right, and the answer to that is the end of it."""
    contact_id, conversation_id = await desk.conversation()
    await desk.assign(conversation_id, desk.bob)
    visitor = await desk.visitor(contact_id)
    phone = await desk.agent(desk.bob, url=two.other_url)
    position = (await visitor.post(conversation_id, "hello?"))["position"]
    await phone.until(_brings(position))
    await desk.log.pass_time(QUIET_S)
    await phone.say(op="received", up_to=position, alerted=0)
    alert = await phone.until(_alert(position))
    assert alert["alert_until"] > _entry(phone, position)["alert_until"]
    await phone.say(op="received", up_to=position, alerted=position)
    await desk.log.pass_time(QUIET_S)
    assert _alerts(phone) == [position]


async def test_what_is_read_on_one_device_is_quiet_on_all(pair: Pair) -> None:
    """Reading on the quiet device clears the loud one at once, live and on resume, and the lock does not move."""
    position = await pair.write()
    cursor = pair.loud.cursor
    await pair.quiet.say(op="read", conversation_id=pair.conversation_id, up_to=position)
    told = await pair.loud.until(
        lambda f: (
            f.get("op") == "receipts"
            and any(r["by"]["id"] == pair.desk.bob and r["read"] >= position for r in f["receipts"])
        )
    )
    assert told["receipts"][0]["conversation_id"] == pair.conversation_id
    await pair.loud.leave()
    again = await pair.desk.device()
    welcome = await again.hello(
        pair.desk.agent_token(pair.desk.bob), device=pair.loud_id, resume=cursor
    )
    assert welcome["unread"] == 0
    await again.op("receipts")
    await pair.desk.log.pass_time(QUIET_S)
    assert "unanswered" not in {move.why for move in pair.moves()}


async def test_a_gateway_that_dies_before_it_told_loses_no_alert(pair: Pair) -> None:
    """The new holder's gateway is stopped before the move and killed after it: the device connects elsewhere and is
    told there."""
    await pair.write()
    position = pair.quiet.entries()[-1]["position"]
    other = pair.two.other
    other.pause()
    try:
        await pair.moved(2)
        assert _alerts(pair.quiet) == []
    finally:
        other.kill(signal.SIGKILL)
        other.start()
    again = await pair.desk.device()
    await again.hello(
        pair.desk.agent_token(pair.desk.bob), device=pair.quiet_id, resume=pair.quiet.cursor
    )
    await again.until(_alert(position))
    wait_ready(other)


async def test_presence_that_dies_judges_later(pair: Pair) -> None:
    """Presence is killed while the holder sleeps; when it is back the lock moves, once."""
    presence = pair.two.presence
    await pair.write()
    presence.kill(signal.SIGKILL)
    await pair.desk.log.pass_time(QUIET_S)
    assert len(pair.moves()) == 1
    presence.start()
    wait_ready(presence)
    move = await pair.moved(2)
    assert (move.why, move.device_id) == ("unanswered", pair.quiet_id)
    await pair.quiet.until(_alert(move.alert))
