"""What happens in an evening, drawn: people write, devices sleep, are cut off and roam, gateways and presence die or freeze,
beats and hints get lost. It ends calmly, so that what was owed can be asked for."""

from __future__ import annotations

from simulate.devices.evening import Evening
from simulate.devices.handset import Handset

STEPS = 30
CALM_S = 50.0
"""A device that is awake and connected that long, with everything running, must have been told."""
OWED_S = 60.0
"""What came that long before the calm begins has to be heard in it; older things may be too old for an alert by then."""
_GATEWAYS = ("g1", "g2")


def draw(evening: Evening) -> None:
    """The story of this evening's dice."""
    dice = evening.dice
    for _ in range(STEPS):
        _step(evening)
        if dice.random() < 0.3:
            evening.post()
        evening.pass_time(dice.choice((0.25, 0.5, 1, 2, 4, 8)))
    _calm(evening)


def drowse(evening: Evening) -> None:
    """Every device that is connected sleeps while somebody writes, until the lock has been with each; one that was told
    and was silent wakes late."""
    dice = evening.dice
    for device in evening.devices[: dice.randint(1, 3)]:
        device.connect(evening.gateways[dice.choice(_GATEWAYS)])
        evening.note(f"the {device.name} connects")
        evening.pass_time(dice.choice((0.5, 1, 2)))
    for device in evening.devices:
        device.sleep()
    evening.note("all sleep")
    for _ in range(dice.randint(1, 3)):
        evening.pass_time(dice.choice((0.25, 2, 8)))
        evening.post()
    evening.pass_time(dice.choice((16, 24)))
    _calm(evening)


def _calm(evening: Evening) -> None:
    dice = evening.dice
    evening.loss = evening.office.loss = 0.0
    for number in range(len(evening.office.seats)):
        evening.office.resume(number)
    for name in _GATEWAYS:
        if name not in evening.gateways:
            evening.start(name)
    device = dice.choice(evening.devices)
    device.wake()
    if device.session is None:
        device.connect(evening.gateways["g1"])
    evening.note(f"calm, with the {device.name} awake")
    evening.calm_s = evening.now_s
    evening.pass_time(CALM_S)


def _step(evening: Evening) -> None:
    dice = evening.dice
    if dice.random() < 0.3:
        _machines(evening)
    else:
        _people(evening, dice.choice(evening.devices))


def _people(evening: Evening, device: Handset) -> None:
    dice, gateways = evening.dice, evening.gateways
    match dice.randrange(7):
        case 0:
            device.sleep()
            evening.note(f"the {device.name} sleeps")
        case 1 | 2:
            device.wake()
            evening.note(f"the {device.name} is awake")
        case 3 if device.session is not None:
            device.drop(is_told=dice.random() < 0.7)
            evening.note(f"the {device.name} is cut off")
        case 4 | 5 | 6 if device.session is None and gateways:
            name = dice.choice(list(gateways))
            device.connect(gateways[name])
            evening.note(f"the {device.name} connects to {name}")
        case _ if device.gateway is not None and device.is_awake:
            device.gateway.use(device)
            evening.note(f"the {device.name} is used")
        case _:
            pass


def _machines(evening: Evening) -> None:
    dice, office = evening.dice, evening.office
    number = dice.randrange(len(office.seats))
    match dice.randrange(7):
        case 0 if evening.gateways and dice.random() < 0.6:
            name = dice.choice(list(evening.gateways))
            evening.kill(name)
            evening.note(f"{name} dies")
        case 0 | 1:
            for name in _GATEWAYS:
                if name not in evening.gateways:
                    evening.start(name)
                    evening.note(f"{name} is back")
        case 2:
            evening.loss = office.loss = dice.choice((0.0, 0.0, 0.3))
            evening.note(f"{evening.loss:.0%} of beats and hints are lost")
        case 3:
            office.kill(number)
            evening.note(f"presence-{number + 1} dies and is back")
        case 4:
            office.stall(number)
            evening.note(f"presence-{number + 1} freezes")
        case 5:
            office.resume(number)
            evening.note(f"presence-{number + 1} goes on")
        case _:
            office.hold(number, dice.randint(1, 12), dice.choice(("stored", "unheard", "dropped")))
            evening.note(f"the next append of presence-{number + 1} is slow")
