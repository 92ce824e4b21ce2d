"""From an event to the part of the fold that knows it."""

from __future__ import annotations

from typing import assert_never

from services.store.fold import conversations, messages, receipts
from services.store.fold.changes import Changes
from services.store.fold.records import Broken, Record
from services.store.fold.state import State
from shared import events as e
from shared.codec import decode_envelope, decode_event
from shared.errors import Malformed
from shared.ids import Position
from shared.subjects import FAMILIES, family_of


def read_record(position: Position, at_ns: int, subject: str, payload: bytes) -> Record:
    """Decode an entry of the log. Never fails: what can't be read is `Broken`."""
    family = family_of(subject)
    if family not in FAMILIES:
        return Record(position, at_ns, "retention", Broken("unknown_family"))
    try:
        return Record(position, at_ns, family, decode_event(payload))
    except Malformed:
        pass
    try:
        broken = Broken("unreadable", decode_envelope(payload))
    except Malformed:
        broken = Broken("no_envelope")
    return Record(position, at_ns, family, broken)


def fold(state: State, changes: Changes, record: Record) -> None:
    """Apply one event to the state and collect what it changes. The rows it `needed` must be in the state."""
    event = record.event
    changes.last = record.position
    match event:
        case e.MessagePosted():
            messages.posted(state, changes, record, event)
        case e.Received():
            receipts.received(state, changes, record, event)
        case e.ReceivedTogether():
            for each in event.each():
                receipts.received(state, changes, record, each)
        case e.Read():
            receipts.read(state, changes, record, event)
        case e.ConversationStarted():
            conversations.started(state, changes, record, event)
        case (
            e.ConversationAssigned()
            | e.ConversationQueued()
            | e.StatusChanged()
            | e.LabelsChanged()
            | e.PriorityChanged()
            | e.Rated()
        ):
            conversations.settled(state, changes, record, event)
        case e.DeadlineMissed() | e.Escalated():
            conversations.missed(state, changes, record, event)
        case e.NoteAdded():
            conversations.noted(state, changes, record, event)
        case e.MessageEdited():
            messages.edited(state, changes, record, event)
        case e.MessageRetracted():
            messages.retracted(state, changes, record, event)
        case e.ContactCreated():
            conversations.contact_created(state, changes, record, event)
        case e.ContactChanged():
            conversations.contact_changed(state, changes, record, event)
        case e.ContactMerged():
            conversations.contact_merged(state, changes, record, event)
        case e.PrimaryDeviceChanged():
            conversations.primary_changed(state, changes, record, event)
        case Broken():
            _broken(state, changes, record, event)
        case _:
            _only_recorded(state, changes, record, event)


def _broken(state: State, changes: Changes, record: Record, broken: Broken) -> None:
    changes.quarantined.append((record, broken.reason))
    if broken.envelope is not None:
        messages.unreadable(state, changes, record, broken.envelope)


Recorded = (
    e.AccountEvent
    | e.AgentOnline
    | e.AgentOffline
    | e.AvailabilityChanged
    | e.WriterStarted
    | e.AssignmentRequested
    | e.ConditionsJudged
    | e.ClaimRequested
    | e.AssignmentRefused
)


def _only_recorded(state: State, changes: Changes, record: Record, event: Recorded) -> None:
    """Facts that make no row of their own: they are in `events`, and others fold them from there."""
    match event:
        case (
            e.AssignmentRequested()
            | e.ConditionsJudged()
            | e.ClaimRequested()
            | e.AssignmentRefused()
        ):
            if (event.account_id, event.conversation_id) not in state.conversations:
                changes.quarantined.append((record, "unknown_conversation"))
        case (
            e.AccountCreated()
            | e.AgentSaved()
            | e.AgentRemoved()
            | e.TeamSaved()
            | e.TeamRemoved()
            | e.InboxSaved()
            | e.InboxRemoved()
            | e.PolicySaved()
            | e.PolicyRemoved()
            | e.LabelSaved()
            | e.LabelRemoved()
            | e.RoutingSaved()
            | e.AgentOnline()
            | e.AgentOffline()
            | e.AvailabilityChanged()
            | e.WriterStarted()
        ):
            pass
        case _:
            assert_never(event)
