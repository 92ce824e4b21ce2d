"""Conversations that are over take next to no memory, and go on as if nothing had been put away."""

from __future__ import annotations

import string
from typing import TypeVar

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.dispatcher.decide import State, World
from services.dispatcher.decide.archive import find, shelve
from services.dispatcher.decide.shelf import Shelf, pack_id, unpack_id
from services.dispatcher.decide.state import Office
from shared import codec
from shared.events import AssignmentRefused
from shared.ids import TeamId
from tests.support import desk
from tests.unit.dispatcher.simulation import SECOND_NS, Simulation, assigned, pair
from tests.unit.dispatcher.test_properties import PHASES

T = TypeVar("T", bound=msgspec.Struct)
_OTHERS = TeamId(desk.identifier("others"))
_NAMES = st.one_of(
    st.uuids().map(str),
    st.text(alphabet=string.printable + "é語", min_size=0, max_size=40),
    st.uuids().map(lambda each: str(each).upper()),
)


def _office() -> Simulation:
    simulation = Simulation()
    simulation.tell(desk.agent("ann"), desk.agent("bob"), desk.team("ann", "bob"), desk.inbox())
    simulation.tell(desk.policy(first_response_s=60, next_response_s=90))
    return simulation


def _serve(simulation: Simulation, name: str) -> None:
    simulation.tell(desk.started(name, priority="high", language="zh"), desk.wrote(name))
    simulation.settle()
    seen = simulation.position
    simulation.tell(desk.received("ann", seen), desk.answered(name, "ann", seen_up_to=seen))
    simulation.tell(desk.resolved(name, "ann", seen_up_to=simulation.position))
    simulation.settle()


def test_a_conversation_that_is_over_is_put_away_and_taken_out_again() -> None:
    """Months later a visitor writes again: it is in its queue with its priority, and goes to the agent they know."""
    simulation = _office()
    simulation.tell(desk.online("ann"))
    _serve(simulation, "c")
    office = simulation.world.state.offices[desk.ACCOUNT]
    assert (len(office.tracks), len(office.resolved), len(office.previous)) == (0, 1, 0)
    before = simulation.track("c").conversation
    simulation.tell(desk.online("bob"), desk.labelled("c", "vip"))
    assert (len(office.tracks), simulation.track("c").conversation.labels) == (0, ("vip",))
    simulation.now_ns += 200 * 86_400 * SECOND_NS
    simulation.tell(desk.wrote("c"))
    assert assigned(simulation.settle()) == [pair("c", "ann")]
    after = simulation.track("c").conversation
    kept = ("inbox_id", "contact_id", "priority", "language", "channel", "started", "last_answer")
    assert all(getattr(after, name) == getattr(before, name) for name in kept)
    assert len(office.resolved) == 0


def test_a_wish_about_a_conversation_that_is_over_is_answered() -> None:
    """It is refused, on record, and the conversation put away again."""
    simulation = _office()
    simulation.tell(desk.online("ann"))
    _serve(simulation, "c")
    simulation.tell(desk.claim("c", "bob"))
    (refused,) = simulation.settle()
    assert isinstance(refused, AssignmentRefused)
    assert refused.code == "not_waiting"
    assert len(simulation.world.state.offices[desk.ACCOUNT].resolved) == 1


def test_an_owner_whose_assignment_crossed_the_end_is_kept() -> None:
    """A colleague resolves what is being handed out: routing has it with the agent on whose screen it is, before and
    after the visitor writes again, and nobody else gets it."""
    simulation = _office()
    simulation.tell(desk.started("c"), desk.wrote("c"))
    simulation.settle()
    simulation.tell(desk.online("ann"))
    late = simulation.round()
    assert assigned(late) == [pair("c", "ann")]
    simulation.tell(desk.resolved("c", "bob", seen_up_to=simulation.position), *late)
    crossed = simulation.track("c").conversation
    assert (crossed.phase, crossed.agent_id) == ("resolved", desk.agent_id("ann"))
    simulation.tell(desk.received("ann", simulation.position), desk.labelled("c", "vip"))
    assert simulation.world.state.offices[desk.ACCOUNT].handling == {}
    simulation.tell(desk.online("bob"), desk.offline("ann"), desk.online("ann"))
    simulation.tell(desk.wrote("c"))
    assert (assigned(simulation.settle()), simulation.owner("c")) == ([], desk.agent_id("ann"))
    simulation.tell(desk.resolved("c", "ann", seen_up_to=simulation.position))
    assert len(simulation.world.state.offices[desk.ACCOUNT].resolved) == 1


def test_a_team_whose_wish_crossed_the_end_is_asked() -> None:
    """A colleague resolves what is being handed to another team: when the visitor writes again, that team has it."""
    simulation = _office()
    simulation.tell(desk.agent("eve"), desk.team("eve", team_id=_OTHERS))
    simulation.tell(desk.started("c"), desk.wrote("c"))
    simulation.settle()
    simulation.tell(desk.hand_over("c", by="ann", to_team=_OTHERS))
    late = simulation.round()
    simulation.tell(desk.resolved("c", "bob", seen_up_to=simulation.position), *late)
    assert simulation.track("c").conversation.phase == "resolved"
    simulation.tell(desk.wrote("c"), desk.online("ann"), desk.online("eve"))
    assert assigned(simulation.settle()) == [pair("c", "eve")]


