"""Given an agent with several devices, when messages come, then one device makes itself heard, and never none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from unittest import mock

import pytest

from services.gateway import primaries
from shared.commands import AgentPresence
from shared.errors import Unavailable
from simulate.devices.evening import Evening
from simulate.devices.handset import Handset
from simulate.devices.office import ACCOUNT, AGENT, FOR_S


def play(story: Callable[[Evening], None], *, seed: int = 1) -> Evening:
    """Run a story in a world of its own; sessions need a loop for their time."""
    world = Evening(seed)
    world.play(story)
    return world


def _all_on(world: Evening, *gateways: str) -> list[Handset]:
    names = gateways or ("g1", "g1", "g1")
    for device, name in zip(world.devices, names, strict=False):
        device.connect(world.gateways[name])
        world.pass_time(1)
    return world.devices


@pytest.mark.parametrize("gateways", [("g1", "g1"), ("g1", "g2")])
def test_one_alert_while_the_holder_answers(gateways: tuple[str, str]) -> None:
    """A hundred messages to an agent with two devices: each is heard on the first one alone, and nothing moves."""

    def story(world: Evening) -> None:
        _all_on(world, *gateways)
        for _ in range(100):
            world.post()
            world.pass_time(0.5)
        world.pass_time(60)

    world = play(story)
    phone = world.devices[0]
    assert [[d for _, d in world.rings_for(p)] for p in world.posted] == [[phone.id]] * 100
    assert [move.why for _, move in world.moves] == ["connected"]


@pytest.mark.parametrize("gateways", [("g1", "g1"), ("g1", "g2")])
def test_the_lock_moves_once_when_the_holder_sleeps(gateways: tuple[str, str]) -> None:
    """After 5 s the other device is told, with one recorded move; the sleeper wakes within two minutes and is silent."""

    def story(world: Evening) -> None:
        phone, laptop, _ = _all_on(world, *gateways)
        phone.sleep()
        position = world.post()
        world.pass_time(8)
        assert [d for _, d in world.rings_for(position)] == [laptop.id]
        assert 5 <= world.rings_for(position)[0][0] - world.posted[position] <= 6.5
        phone.wake()
        world.pass_time(100)

    world = play(story)
    (position,) = world.posted
    assert len(world.rings_for(position)) == 1
    ((_, _), (_, move)) = world.moves
    assert (move.why, move.alert, move.fence) == ("unanswered", position, 2)


def test_each_device_is_tried_once() -> None:
    """Nobody answers: the lock goes round once and stays with the last; it does not come back by connecting."""

    def story(world: Evening) -> None:
        _all_on(world)
        for device in world.devices:
            device.sleep()
        world.post()
        world.pass_time(60)
        phone = world.devices[0]
        phone.drop()
        phone.connect(world.gateways["g2"])
        world.pass_time(40)

    world = play(story)
    assert [move.why for _, move in world.moves] == ["connected", "unanswered", "unanswered"]


def test_a_slow_agent_with_one_device_is_told_when_it_wakes() -> None:
    """The right of the entry is gone by then; the late acknowledgement brings a new one, once."""

    def story(world: Evening) -> None:
        phone = world.devices[0]
        phone.connect(world.gateways["g1"])
        world.pass_time(1)
        phone.sleep()
        world.post()
        world.pass_time(60)
        assert not phone.rings
        phone.wake()
        world.pass_time(50)

    world = play(story)
    (position,) = world.posted
    assert len(world.rings_for(position)) == 1
    assert len(world.moves) == 1


def test_what_is_older_than_the_limit_is_silent() -> None:
    """A device that wakes after more than two minutes makes no noise about what it slept through."""

    def story(world: Evening) -> None:
        phone = world.devices[0]
        phone.connect(world.gateways["g1"])
        world.pass_time(1)
        phone.sleep()
        world.post()
        world.pass_time(FOR_S + 10)
        phone.wake()
        world.pass_time(20)

    assert not play(story).devices[0].rings


def test_a_gateway_that_dies_between_move_and_alert_loses_none() -> None:
    """The move is recorded, the new holder's gateway dies before it tells: whoever connects as holder is told."""

    def story(world: Evening) -> None:
        phone, laptop, _ = _all_on(world, "g1", "g2")
        phone.sleep()
        laptop.sleep()
        world.post()
        while len(world.moves) < 2:
            world.pass_time(0.25)
        world.kill("g2")
        world.start("g2")
        laptop.wake()
        world.pass_time(1)
        laptop.connect(world.gateways["g2"])
        world.pass_time(2)
        assert [at_s for at_s, _ in laptop.rings]

    world = play(story)
    (position,) = world.posted
    assert len(world.rings_for(position)) == 1


