"""Folds one event into an account's state and tells what it touched. Log order in, the same state out, whatever
the split into batches and restarts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import msgspec

from services.dispatcher.decide import pace
from services.dispatcher.decide.archive import previous_agent
from services.dispatcher.decide.state import (
    NEVER,
    Handling,
    Office,
    Request,
    State,
    Track,
)
from shared import conversation as conversations
from shared import events, repeats
from shared.conversation import ConversationFact
from shared.ids import AgentId, ConversationId, Position
from shared.waits import times


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """What an event changed: conversations, an agent with everything they hold, who was given something, and who have
    acknowledged more."""

    conversations: tuple[ConversationId, ...] = ()
    agent_id: AgentId | None = None
    assignee_id: AgentId | None = None
    acknowledger_ids: tuple[AgentId, ...] = ()


UNTOUCHED = Touched()
_KEPT_TRIGGERS = frozenset(
    {
        "lease_lapsed",
        "agent_offline",
        "agent_removed",
        "requested",
        "reopened",
        "deadline",
        "fallback",
    }
)
RoutedEvent = (
    events.MessageEvent
    | events.ReceiptEvent
    | events.ConversationEvent
    | events.PresenceEvent
    | events.RoutingEvent
)
"""All that is not configuration."""


def evolve(
    state: State, office: Office, event: RoutedEvent, position: Position, at_ns: int
) -> Touched:
    """Apply one event that is not configuration, in place."""
    match event:
        case events.ConversationAssigned():
            # First, because each of the thousands of a morning walks down this list.
            state.turn = event.account_id
            return _assigned(office, event, position, at_ns)
        case events.ConversationStarted():
            return _started(office, event, position)
        case events.ConditionsJudged():
            return _judged(office, event)
        case events.MessagePosted():
            if repeats.is_repeat(state.repeats, event, at_ns):
                return UNTOUCHED
            return _posted(office, event, position, at_ns)
        case events.NoteAdded() | events.Rated():
            _fact(office, event, position, at_ns)
            return UNTOUCHED
        case events.PriorityChanged() | events.StatusChanged() | events.LabelsChanged():
            return _fact(office, event, position, at_ns)
        case events.AssignmentRequested() | events.ClaimRequested():
            return _requested(office, event, position)
        case events.Received():
            return _received(office, (event,), at_ns)
        case events.ReceivedTogether():
            return _received(office, event.each(), at_ns)
        case events.AgentOnline() | events.AgentOffline() | events.AvailabilityChanged():
            return _presence(office, event, position, at_ns)
        case events.ContactMerged():
            _merged(office, event)
            return UNTOUCHED
        case _:
            return _routing_or_nothing(state, office, event, position, at_ns)


def _routing_or_nothing(  # The five go together; there is no smaller thing to pass.
    state: State, office: Office, event: _Rest, position: Position, at_ns: int
) -> Touched:
    match event:
        case events.ConversationQueued():
            state.turn = event.account_id
            return _queued(office, event, position, at_ns)
        case events.AssignmentRefused():
            state.turn = event.account_id
            return _refused(office, event)
        case events.DeadlineMissed() | events.Escalated():
            state.turn = event.account_id
            return _reminded(office, event)
        case (
            events.MessageEdited()
            | events.MessageRetracted()
            | events.Read()
            | events.ContactCreated()
            | events.ContactChanged()
            | events.PrimaryDeviceChanged()
        ):
            return UNTOUCHED
        case _:
            assert_never(event)


_Rest = (
    events.ConversationQueued
    | events.AssignmentRefused
    | events.DeadlineMissed
    | events.Escalated
    | events.MessageEdited
    | events.MessageRetracted
    | events.Read
    | events.ContactCreated
    | events.ContactChanged
    | events.PrimaryDeviceChanged
)


def _merged(office: Office, event: events.ContactMerged) -> None:
    """The first merge of a contact counts, as in the store; one that would lead back to it changes nothing."""
    if event.contact_id in office.merged or office.root_of(event.into) == event.contact_id:
        return
    office.merged[event.contact_id] = event.into
    known, into = previous_agent(office, event.contact_id), office.root_of(event.into)
    if known is not None and previous_agent(office, into) is None:
        office.previous[into] = known


def _started(office: Office, event: events.ConversationStarted, position: Position) -> Touched:
    if event.conversation_id not in office.tracks:
        started = conversations.start(event, position)
        office.tracks[event.conversation_id] = Track(conversation=started, met=event.met)
    return UNTOUCHED


def _judged(office: Office, event: events.ConditionsJudged) -> Touched:
    track = office.tracks.get(event.conversation_id)
    if track is None or track.met == event.met:
        return UNTOUCHED
    track.met = event.met
    return Touched(conversations=(event.conversation_id,))


def _posted(office: Office, event: events.MessagePosted, position: Position, at_ns: int) -> Touched:
    track = office.tracks.get(event.conversation_id)
    if track is None:
        return UNTOUCHED
    conversation = track.conversation
    is_one_more = conversation.unanswered and conversation.phase == "active" and track.opened
    if not is_one_more or event.author.kind != "visitor":
        return _fact(office, event, position, at_ns)
    # It waits already, and since when has not changed: nothing that is decided hangs on how many messages wait. Most
    # messages are such ones.
    conversations.post(conversation, event, position)
    _keep_times(track, position, at_ns)
    return UNTOUCHED


def _fact(office: Office, event: ConversationFact, position: Position, at_ns: int) -> Touched:
    track = office.tracks.get(event.conversation_id)
    if track is None:
        return UNTOUCHED
    conversation = track.conversation
    if isinstance(event, events.MessagePosted):
        _note_answerer(track, event)
    owner, phase, assigned = conversation.agent_id, conversation.phase, conversation.assigned
    conversations.evolve(conversation, event, position)
    if owner is not None and conversation.agent_id != owner:
        _land(office, owner, assigned)
    if owner is not None and conversation.phase != phase:
        office.agent(owner).idle_since = position
    _open(track, position, at_ns)
    if conversation.phase == "resolved":
        if owner is not None and phase != "resolved":
            handling = office.handling.setdefault(conversation.team_id or "", Handling())
            handling.note(at_ns - track.assigned_ns)
        track.opened = 0
        track.is_queued = False
        track.wanted_team_id = None
        track.answerer = None
        track.barred_agent_id = None
        track.released_by = "queue"
    _keep_times(track, position, at_ns)
    return Touched(conversations=(event.conversation_id,), agent_id=_revived(office, event))


def _revived(office: Office, event: ConversationFact) -> AgentId | None:
    """The agent, if one did this who was not heard of since a lease lapsed."""
    by = event.author if isinstance(event, events.MessagePosted) else None
    by = event.by if isinstance(event, events.StatusChanged) else by
    agent = office.agents.get(AgentId(by.id)) if by is not None and by.kind == "agent" else None
    if by is None or agent is None or not pace.is_silent(agent):
        return None
    if isinstance(event, events.MessagePosted) and event.automatic:
        return None
    pace.revive(agent)
    return AgentId(by.id)


def _open(track: Track, position: Position, at_ns: int) -> None:
    """The case begins with what first waits for us: a message, a reopening, a waking."""
    if track.conversation.unanswered and not track.opened:
        track.opened, track.opened_ns = position, at_ns


def _note_answerer(track: Track, event: events.MessagePosted) -> None:
    is_answer = event.author.kind == "agent" and not event.automatic
    if is_answer and track.conversation.agent_id is None and track.conversation.phase == "active":
        track.answerer = AgentId(event.author.id)


def _keep_times(track: Track, position: Position, at_ns: int) -> None:
    """Follow what waits: usually one more at the end, or nothing any more."""
    unanswered, known = track.conversation.unanswered, track.times
    if not unanswered:
        if known:
            track.times = {}
    elif len(unanswered) == len(known) + 1 and unanswered[-1] == position:
        known[position] = at_ns
    elif len(unanswered) != len(known) or unanswered[0] not in known or unanswered[-1] not in known:
        found = times(tuple(known), tuple(known.values()), unanswered, position, at_ns)
        track.times = dict(zip(unanswered, found, strict=True))


def _requested(
    office: Office, event: events.AssignmentRequested | events.ClaimRequested, position: Position
) -> Touched:
    track = office.tracks.get(event.conversation_id)
    if track is None:
        return UNTOUCHED
    if isinstance(event, events.ClaimRequested):
        agent_id = event.agent_id
        request = Request(position=position, kind="claim", by=agent_id, agent_id=agent_id)
    else:
        request = Request(
            position=position,
            kind="assignment",
            by=event.by.id,
            agent_id=event.agent_id,
            team_id=event.team_id,
            seen_up_to=event.seen_up_to,
        )
    track.requests.append(request)
    agent = office.agents.get(AgentId(request.by))
    if agent is None or not pace.is_silent(agent):
        return Touched(conversations=(event.conversation_id,))
    pace.revive(agent)
    return Touched(conversations=(event.conversation_id,), agent_id=AgentId(request.by))


def _received(office: Office, said: Iterable[events.Received], at_ns: int) -> Touched:
    found: dict[AgentId, None] = {}
    for event in said:
        if event.recipient.kind != "agent":
            continue
        agent_id = AgentId(event.recipient.id)
        agent = office.agent(agent_id)
        if event.up_to > agent.received:
            pace.acknowledge(agent, event.up_to, at_ns)
            found[agent_id] = None
    return Touched(acknowledger_ids=tuple(found)) if found else UNTOUCHED


def _presence(
    office: Office,
    event: events.AgentOnline | events.AgentOffline | events.AvailabilityChanged,
    position: Position,
    at_ns: int,
) -> Touched:
    agent = office.agent(event.agent_id)
    match event:
        case events.AgentOnline():
            agent.devices[event.device_id] = position
            pace.revive(agent)
        case events.AgentOffline():
            agent.devices.pop(event.device_id, None)
            if not agent.devices:
                agent.changed = position
                agent.offline_ns = at_ns
                pace.leave(agent)
        case events.AvailabilityChanged():
            agent.availability = event.availability
            pace.revive(agent)
    return Touched(agent_id=event.agent_id)


def _assigned(
    office: Office, event: events.ConversationAssigned, position: Position, at_ns: int
) -> Touched:
    agent = office.agent(event.agent_id)
    agent.last_assigned = position
    agent.idle_since = position
    track = office.tracks.get(event.conversation_id)
    if track is None:
        return Touched(assignee_id=event.agent_id)
    before = track.conversation.agent_id
    _land(office, before, track.conversation.assigned)
    if event.lease_s:
        pace.given(agent, position, at_ns)
    if before is not None and before != event.agent_id:
        office.agent(before).idle_since = position
    conversations.evolve(track.conversation, event, position)
    _keep_times(track, position, at_ns)
    _open(track, position, at_ns)
    if event.why.requested_by:
        # Only an answer to a wish names who wished; a pick from a queue may cross a new wish in the log.
        del track.requests[:1]
        track.moved, track.moved_by = position, event.why.requested_by
    office.previous[office.contact_of(track)] = event.agent_id
    track.assigned_ns = at_ns
    track.lease_s = event.lease_s
    track.is_queued = False
    track.answerer = None
    track.barred_agent_id = None
    track.released_by = "queue"
    return Touched(conversations=(event.conversation_id,), assignee_id=event.agent_id)


def _queued(
    office: Office, event: events.ConversationQueued, position: Position, at_ns: int
) -> Touched:
    track = office.tracks.get(event.conversation_id)
    if track is None:
        return UNTOUCHED
    trigger = event.why.trigger
    owner, was_queued = track.conversation.agent_id, track.is_queued
    _land(office, owner, track.conversation.assigned)
    if trigger == "lease_lapsed":
        if owner is not None:
            pace.lapse(office.agent(owner), track.conversation.assigned)
        _bar(track, owner, at_ns, until=track.conversation.assigned)
    if event.why.requested_by and track.requests:
        request = track.requests.pop(0)
        if request.team_id is not None:
            track.wanted_team_id = request.team_id
            # It is asked of that team alone; the fallback teams that had their chance are not asked again.
            track.fallen_past = len(track.fallen_to)
        track.moved, track.moved_by = position, event.why.requested_by
        _bar(track, owner, at_ns, until=NEVER)
    if trigger == "deadline":
        track.reassigned = track.conversation.waiting_since
        _bar(track, owner, at_ns, until=NEVER)
    if trigger == "fallback" and event.team_id is not None:
        if track.fallen_since != track.since:
            track.fallen_to, track.fallen_since, track.fallen_past = (), track.since, 0
        track.fallen_to = (*track.fallen_to, event.team_id)
    if owner is not None:
        office.agent(owner).idle_since = position
    conversations.evolve(track.conversation, event, position)
    _keep_times(track, position, at_ns)
    _open(track, position, at_ns)
    track.is_queued = track.conversation.phase == "active"
    if trigger not in ("fallback", "team_removed") or not was_queued:
        track.queued = event.waiting_since or position
        track.queued_ns = track.times.get(event.waiting_since, at_ns)
    track.released_by = trigger if trigger in _KEPT_TRIGGERS else "queue"
    track.answerer = None
    track.lease_s = 0
    return Touched(conversations=(event.conversation_id,))


def _land(office: Office, owner: AgentId | None, assigned: Position) -> None:
    """An assignment no longer waits for its acknowledgement: the conversation left its owner."""
    if owner is not None and owner in office.agents:
        office.agents[owner].flight.pop(assigned, None)


def _bar(track: Track, owner: AgentId | None, at_ns: int, *, until: Position) -> None:
    if owner is not None:
        track.barred_agent_id = owner
        track.barred_ns = at_ns
        track.barred_until = until


def _refused(office: Office, event: events.AssignmentRefused) -> Touched:
    track = office.tracks.get(event.conversation_id)
    if track is None:
        return UNTOUCHED
    track.requests = [r for r in track.requests if r.position != event.request]
    return Touched(conversations=(event.conversation_id,))


def _reminded(office: Office, event: events.DeadlineMissed | events.Escalated) -> Touched:
    track = office.tracks.get(event.conversation_id)
    if track is None:
        return UNTOUCHED
    if isinstance(event, events.Escalated):
        if event.deadline == "resolution":
            track.escalated_resolution = event.waiting_since
        else:
            track.escalated = event.waiting_since
    elif event.deadline == "resolution":
        track.missed_resolution = event.waiting_since
    elif event.deadline == "first_response":
        track.missed_first = event.waiting_since
    else:
        track.missed_next = event.waiting_since
    return Touched(conversations=(event.conversation_id,))
