"""How fast a backlog is given out: as fast as devices acknowledge, and no faster."""

from __future__ import annotations

from services.dispatcher.decide import Settings, explain
from services.dispatcher.decide.pace import window_of
from shared.events import Author, ConversationAssigned, Receipt, ReceivedTogether
from shared.ids import AgentId
from tests.support import desk
from tests.unit.dispatcher.simulation import Simulation, assigned

BURST = 3


def _office(*names: str, capacity: int, waiting: int) -> Simulation:
    simulation = Simulation(Settings(burst=BURST))
    simulation.tell(*(desk.agent(name, capacity=capacity) for name in names))
    simulation.tell(desk.team(*names), desk.inbox(), desk.policy())
    for number in range(waiting):
        simulation.tell(desk.started(f"c{number}"), desk.wrote(f"c{number}"))
    simulation.settle()
    return simulation


def _window(simulation: Simulation, name: str) -> int:
    agent = simulation.world.state.offices[desk.ACCOUNT].agents[desk.agent_id(name)]
    return window_of(agent, BURST)


def _acknowledge(simulation: Simulation, *names: str, after_s: float) -> list[tuple[str, str]]:
    """All devices acknowledge what they have, so much later; what is given out then."""
    simulation.now_ns += int(after_s * 1e9)
    up_to = simulation.position
    simulation.tell(*(desk.received(name, up_to) for name in names))
    return assigned(simulation.settle())


def test_a_morning_buries_nobody_and_forgets_nothing() -> None:
    """Twenty agents come one after the other to a backlog of hundreds: all of it goes out, oldest first, each once; who
    comes is given a few, then more as their devices acknowledge, and holds what everybody else does in the end."""
    names = [f"agent{number}" for number in range(20)]
    simulation = _office(*names, capacity=30, waiting=600)
    given: list[tuple[str, str]] = []
    here: list[str] = []
    for name in names:
        here.append(name)
        simulation.tell(desk.online(name))
        fresh = assigned(simulation.settle())
        assert sum(agent == desk.agent_id(name) for _, agent in fresh) == BURST
        given += fresh + _acknowledge(simulation, *here, after_s=0.3)
    for _ in range(50):
        given += _acknowledge(simulation, *here, after_s=0.3)
    assert [each for each, _ in given] == [desk.conversation_id(f"c{n}") for n in range(600)]
    held = [sum(agent == desk.agent_id(name) for _, agent in given) for name in names]
    assert set(held) == {30}


def test_acknowledgements_that_come_together_count_for_each_of_them() -> None:
    """What a gateway collected for a moment moves everybody's pace and leases as single ones would; a visitor's is none
    of the dispatcher's business."""
    given: list[list[tuple[str, str]]] = []
    for is_together in (True, False):
        simulation = _office("ann", "bob", capacity=30, waiting=40)
        simulation.tell(desk.online("ann"), desk.online("bob"))
        simulation.settle()
        simulation.now_ns += 300_000_000
        people = (
            *(Author(kind="agent", id=desk.agent_id(x)) for x in ("ann", "bob")),
            desk.visitor("v"),
        )
        receipts = (
            Receipt(recipient=each, device_id=desk.device_id("d"), up_to=simulation.position)
            for each in people
        )
        one = ReceivedTogether(account_id=desk.ACCOUNT, receipts=tuple(receipts))
        simulation.tell(*((one,) if is_together else one.each()))
        given.append(assigned(simulation.settle()))
    assert given[0] == given[1]
    assert {agent for _, agent in given[0]} == {desk.agent_id("ann"), desk.agent_id("bob")}


def test_brisk_acknowledgements_widen_the_pace_up_to_a_limit() -> None:
    """Each that comes within two seconds adds; eight times the burst is the most."""
    simulation = _office("ann", capacity=1000, waiting=400)
    simulation.tell(desk.online("ann"))
    windows = []
    simulation.settle()
    for _ in range(30):
        _acknowledge(simulation, "ann", after_s=0.5)
        windows.append(_window(simulation, "ann"))
    assert windows == sorted(windows)
    assert (windows[0], windows[-1]) == (BURST * 11 // 8, 8 * BURST)


def test_late_acknowledgements_narrow_it_for_everybody() -> None:
    """When the store lags, what is given out reaches the devices late: all agents are given less at once."""
    simulation = _office("ann", "bob", capacity=1000, waiting=400)
    simulation.tell(desk.online("ann"), desk.online("bob"))
    simulation.settle()
    for _ in range(8):
        _acknowledge(simulation, "ann", "bob", after_s=0.5)
    wide = [_window(simulation, name) for name in ("ann", "bob")]
    given = [len(_acknowledge(simulation, "ann", "bob", after_s=20)) for _ in range(6)]
    assert given == sorted(given, reverse=True)
    assert given[-1] < given[0]
    narrow = [_window(simulation, name) for name in ("ann", "bob")]
    assert all(after < before for before, after in zip(wide, narrow, strict=True))


def test_who_acknowledges_nothing_gets_no_more() -> None:
    """A device that is connected and deaf is given the first few, loses them, and is left alone; the others get all."""
    simulation = _office("deaf", "ann", capacity=50, waiting=40)
    simulation.tell(desk.online("deaf"), desk.online("ann"))
    given = assigned(simulation.settle())
    for _ in range(400):
        given += _acknowledge(simulation, "ann", after_s=1)
    to_deaf = [each for each, agent in given if agent == desk.agent_id("deaf")]
    assert len(to_deaf) == BURST
    last = dict(given)
    assert set(last.values()) == {desk.agent_id("ann")}
    assert len(last) == 40


def test_why_somebody_waits_for_pace_has_numbers() -> None:
    """Explaining what waits names who could take it but has not acknowledged, how many, and of how many."""
    simulation = _office("ann", capacity=50, waiting=5)
    simulation.tell(desk.online("ann"))
    simulation.settle()
    found = explain(
        simulation.world, desk.ACCOUNT, desk.conversation_id("c4"), now_ns=simulation.now_ns
    )
    (verdict,) = found.verdicts
    assert (verdict.rule, verdict.unacknowledged, verdict.window) == ("pace", BURST, BURST)


def test_the_pace_is_the_same_after_a_restart() -> None:
    """It is folded from the log: another process that reads the log has the same windows, and begins anew at the next
    sign-in as everybody does."""
    simulation = _office("ann", capacity=100, waiting=60)
    simulation.tell(desk.online("ann"))
    simulation.settle()
    for _ in range(5):
        _acknowledge(simulation, "ann", after_s=0.2)
    agents = simulation.replayed().state.offices[desk.ACCOUNT].agents
    assert window_of(agents[AgentId(desk.agent_id("ann"))], BURST) == _window(simulation, "ann")
    assert _window(simulation, "ann") > BURST
    simulation.tell(desk.offline("ann"))
    assert _window(simulation, "ann") == BURST
    given = [e for _, _, e in simulation.log if isinstance(e, ConversationAssigned)]
    assert len(given) > BURST
