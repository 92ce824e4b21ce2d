"""Given what was heard and recorded, when time passes, then these facts about who is here."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.presence.decide import Terms, decide, everybody
from services.presence.heard import Heard, hear, refresh, tick
from services.presence.state import State, evolve
from shared.commands import Beats, Connection
from shared.events import AgentOffline, AgentOnline, PresenceEvent, PrimaryDeviceChanged
from tests.support import desk

TERMS = Terms(writer="p", lease_s=15, grace_s=30, primary_pause_s=2)


class Simulation:
    """Presence without a broker; `now_s` is the process's monotonic clock."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.state = State()
        self.heard = Heard(fresh_s=self.now_s)
        self.position = 0
        self.recorded: list[PresenceEvent] = []
        for name in ("ann", "bob"):
            self._fold(desk.agent(name))

    def _fold(self, event: object) -> None:
        self.position += 1
        key = evolve(self.state, event, self.position)  # type: ignore[arg-type]
        if key is not None and isinstance(event, PrimaryDeviceChanged):
            self.heard.moved_s[key] = self.now_s

    def tell(self, event: object) -> None:
        """A fact of the account family."""
        self._fold(event)

    def hear(self, **lists: Any) -> list[PresenceEvent]:
        """A gateway's batch; what is recorded then."""
        hear(self.heard, Beats(gateway="g", **lists), self.now_s, lease_s=TERMS.lease_s)
        return self.settle()

    def settle(self) -> list[PresenceEvent]:
        """Decide, fold what was decided, until nothing is left."""
        found: list[PresenceEvent] = []
        while events := decide(
            self.state, self.heard, everybody(self.state, self.heard), self.now_s, TERMS
        ):
            for event in events:
                self._fold(event)
            found += events
            assert len(found) < 100
        self.recorded += found
        return found

    def pass_time(
        self, seconds: float, *alive: Connection, beats: bool = True
    ) -> list[PresenceEvent]:
        """Second by second, with beats that name these connections."""
        found: list[PresenceEvent] = []
        for _ in range(round(seconds)):
            self.now_s += 1
            found += self.hear(alive=alive) if beats else self.settle()
        return found

    def restart(self) -> None:
        """A new process: the record stays, the evidence is gone."""
        self.heard = Heard(fresh_s=self.now_s)


def connection(agent: str, device: str, *, number: int = 1, active: int = 0) -> Connection:
    """A connection of an agent's device."""
    return Connection(
        account_id=desk.ACCOUNT,
        agent_id=desk.agent_id(agent),
        device_id=desk.device_id(device),
        connection=f"g:{device}:{number}",
        active=active,
    )


PHONE = connection("ann", "phone")
LAPTOP = connection("ann", "laptop")


def kinds(events: list[PresenceEvent]) -> list[type]:
    """Their types."""
    return [type(event) for event in events]


def test_a_return_within_the_grace_period_was_no_absence() -> None:
    """29 seconds away: nothing is recorded. 31 seconds: offline once, online once."""
    simulation = Simulation()
    assert kinds(simulation.hear(opened=(PHONE,))) == [AgentOnline, PrimaryDeviceChanged]
    simulation.hear(closed=(PHONE,))
    assert simulation.pass_time(29) == []
    again = connection("ann", "phone", number=2)
    assert simulation.hear(opened=(again,)) == []
    assert simulation.pass_time(100, again) == []
    simulation.hear(closed=(again,))
    gone = simulation.pass_time(31)
    assert kinds(gone) == [AgentOffline, PrimaryDeviceChanged]


def test_an_old_connection_never_renews_or_ends_a_newer_one() -> None:
    """The late goodbye of the first connection leaves the device online; its silence does not matter."""
    simulation = Simulation()
    newer = connection("ann", "phone", number=2)
    simulation.hear(opened=(PHONE,))
    simulation.hear(opened=(newer,))
    simulation.hear(closed=(PHONE,))
    assert simulation.pass_time(100, newer) == []
    simulation.hear(closed=(newer,))
    assert kinds(simulation.pass_time(50, connection("bob", "x")))[-2:] == [
        AgentOffline,
        PrimaryDeviceChanged,
    ]


def test_a_lease_lapses_and_then_has_its_grace() -> None:
    """Without any beat that names it a device is offline after lease and grace, not before."""
    simulation = Simulation()
    simulation.hear(opened=(PHONE,))
    assert simulation.pass_time(44) == []
    gone = simulation.pass_time(2)
    assert isinstance(gone[0], AgentOffline)
    assert gone[0].why == "lapsed"


