"""Given an agent with several devices, when messages come, then one device makes itself heard, and never none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.alert_world import FOR_S, AlertWorld, Device

_CALM_S = 45.0
"""A device that is awake and connected that long, with everything running, must have been told."""


def play(story: Callable[[AlertWorld], None], *, seed: int = 1) -> AlertWorld:
    """Run a story in a world of its own; sessions need a loop for their time."""
    world = AlertWorld(seed)

    async def run() -> None:
        with world.clock():
            story(world)

    asyncio.run(run())
    return world


def _all_on(world: AlertWorld, *gateways: str) -> list[Device]:
    names = gateways or ("g1", "g1", "g1")
    for device, name in zip(world.devices, names, strict=False):
        device.connect(world.gateways[name])
        world.pass_time(1)
    return world.devices


@pytest.mark.parametrize("gateways", [("g1", "g1"), ("g1", "g2")])
def test_one_alert_while_the_holder_answers(gateways: tuple[str, str]) -> None:
    """A hundred messages to an agent with two devices: each is heard on the first one alone, and nothing moves."""

    def story(world: AlertWorld) -> None:
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

    def story(world: AlertWorld) -> None:
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

    def story(world: AlertWorld) -> None:
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

    def story(world: AlertWorld) -> None:
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

    def story(world: AlertWorld) -> None:
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

    def story(world: AlertWorld) -> None:
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

    def story(world: AlertWorld) -> None:
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

    def story(world: AlertWorld) -> None:
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

    def story(world: AlertWorld) -> None:
        _, laptop, _ = _all_on(world, "g1", "g2")
        world.post()
        world.pass_time(10)
        world.gateways["g2"].use(laptop)
        world.pass_time(10)
        assert not laptop.rings

    assert [move.why for _, move in play(story).moves] == ["connected", "used"]


def test_a_lost_hint_of_a_move_is_found_out() -> None:
    """The gateway of the new holder never hears of the move: it asks as long as something waits."""

    def story(world: AlertWorld) -> None:
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

    def story(world: AlertWorld) -> None:
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

    def story(world: AlertWorld) -> None:
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

    def story(world: AlertWorld) -> None:
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

    def story(world: AlertWorld) -> None:
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


@settings(max_examples=140, deadline=None)
@given(seed=st.integers(0, 2**32))
@example(seed=27701)
def test_whatever_happens_one_rings_and_never_none(seed: int) -> None:
    """Sleep, cuts, roaming, deaths of gateways and of presence, lost beats and hints: once it is known who holds the
    lock no message rings more often than once and once more per recorded move, and none stays silent where a device
    is there to be told."""
    calm: dict[int, bool] = {}

    def story(world: AlertWorld) -> None:
        for _ in range(30):
            _step(world)
            if world.dice.random() < 0.3:
                calm[world.post()] = False
            world.pass_time(world.dice.choice((0.25, 0.5, 1, 2, 4, 8)))
        world.loss = 0.0
        world.is_presence_up = True
        for name in {"g1", "g2"} - set(world.gateways):
            world.start(name)
        device = world.dice.choice(world.devices)
        device.wake()
        if device.session is None:
            device.connect(world.gateways["g1"])
        calm.update((p, True) for p, at_s in world.posted.items() if world.now_s - at_s < 60)
        world.pass_time(_CALM_S)

    world = play(story, seed=seed)
    for position, posted_s in world.posted.items():
        _check(world, position, posted_s)
        assert not calm.get(position) or world.is_covered(position), f"nobody rang for {position}"


def _step(world: AlertWorld) -> None:
    dice = world.dice
    device = dice.choice(world.devices)
    gateways = list(world.gateways.values())
    match dice.randrange(11):
        case 0:
            device.sleep()
        case 1 | 2:
            device.wake()
        case 3 if device.session is not None:
            device.drop(is_told=dice.random() < 0.7)
        case 4 | 5 | 6 if device.session is None and gateways:
            device.connect(dice.choice(gateways))
        case 7 if device.gateway is not None and device.is_awake:
            device.gateway.use(device)
        case 8 if gateways and dice.random() < 0.5:
            world.kill(dice.choice(list(world.gateways)))
        case 9:
            for name in {"g1", "g2"} - set(world.gateways):
                world.start(name)
        case 10:
            world.loss = dice.choice((0.0, 0.0, 0.3))
            if dice.random() < 0.3:
                world.restart_presence()
        case _:
            pass


def _check(world: AlertWorld, position: int, posted_s: float) -> None:
    rings = world.rings_for(position)
    assert len({device_id for _, device_id in rings}) == len(rings), "twice on one device"
    if not rings:
        return
    last_s = rings[-1][0]
    if any(posted_s - 1 <= at_s <= last_s for at_s in world.unaware_s):
        return
    moves = sum(posted_s - 20 <= at_s <= last_s for at_s, _ in world.moves)
    assert len(rings) <= 1 + moves, f"{rings} with {moves} moves"


def test_earlier_use_does_not_bring_the_lock_back() -> None:
    """The person last used the device that now sleeps: the lock moves away from it and stays away."""

    def story(world: AlertWorld) -> None:
        phone, *_ = _all_on(world)
        world.gateways["g1"].use(phone)
        world.pass_time(10)
        phone.sleep()
        world.post()
        world.pass_time(30)

    assert [move.why for _, move in play(story).moves] == ["connected", "unanswered"]