def test_who_is_not_asked_again_is_kept_past_the_end() -> None:
    """A conversation that a decision of ours barred somebody from after its end stays off the shelf, where that would
    be lost, until something is said about it."""
    simulation = _office()
    simulation.tell(desk.online("ann"))
    _serve(simulation, "c")
    track = simulation.track("c")
    office = Office(tracks={track.conversation.conversation_id: track})
    track.barred_agent_id = desk.agent_id("ann")
    assert not shelve(office, track)
    track.barred_agent_id = None
    assert shelve(office, track)


def test_what_is_over_takes_a_hundred_bytes() -> None:
    """In memory as in a snapshot: no more than 100 bytes for each, contact included."""
    simulation = _office()
    simulation.tell(desk.online("ann"))
    _serve(simulation, "first")
    empty = len(codec.pack(simulation.world.state.offices))
    for number in range(200):
        _serve(simulation, f"c{number}")
    office = simulation.world.state.offices[desk.ACCOUNT]
    assert len(office.resolved) == 201
    assert (len(codec.pack(simulation.world.state.offices)) - empty) / 200 < 120
    restarted = World(codec.unpack(codec.pack(simulation.world.state), State), simulation.settings)
    assert codec.pack(restarted.state) == codec.pack(simulation.replayed().state)


_SETTLED = frozenset(
    {
        # Of waits that are over: new ones have other positions.
        *("missed_first", "missed_next", "missed_resolution", "reassigned", "escalated"),
        *("escalated_resolution", "fallen_to", "fallen_since", "fallen_past", "times", "opened_ns"),
        # Set anew with every assignment, return or bar.
        *("assigned_ns", "lease_s", "queued", "queued_ns", "barred_ns", "barred_until"),
        # Not looked at by routing, or only while it is snoozed.
        *("rating", "snoozed_until_ns"),
    }
)
"""What need not be kept of a conversation that is over."""


def test_nothing_that_matters_is_lost() -> None:
    """Every field of a conversation and of what routing knows of it is kept, or stands in the list of what is settled:
    who adds one decides."""
    simulation = _office()
    simulation.tell(desk.online("ann"))
    _serve(simulation, "c")
    kept = simulation.track("c")
    state, track = _filled(kept.conversation), _filled(kept)
    track.conversation = state
    office = Office(tracks={state.conversation_id: track})
    assert shelve(office, track)
    found = find(office, state.account_id, state.conversation_id)
    assert found is not None
    for before, after in ((state, found.conversation), (track, found)):
        lost = {
            field.name
            for field in msgspec.structs.fields(before)
            if field.name != "conversation"
            and getattr(before, field.name) != getattr(after, field.name)
        }
        assert lost <= _SETTLED


def _filled(struct: T) -> T:
    """A copy with something else than the default in every field that a resolved conversation may have."""
    values: dict[str, object] = {}
    cleared = ("phase", "unanswered", "requests", "agent_id", "assigned", "conversation")
    for number, field in enumerate(msgspec.structs.fields(struct), start=7):
        value = getattr(struct, field.name)
        if field.name in cleared or field.name in _RESOLVED:
            continue
        if isinstance(value, str) and field.name not in ("priority", "account_id"):
            values[field.name] = desk.identifier(field.name)
        elif isinstance(value, int) and not isinstance(value, bool):
            values[field.name] = number
        elif isinstance(value, tuple):
            values[field.name] = (field.name,)
        elif value is None:
            values[field.name] = desk.identifier(field.name)
    return msgspec.structs.replace(struct, **values)


_RESOLVED = frozenset({"released_by", "wanted_team_id", "answerer", "barred_agent_id", "opened"})
"""What the fold of the end has cleared."""


@settings(max_examples=60, deadline=None, phases=PHASES)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["put", "pop"]), st.integers(0, 9), st.binary(max_size=300))
    ),
    names=st.lists(_NAMES, min_size=10, max_size=10, unique=True),
)
def test_a_shelf_is_a_map(steps: list[tuple[str, int, bytes]], names: list[str]) -> None:
    """It answers as a dict would, whatever the ids look like; what is too long is not taken."""
    shelf, known = Shelf(), dict[str, bytes]()
    for step, number, value in steps:
        name = names[number]
        if step == "pop":
            assert shelf.pop(name) == known.pop(name, None)
            continue
        known.pop(name, None)
        if shelf.put(name, value):
            known[name] = value
        else:
            assert max(len(value), len(name.encode()) + 2) > 255
    assert {name: shelf.get(name) for name in names} == {name: known.get(name) for name in names}
    assert len(shelf) == len(known)
    assert [unpack_id(pack_id(name)) for name in names] == names