def test_a_dead_gateways_holder_is_not_waited_for() -> None:
    """The holder's gateway dies with the alert and its device does not return: the other device is told."""

    def story(world: Evening) -> None:
        phone, laptop, _ = _all_on(world, "g1", "g2")
        phone.sleep()
        world.post()
        world.pass_time(0.5)
        world.kill("g1")
        world.pass_time(30)
        assert laptop.rings

    play(story)


def test_devices_that_come_back_together_ring_once() -> None:
    """After the death of their gateway all devices resume with the same message: the holder rings, nobody else."""

    def story(world: Evening) -> None:
        devices = _all_on(world)
        world.kill("g1")
        world.start("g1")
        world.post()
        for device in reversed(devices):
            device.connect(world.gateways["g1"])
        world.pass_time(20)

    world = play(story)
    (position,) = world.posted
    assert [d for _, d in world.rings_for(position)] == [world.devices[0].id]


def test_using_another_device_takes_the_lock_and_not_the_noise() -> None:
    """What was answered is not rung again where the person goes on working."""

    def story(world: Evening) -> None:
        _, laptop, _ = _all_on(world, "g1", "g2")
        world.post()
        world.pass_time(10)
        world.gateways["g2"].use(laptop)
        world.pass_time(10)
        assert not laptop.rings

    assert [move.why for _, move in play(story).moves] == ["connected", "used"]


def test_a_lost_hint_of_a_move_is_found_out() -> None:
    """The gateway of the new holder never hears of the move: it asks as long as something waits."""

    def story(world: Evening) -> None:
        phone, laptop, _ = _all_on(world, "g1", "g2")
        phone.sleep()
        world.post()
        world.pass_time(4)
        world.loses_hints = True
        world.pass_time(12)
        assert laptop.rings

    play(story)


@pytest.mark.parametrize("is_plain", [True, False])
@pytest.mark.parametrize("sleeps", [True, False])
def test_an_alert_lost_with_its_connection_is_sent_again(is_plain: bool, sleeps: bool) -> None:
    """The new holder's connection ends with the alert in it, and its cursor is past the entry: it is told where it
    comes back, whether it says hello awake (its acknowledgement answers nothing) or reads later."""

    def story(world: Evening) -> None:
        phone, laptop = world.devices[:2]
        laptop.is_plain = is_plain
        for device in (phone, laptop):
            device.connect(world.gateways["g1"])
            world.pass_time(1)
        phone.sleep()
        world.post()
        world.pass_time(1)
        laptop.sleep()
        while len(world.moves) < 2:
            world.pass_time(0.25)
        laptop.drop(is_told=False)
        world.pass_time(1)
        assert not laptop.rings
        if not sleeps:
            laptop.wake()
        laptop.connect(world.gateways["g1"])
        world.pass_time(1)
        laptop.wake()
        world.pass_time(1)
        assert laptop.rings

    play(story)


def test_an_acknowledgement_over_a_newer_connection_is_no_answer() -> None:
    """A device that does not say for what it alerted acknowledges its cursor as it comes back, and is cut before it
    reads the alert that was sent again."""

    def story(world: Evening) -> None:
        phone = world.devices[0]
        phone.is_plain = True
        phone.connect(world.gateways["g1"])
        world.pass_time(1)
        phone.sleep()
        phone.cursor = world.post()
        world.pass_time(1)
        for _ in range(2):
            phone.drop(is_told=False)
            phone.wake()
            phone.connect(world.gateways["g1"])
            world.now_s += 0.25
        world.pass_time(1)
        assert phone.rings

    play(story)


def test_coming_back_gives_no_longer_right() -> None:
    """A device that reconnects all the time and answers nothing does not hold up the lock."""

    def story(world: Evening) -> None:
        phone, laptop, _ = _all_on(world)
        phone.sleep()
        phone.cursor = world.post()
        for _ in range(4):
            world.pass_time(2)
            phone.drop(is_told=False)
            phone.connect(world.gateways["g1"])
        assert laptop.rings

    play(story)


