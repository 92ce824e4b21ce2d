"""The round that is decided while the last one is on its way to the log."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from services.dispatcher.ahead import Ahead
from services.dispatcher.decide import UNTOUCHED, Past, Settings, decide
from shared import codec
from shared.events import ConversationAssigned, ConversationQueued, Event, RoutingEvent
from tests.support import desk
from tests.unit.dispatcher.simulation import Simulation, assigned, pair
from tests.unit.dispatcher.test_properties import AGENTS, PHASES, Life


class Pipeline:
    """A simulation whose next round is decided before the last one is folded."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.ahead = Ahead()
        self.kept: list[RoutingEvent] = []

    def tell(self, event: Event) -> None:
        """Somebody else's event is folded while a round is on its way."""
        world = self.simulation.world
        before = self.simulation.position
        self.simulation.append(event)
        touched = self.simulation.touched
        assert self.simulation.position == before + 1
        if touched is not UNTOUCHED:
            self.ahead.cross(touched, world.owners(desk.ACCOUNT, touched))

    def send(self) -> Sequence[RoutingEvent]:
        """The next round is on its way, and the one after it prepared."""
        simulation = self.simulation
        kept = self.ahead.take()
        self.kept += kept
        events = kept or simulation.round()
        self.ahead.fly(events)
        if len(events) == simulation.settings.round_events:
            following = decide(
                simulation.world,
                simulation.now_ns,
                evidence=simulation.evidence,
                writer="test",
                flying=self.ahead.flying,
            )
            self.ahead.prepare(following)
        return events

    def land(self, events: Sequence[RoutingEvent]) -> None:
        """The round is folded."""
        for event in events:
            self.simulation.append(event)
            lapsed = None
            if isinstance(event, RoutingEvent):
                lapsed = self.simulation.world.lapsed(event)
            self.ahead.landed(lapsed)


def _morning(count: int) -> Simulation:
    simulation = Simulation(Settings(burst=1000, round_events=7))
    simulation.tell(
        *(
            desk.agent(name, capacity=9 + n, skills={"tax": 1 + n % 2})
            for n, name in enumerate(AGENTS)
        ),
        desk.team(*AGENTS),
        desk.inbox(skills={"tax": 1}),
        desk.policy(),
    )
    for number in range(count):
        simulation.tell(desk.started(f"c{number}"), desk.wrote(f"c{number}"))
    simulation.settle()
    simulation.tell(*(desk.online(name) for name in AGENTS))
    return simulation


def test_rounds_decided_ahead_are_those_that_would_have_followed() -> None:
    """When nothing else happens, deciding on what is in flight gives the same owners in the same order as waiting."""
    patient, hasty = _morning(60), _morning(60)
    expected = assigned(patient.settle())
    pipeline = Pipeline(hasty)
    found: list[RoutingEvent] = []
    while events := pipeline.send():
        pipeline.land(events)
        found += events
    assert assigned(found) == expected
    assert len(pipeline.kept) > len(found) // 2


@settings(max_examples=25, deadline=None, phases=PHASES)
@given(seed=st.integers(0, 2**32))
def test_what_was_crossed_is_decided_again(seed: int) -> None:
    """Whatever happens while a round is on its way, of the one prepared behind it nothing is appended that gives away
    what is no longer free, to somebody who is no longer here or has no room; and what is appended can be explained."""
    life = Life(seed)
    life.simulation.settings = Settings(burst=3, round_events=3)
    life.simulation.world = life.simulation.replayed()
    pipeline = Pipeline(life.simulation)
    numbers: list[int] = []
    for _ in range(50):
        life.live()
        life.pass_time()
        events = pipeline.send()
        for _ in range(life.dice.choice([0, 0, 1, 2])):
            for event in life.happening():
                pipeline.tell(event)
        pipeline.land(events)
        for event in pipeline.ahead.standing():
            _assert_still_right(life, event)
        numbers += range(life.simulation.position - len(events), life.simulation.position)
    _assert_explained(life, numbers)


def _assert_still_right(life: Life, event: RoutingEvent) -> None:
    if not isinstance(event, ConversationAssigned) or event.why.winner is None:
        return
    world = life.simulation.world
    track = world.state.offices[desk.ACCOUNT].tracks[event.conversation_id]
    assert track.is_waiting
    standing = world.floor(desk.ACCOUNT).standings[event.agent_id]
    assert standing.status == "free"


def _assert_explained(life: Life, numbers: list[int]) -> None:
    log = life.simulation.log
    for number in life.dice.sample(numbers, min(6, len(numbers))):
        _, at_ns, event = log[number]
        if not isinstance(event, ConversationAssigned | ConversationQueued):
            continue
        past = Past(event, life.simulation.settings, now_ns=at_ns)
        for position, earlier_ns, earlier in log[:number]:
            past.fold(earlier, position, earlier_ns)
        assert past.recalled().outcome in ("exact", "no_choice")


def test_an_owner_who_has_less_room_by_now_is_not_given_more() -> None:
    """A visitor who writes in a snoozed conversation fills a place of its owner: the prepared pick of that agent falls."""
    simulation = Simulation(Settings(burst=9, round_events=1))
    simulation.tell(desk.agent("ann", capacity=1), desk.agent("bob", capacity=1))
    simulation.tell(desk.team("ann", "bob"), desk.inbox(), desk.policy(), desk.online("ann"))
    simulation.tell(desk.started("s"), desk.wrote("s"))
    simulation.settle()
    seen = simulation.position
    simulation.tell(desk.received("ann", seen), desk.answered("s", "ann", seen_up_to=seen))
    simulation.tell(desk.snoozed("s", "ann", seen_up_to=seen, until_ns=2**62))
    simulation.tell(desk.availability("ann", "away"))
    for name in "ab":
        simulation.tell(desk.started(name), desk.wrote(name))
    simulation.settle()
    simulation.tell(desk.availability("ann", "online"), desk.online("bob"))
    pipeline = Pipeline(simulation)
    events = pipeline.send()
    assert assigned(list(events)) == [pair("a", "bob")]
    assert assigned(list(pipeline.ahead.standing())) == [pair("b", "ann")]
    pipeline.tell(desk.wrote("s"))
    pipeline.land(events)
    assert pipeline.ahead.take() == []


def test_what_flies_is_known_by_its_bytes_in_its_order() -> None:
    """What is read back is taken for the event that flies only while it is the very next one and reads the same: a
    rival's, or the same round after it was refused, is decoded."""
    simulation = Simulation(Settings(burst=9))
    simulation.tell(desk.agent("ann"), desk.team("ann"), desk.inbox(), desk.online("ann"))
    for name in "ab":
        simulation.tell(desk.started(name), desk.wrote(name))
    first, second = simulation.round()
    payloads = [codec.encode_event(each) for each in (first, second)]
    ahead = Ahead()
    ahead.fly([first, second], payloads)
    assert ahead.known(payloads[1]) is None
    assert ahead.known(payloads[0]) is first
    ahead.landed()
    assert ahead.known(payloads[0]) is None
    assert ahead.known(payloads[1]) is second
    ahead.drop()
    assert ahead.known(payloads[1]) is None
