"""The past replayed with other decisions: facts come from the log, what the dispatcher would have decided is decided
anew. Pure.

Agents are taken to acknowledge at once and to answer and resolve exactly what and when they did. Positions are
stretched, so that there is room for decisions between two facts.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cli.whatif.plan import Plan
from services.dispatcher.decide import Evidence, Settings, State, World, decide
from services.dispatcher.decide.archive import find
from services.dispatcher.decide.state import Track
from shared import codec
from shared.events import (
    Author,
    ConversationAssigned,
    ConversationQueued,
    DeadlineMissed,
    Escalated,
    Event,
    Received,
    RoutingEvent,
    WriterStarted,
)
from shared.ids import AccountId, AgentId, ConversationId, DeviceId, Position

Fact = tuple[Position, int, Event]
STRETCH = 1_000_000
_DEVICE = DeviceId("00000000-0000-4000-8000-0000000000f2")
_POSITIONS = ("up_to", "seen_up_to", "waiting_since", "request")
_MOST_ROUNDS = 100_000
_BY_HAND = frozenset({"claimed", "requested", "answered"})
_PASSED_OVER = frozenset({"pace", "silent", "lease_failed"})


Key = tuple[ConversationId, Position]
"""A wait: the conversation, and the position since which it waited."""


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """One wait of a conversation that found an owner. `is_by_hand`: somebody claimed it, or was given it by somebody.
    `is_passing_over`: somebody was passed over who had not acknowledged what they had got."""

    agent_id: AgentId
    waited_ns: int
    is_by_hand: bool = False
    is_passing_over: bool = False


class Course(msgspec.Struct, kw_only=True):
    """What came of it. `waits`: by conversation and the place from which it waited, each with whoever was given it
    first and did not leave it unacknowledged; `lapses`: how often somebody did."""

    waits: dict[Key, Wait] = {}
    lapses: dict[Key, int] = {}
    missed: int = 0
    escalated: int = 0
    unowned: int = 0


def begin(facts: Iterable[Fact], account_id: AccountId) -> State:
    """The state after everything that really happened before the time looked at."""
    world = World(State(), Settings())
    for position, at_ns, event in facts:
        if isinstance(event, WriterStarted) or event.account_id == account_id:
            world.evolve(_stretched(event), position * STRETCH, at_ns)
    return world.state


def happened(begun: State, facts: Iterable[Fact], account_id: AccountId) -> Course:
    """What the log says came of it: who was given what by the dispatcher of then."""
    run = _Run(codec.unpack(codec.pack(begun), State))
    for position, at_ns, event in facts:
        if isinstance(event, WriterStarted) or event.account_id != account_id:
            continue
        run.now_ns = max(run.now_ns, at_ns)
        if isinstance(event, RoutingEvent):
            run.note(event)
        run.fold(_stretched(event), position * STRETCH)
    return run.ended(account_id)


def play(begun: State, facts: Iterable[Fact], account_id: AccountId, plan: Plan) -> Course:
    """Go on from a state (which stays as it is) with the facts, the plan in force from the start."""
    run = _Run(codec.unpack(codec.pack(begun), State))
    for saved in plan.first(run.world.state.account(account_id)):
        run.fold(saved, run.position + 1)
    for position, at_ns, event in facts:
        if isinstance(event, WriterStarted | RoutingEvent) or event.account_id != account_id:
            continue
        run.until(at_ns)
        for told in plan.told(event):
            run.fold(_stretched(told), position * STRETCH)
        run.settle()
    return run.ended(account_id)


class _Run:
    def __init__(self, state: State) -> None:
        self.world = World(state, Settings())
        self.now_ns = state.at_ns
        self.position = state.position
        self.course = Course()

    def fold(self, event: Event, position: Position) -> None:
        self.position = position
        self.world.evolve(event, position, self.now_ns)

    def until(self, at_ns: int) -> None:
        """Let what falls due before then happen."""
        while (due_ns := self.world.next_due_ns()) is not None and due_ns <= at_ns:
            self.now_ns = max(self.now_ns, due_ns)
            self.settle()
        self.now_ns = max(self.now_ns, at_ns)

    def settle(self) -> None:
        for _ in range(_MOST_ROUNDS):
            evidence = Evidence(stored=self.position)
            decided = decide(self.world, self.now_ns, evidence=evidence, writer="what if")
            if not decided:
                return
            for event in decided:
                self.note(event)
                self.fold(event, self.position + 1)
                if isinstance(event, ConversationAssigned):
                    self.fold(_acknowledged(event, self.position), self.position)
        raise AssertionError("the decisions never come to an end")

    def note(self, event: RoutingEvent) -> None:
        """Take down what a decision comes to, before it is folded."""
        match event:
            case ConversationAssigned():
                self._note_owner(event)
            case ConversationQueued() if event.why.trigger == "lease_lapsed":
                self._note_lapse(event)
            case DeadlineMissed():
                self.course.missed += 1
            case Escalated():
                self.course.escalated += 1
            case _:
                pass

    def _note_owner(self, event: ConversationAssigned) -> None:
        track = self._track(event)
        if track is not None and track.is_waiting:
            waited = Wait(
                agent_id=event.agent_id,
                waited_ns=self.now_ns - track.since_ns,
                is_by_hand=event.why.trigger in _BY_HAND,
                is_passing_over=not _PASSED_OVER.isdisjoint(event.why.excluded),
            )
            self.course.waits.setdefault(_key(track), waited)

    def _note_lapse(self, event: ConversationQueued) -> None:
        track = self._track(event)
        if track is not None:
            key = _key(track)
            self.course.waits.pop(key, None)
            self.course.lapses[key] = self.course.lapses.get(key, 0) + 1

    def _track(self, event: ConversationAssigned | ConversationQueued) -> Track | None:
        """As it was before the event; None where the log never said that it began."""
        office = self.world.state.offices.get(event.account_id)
        return find(office, event.account_id, event.conversation_id) if office else None

    def ended(self, account_id: AccountId) -> Course:
        """The course, with what is left at the end."""
        office = self.world.state.offices.get(account_id)
        tracks = office.tracks.values() if office is not None else ()
        self.course.unowned = sum(track.is_waiting for track in tracks)
        return self.course


def _key(track: Track) -> Key:
    return track.conversation.conversation_id, track.since // STRETCH


def _acknowledged(event: ConversationAssigned, position: Position) -> Received:
    return Received(
        account_id=event.account_id,
        recipient=Author(kind="agent", id=event.agent_id),
        device_id=_DEVICE,
        up_to=position,
    )


def _stretched(event: Event) -> Event:
    """The event with the positions in it stretched like those of the log."""
    fields = set(event.__struct_fields__).intersection(_POSITIONS)
    if not fields:
        return event
    return msgspec.structs.replace(event, **{f: getattr(event, f) * STRETCH for f in fields})