def test_a_device_that_had_its_turn_is_not_tried_again() -> None:
    """Its gateway died with the book of its silence: what the log says of its turn counts all the same."""

    def story(world: Evening) -> None:
        _, laptop, _ = _all_on(world, "g1", "g2", "g1")
        for device in world.devices:
            device.sleep()
        world.post()
        while len(world.moves) < 3:
            world.pass_time(0.25)
        world.kill("g2")
        world.start("g2")
        laptop.connect(world.gateways["g2"])
        world.pass_time(40)

    whys = [move.why for _, move in play(story).moves]
    assert whys == ["connected", "unanswered", "unanswered"]


def test_earlier_use_does_not_bring_the_lock_back() -> None:
    """The person last used the device that now sleeps: the lock moves away from it and stays away."""

    def story(world: Evening) -> None:
        phone, *_ = _all_on(world)
        world.gateways["g1"].use(phone)
        world.pass_time(10)
        phone.sleep()
        world.post()
        world.pass_time(30)

    assert [move.why for _, move in play(story).moves] == ["connected", "unanswered"]


def test_a_late_holder_is_told_of_everything_that_waits() -> None:
    """The lock moves for one message while its new holder is cut off; what came since is rung for too, at another gateway."""

    def story(world: Evening) -> None:
        phone, laptop, _ = _all_on(world, "g1", "g2")
        phone.sleep()
        world.post()
        while len(world.moves) < 2:
            laptop.sleep()
            world.pass_time(0.25)
        world.post()
        laptop.cursor = max(world.posted)
        world.kill("g2")
        world.kill("g1")
        world.start("g1")
        laptop.wake()
        laptop.connect(world.gateways["g1"])
        world.pass_time(20)

    world = play(story)
    assert all(world.is_covered(position) for position in world.posted)


def test_presence_is_asked_again_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that missed a move and met a frozen presence would let two devices alert until the next move."""
    monkeypatch.setattr(primaries, "_RETRY_S", 0.01)
    asked: list[str] = []

    class Frozen:
        async def agents(self, account_id: str) -> dict[str, AgentPresence]:
            asked.append(account_id)
            if len(asked) < 3:
                raise Unavailable("frozen")
            return {AGENT: AgentPresence(agent_id=AGENT, online=True, fence=7)}

    async def run() -> None:
        known = primaries.Primaries(Frozen())  # type: ignore[arg-type]
        task = asyncio.create_task(known.run())
        told = asyncio.Event()
        known.on_answer = lambda *_: told.set()
        known.ask(ACCOUNT)
        async with asyncio.timeout(20):
            await told.wait()
        task.cancel()

    asyncio.run(run())
    assert asked == [ACCOUNT] * 3


def test_a_sleeper_that_wakes_before_its_gateway_knows_of_the_move_is_silent() -> None:
    """The hint of the move is still on its way when the late acknowledgement comes: presence is asked, and the device on
    the other gateway has rung for it. If presence can't say, the device that was the last holder is told after all."""

    def move_unknown_to_phone(world: Evening) -> tuple[Handset, Handset, int]:
        phone, laptop, _ = _all_on(world, "g1", "g2")
        phone.sleep()
        # A gateway of its own would ask by itself after two seconds more.
        world.gateways["g1"].unheard.overdue = mock.Mock(return_value=())  # type: ignore[method-assign]
        position = world.post()
        world.pass_time(1)
        world.gateways["g1"].alerts.learn = mock.Mock()  # type: ignore[method-assign]
        world.pass_time(6)
        assert [d for _, d in world.rings_for(position)] == [laptop.id]
        assert world.gateways["g1"].primaries.is_heard(AGENT, phone.id)
        return phone, laptop, position

    def asked_in_time(world: Evening) -> None:
        phone, laptop, position = move_unknown_to_phone(world)
        phone.wake()
        world.pass_time(20)
        assert [d for _, d in world.rings_for(position)] == [laptop.id]

    def nobody_answers(world: Evening) -> None:
        phone, laptop, position = move_unknown_to_phone(world)
        for number in range(2):
            world.office.stall(number)
        phone.wake()
        world.pass_time(0.5)
        assert [d for _, d in world.rings_for(position)] == [laptop.id]
        world.pass_time(2)
        assert [d for _, d in world.rings_for(position)] == [laptop.id, phone.id]

    play(asked_in_time)
    play(nobody_answers)
