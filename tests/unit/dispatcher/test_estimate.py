"""What is said to somebody who waits: only what is known."""

from __future__ import annotations

from datetime import datetime

from services.dispatcher.decide import estimate, explain
from shared.commands import QueueAnswer
from shared.events import ConversationAssigned
from shared.policy.document import DAYS, Hours, Interval
from tests.support import desk
from tests.unit.dispatcher.simulation import SECOND_NS, Simulation


def _ask(simulation: Simulation, name: str) -> QueueAnswer:
    return estimate(simulation.world, desk.ACCOUNT, desk.conversation_id(name), simulation.now_ns)


def _office(capacity: int = 1, **policy: object) -> Simulation:
    simulation = Simulation()
    simulation.tell(desk.agent("ann", capacity=capacity), desk.team("ann"), desk.inbox())
    simulation.tell(desk.policy(desk.POLICY, **policy))
    return simulation


def _write(simulation: Simulation, *names: str) -> None:
    for name in names:
        simulation.tell(desk.started(name), desk.wrote(name))
    simulation.settle()


def _serve(simulation: Simulation, count: int, *, seconds: int) -> None:
    for number in range(count):
        _write(simulation, f"past {number}")
        simulation.wait(seconds)
        simulation.tell(desk.resolved(f"past {number}", "ann", seen_up_to=simulation.position))


def test_the_place_is_that_of_the_queue() -> None:
    """Priority, then age; who is served has no place but the time at which they were given to somebody, and an unknown
    conversation nothing at all."""
    simulation = _office()
    _write(simulation, "a", "b")
    simulation.tell(desk.started("u", priority="urgent"), desk.wrote("u"))
    simulation.settle()
    assert [_ask(simulation, name).place for name in "uab"] == [1, 2, 3]
    simulation.tell(desk.online("ann"))
    simulation.settle()
    served = _ask(simulation, "u")
    assert (served.state, served.place, served.expected_s) == ("open", 0, None)
    given_ns = next(
        at_ns
        for _, at_ns, event in simulation.log
        if isinstance(event, ConversationAssigned)
        and event.conversation_id == desk.conversation_id("u")
    )
    assert served.given_ns == given_ns
    assert _ask(simulation, "a").given_ns == 0
    assert _ask(simulation, "nobody").state is None


def test_who_waits_for_the_same_agents_stands_before() -> None:
    """In whatever language they write and whatever they ask for. What nobody here can take keeps nobody waiting."""
    simulation = Simulation()
    simulation.tell(
        desk.agent("ann", skills={"lang:en": 5, "lang:zh": 5}),
        desk.agent("bob", skills={"lang:de": 5}),
        desk.team("ann", "bob"),
        desk.inbox(),
        desk.policy(),
    )
    for name, language in (("e", "en"), ("z", "zh"), ("d", "de"), ("f", "fr"), ("e2", "en")):
        simulation.tell(desk.started(name, language=language), desk.wrote(name))
    simulation.settle()
    places = {name: _ask(simulation, name).place for name in ("e", "z", "d", "f", "e2")}
    # Ann takes English and Chinese, Bob German, either of them French, in which nobody has a skill.
    assert places == {"e": 1, "z": 2, "d": 1, "f": 4, "e2": 4}
    told = explain(
        simulation.world, desk.ACCOUNT, desk.conversation_id("e2"), now_ns=simulation.now_ns
    )
    assert told.place == 4


def test_what_rose_by_waiting_has_its_new_place() -> None:
    """The answer is as of now, also when nothing has happened since."""
    simulation = _office(ageing_s=60)
    simulation.tell(desk.started("low", priority="low"), desk.wrote("low"))
    simulation.wait(150)
    _write(simulation, "normal")
    assert _ask(simulation, "low").place == 1


def test_the_time_is_unknown_until_the_past_tells() -> None:
    """No past, nobody here: null. With a past: the place times the mean over the places of those who are here."""
    simulation = _office()
    simulation.tell(desk.online("ann"))
    _serve(simulation, 4, seconds=40)
    _write(simulation, "held", "first", "second")
    assert _ask(simulation, "first").expected_s is None
    simulation.tell(desk.resolved("held", "ann", seen_up_to=simulation.position))
    simulation.tell(desk.resolved("first", "ann", seen_up_to=simulation.position))
    simulation.settle()
    _serve(simulation, 12, seconds=40)
    simulation.tell(desk.resolved("second", "ann", seen_up_to=simulation.position))
    simulation.settle()
    _write(simulation, "x", "y", "z")
    near, far = _ask(simulation, "y").expected_s, _ask(simulation, "z").expected_s
    assert near is not None
    assert far is not None
    assert 20 <= near <= 41
    assert abs(far - 2 * near) <= 1
    simulation.tell(desk.offline("ann"))
    simulation.settle()
    assert _ask(simulation, "z").expected_s is None


def test_it_says_when_the_team_is_back() -> None:
    """Closed on Friday night: open again on Monday at nine; open now: no time; no hours: nothing about them."""
    weekly = tuple(Interval(day=day, start="09:00", end="17:00") for day in DAYS[:5])
    simulation = _office(hours=Hours(zone="Europe/Berlin", weekly=weekly))
    _write(simulation, "c")
    simulation.now_ns = _ns("2027-01-22T21:09:00+01:00")
    told = _ask(simulation, "c")
    assert (told.is_open, told.opens_ns) == (False, _ns("2027-01-25T09:00:00+01:00"))
    simulation.now_ns = _ns("2027-01-25T09:00:00+01:00")
    told = _ask(simulation, "c")
    assert (told.is_open, told.opens_ns) == (True, 0)
    other = _office()
    _write(other, "c")
    assert _ask(other, "c").is_open is None


def _ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * SECOND_NS
