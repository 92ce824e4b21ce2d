"""The past replayed with other decisions: facts come from the log, what the dispatcher would have decided is decided
anew. Pure.

Agents are taken to acknowledge at once and to answer and resolve exactly what and when they did. Positions are
stretched, so that there is room for decisions between two facts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from services.dispatcher.decide import Evidence, Settings, State, World, decide
from shared import codec
from shared.events import (
    Author,
    ConversationAssigned,
    DeadlineMissed,
    Escalated,
    Event,
    InboxSaved,
    PolicySaved,
    Received,
    RoutingEvent,
    WriterStarted,
)
from shared.ids import AccountId, AgentId, ConversationId, DeviceId, PolicyId, Position

Fact = tuple[Position, int, Event]
STRETCH = 1_000_000
_NO_POLICY = PolicyId("00000000-0000-4000-8000-0000000000f1")
"""Inboxes without a policy of their own get the tried one under this id."""
_DEVICE = DeviceId("00000000-0000-4000-8000-0000000000f2")
_POSITIONS = ("up_to", "seen_up_to", "waiting_since", "request")
_MOST_ROUNDS = 100_000


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """One wait of a conversation that found an owner."""

    agent_id: AgentId
    waited_ns: int


class Course(msgspec.Struct, kw_only=True):
    """What came of it. `waits`: by conversation and the place from which it waited."""

    waits: dict[tuple[ConversationId, Position], Wait] = {}
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


def other_policies(state: State, account_id: AccountId, changes: dict[str, Any]) -> list[Event]:
    """What an administrator would have saved to have the changes in force for every inbox."""
    account = state.account(account_id)
    saved: list[Event] = [_with(policy, changes) for policy in account.policies.values()]
    named = {"name": "what if"} | changes
    saved.append(PolicySaved(account_id=account_id, writer="", policy_id=_NO_POLICY, **named))
    return [*saved, *(_with(inbox, changes) for inbox in account.inboxes.values())]


def play(
    begun: State, facts: Iterable[Fact], account_id: AccountId, changes: dict[str, Any]
) -> Course:
    """Go on from a state (which stays as it is) with the facts; with `changes`, under other policies from the start."""
    run = _Run(codec.unpack(codec.pack(begun), State))
    if changes:
        for saved in other_policies(run.world.state, account_id, changes):
            run.fold(saved, run.position + 1)
    for position, at_ns, event in facts:
        if isinstance(event, WriterStarted | RoutingEvent) or event.account_id != account_id:
            continue
        run.until(at_ns)
        told = _with(event, changes) if changes else event
        run.fold(_stretched(told), position * STRETCH)
        run.settle()
    office = run.world.state.offices.get(account_id)
    tracks = office.tracks.values() if office is not None else ()
    run.course.unowned = sum(track.is_waiting for track in tracks)
    return run.course


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
                self._note(event)
                self.fold(event, self.position + 1)
                if isinstance(event, ConversationAssigned):
                    self.fold(_acknowledged(event, self.position), self.position)
        raise AssertionError("the decisions never come to an end")

    def _note(self, event: RoutingEvent) -> None:
        match event:
            case ConversationAssigned():
                self._note_owner(event)
            case DeadlineMissed():
                self.course.missed += 1
            case Escalated():
                self.course.escalated += 1
            case _:
                pass

    def _note_owner(self, event: ConversationAssigned) -> None:
        track = self.world.state.offices[event.account_id].tracks[event.conversation_id]
        if track.is_waiting:
            key = (event.conversation_id, track.since // STRETCH)
            waited = Wait(agent_id=event.agent_id, waited_ns=self.now_ns - track.since_ns)
            self.course.waits.setdefault(key, waited)


def _acknowledged(event: ConversationAssigned, position: Position) -> Received:
    return Received(
        account_id=event.account_id,
        recipient=Author(kind="agent", id=event.agent_id),
        device_id=_DEVICE,
        up_to=position,
    )


def _with(event: Event, changes: dict[str, Any]) -> Event:
    """A policy with the changes; an inbox without a policy with the tried one."""
    if isinstance(event, PolicySaved):
        return msgspec.structs.replace(event, **changes)
    if isinstance(event, InboxSaved) and event.policy_id is None:
        return msgspec.structs.replace(event, policy_id=_NO_POLICY)
    return event


def _stretched(event: Event) -> Event:
    """The event with the positions in it stretched like those of the log."""
    fields = set(event.__struct_fields__).intersection(_POSITIONS)
    if not fields:
        return event
    return msgspec.structs.replace(event, **{f: getattr(event, f) * STRETCH for f in fields})