def test_nothing_is_judged_while_no_gateway_is_heard() -> None:
    """All gateways silent for an hour: everybody stays; when one returns, a full lease and grace begin."""
    simulation = Simulation()
    simulation.hear(opened=(PHONE,))
    assert simulation.pass_time(3600, beats=False) == []
    assert simulation.pass_time(44) == []
    assert kinds(simulation.pass_time(3)) == [AgentOffline, PrimaryDeviceChanged]


def test_a_restart_takes_nobody_offline() -> None:
    """A new process gives everybody who is recorded as online a full lease before it judges."""
    simulation = Simulation()
    simulation.hear(opened=(PHONE,))
    simulation.hear(closed=(PHONE,))
    simulation.pass_time(29)
    simulation.restart()
    assert simulation.pass_time(44) == []
    assert kinds(simulation.pass_time(3)) == [AgentOffline, PrimaryDeviceChanged]


def test_a_late_tick_renews_every_lease() -> None:
    """A paused process blames its own absence on nobody."""
    heard = Heard(fresh_s=0)
    assert not tick(Heard(fresh_s=0, tick_s=10), 10.5, late_s=1)
    heard.tick_s = 10
    assert tick(heard, 100, late_s=1)
    assert heard.fresh_s == 100


def test_activity_moves_the_primary_device_but_not_restlessly() -> None:
    """The second device becomes primary when it is used, and at most one move per pause."""
    simulation = Simulation()
    simulation.hear(opened=(PHONE,))
    assert kinds(simulation.hear(opened=(LAPTOP,))) == [AgentOnline]
    simulation.now_s += 5
    (move,) = simulation.hear(alive=(connection("ann", "laptop", active=1),))
    assert isinstance(move, PrimaryDeviceChanged)
    assert (move.device_id, move.fence) == (desk.device_id("laptop"), 2)
    simulation.now_s += 1
    assert simulation.hear(alive=(connection("ann", "phone", active=1),)) == []
    simulation.now_s += 2
    (back,) = simulation.settle()
    assert isinstance(back, PrimaryDeviceChanged)
    assert (back.device_id, back.fence) == (desk.device_id("phone"), 3)


def test_a_removed_agent_has_no_devices() -> None:
    """Their devices go offline at once and beats bring nothing back."""
    simulation = Simulation()
    simulation.hear(opened=(PHONE,))
    simulation.tell(desk.removed("ann"))
    gone = simulation.settle()
    assert kinds(gone) == [AgentOffline, PrimaryDeviceChanged]
    assert simulation.pass_time(60, PHONE) == []


def test_a_wish_is_recorded_once() -> None:
    """An availability that is already recorded is not recorded again."""
    simulation = Simulation()
    key = (desk.ACCOUNT, desk.agent_id("ann"))
    simulation.heard.wishes[key] = "busy"
    assert len(simulation.settle()) == 1
    assert simulation.state.agent(key).availability == "busy"
    assert simulation.settle() == []


@given(seed=st.integers(0, 2**32))
def test_the_record_stays_consistent(seed: int) -> None:
    """Whatever connects, lapses, restarts: online and offline alternate per device, the primary device is one that is
    online (none when none is), and its fence only grows."""
    dice = random.Random(seed)
    simulation = Simulation()
    open_: dict[str, Connection] = {}
    for number in range(40):
        device = dice.choice(["phone", "laptop", "tablet"])
        match dice.randrange(7):
            case 0 | 1:
                made = connection("ann", device, number=number)
                open_[made.connection] = made
                simulation.hear(opened=(made,))
            case 2 if open_:
                simulation.hear(closed=(open_.pop(dice.choice(list(open_))),))
            case 3 if open_:
                open_.pop(dice.choice(list(open_)))
            case 4:
                simulation.restart()
            case 5:
                refresh(simulation.heard, simulation.now_s)
            case _:
                simulation.pass_time(dice.randrange(60), *open_.values())
        agent = simulation.state.agent((desk.ACCOUNT, desk.agent_id("ann")))
        assert agent.primary in agent.devices or (agent.primary is None and not agent.devices)
        connected = {c.device_id for c in open_.values()}
        assert connected <= set(agent.devices) or not simulation.heard.agents
    _check_alternation(simulation.recorded)


def _check_alternation(recorded: list[PresenceEvent]) -> None:
    online = set()
    fence = 0
    for event in recorded:
        match event:
            case AgentOnline():
                assert event.device_id not in online
                online.add(event.device_id)
            case AgentOffline():
                online.remove(event.device_id)
            case PrimaryDeviceChanged():
                assert event.fence == fence + 1
                fence = event.fence
            case _:
                raise AssertionError("nobody wished for anything")
