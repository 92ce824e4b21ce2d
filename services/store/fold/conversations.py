"""Conversations apart from their messages, contacts and their merging, and the primary device."""

from __future__ import annotations

import msgspec

from services.store.fold.changes import Changes, Step
from services.store.fold.inbox import tell_change, tell_holder, tell_note
from services.store.fold.late import mark_of
from services.store.fold.records import Record
from services.store.fold.state import Folded, Primary, State
from services.store.fold.touch import apply, touch
from shared.conversation import start
from shared.events import (
    ContactChanged,
    ContactCreated,
    ContactMerged,
    ConversationAssigned,
    ConversationQueued,
    ConversationStarted,
    DeadlineMissed,
    Escalated,
    LabelsChanged,
    NoteAdded,
    PrimaryDeviceChanged,
    PriorityChanged,
    Rated,
    StatusChanged,
)
from shared.queries import ContactRow, NoteRow

Settled = (
    LabelsChanged
    | PriorityChanged
    | StatusChanged
    | Rated
    | ConversationAssigned
    | ConversationQueued
)


def started(state: State, changes: Changes, record: Record, event: ConversationStarted) -> None:
    """A conversation exists from its first start on; a repeat changes nothing."""
    key = (event.account_id, event.conversation_id)
    if key in state.conversations:
        return
    folded = Folded(state=start(event, record.position), created_ns=record.at_ns)
    # A start that was under way while its contact was merged belongs to who the contact is now.
    folded.state.contact_id = state.root_of(event.account_id, event.contact_id)
    state.add_conversation(folded)
    touch(changes, folded, record)
    changes.list_changed(folded)


def settled(state: State, changes: Changes, record: Record, event: Settled) -> None:
    """Status, owner, labels, priority, rating: fold, then tell who holds it and the contact what concerns them."""
    folded = state.conversations.get((event.account_id, event.conversation_id))
    if folded is None:
        changes.quarantined.append((record, "unknown_conversation"))
        return
    conversation = folded.state
    agent, status, rating = conversation.agent_id, conversation.status, conversation.rating
    is_changed = apply(changes, folded, record, event)
    if is_changed:
        changes.list_changed(folded)
    if isinstance(event, ConversationAssigned) or conversation.agent_id != agent:
        tell_holder(Step(state, changes, record), folded, agent)
    elif agent is not None and (is_changed or conversation.rating != rating):
        tell_change(Step(state, changes, record), folded, agent, kind="conversation_changed")
    if conversation.agent_id != agent or conversation.status != status:
        contact_id = conversation.contact_id
        tell_change(Step(state, changes, record), folded, contact_id, kind="conversation_changed")


def missed(
    state: State, changes: Changes, record: Record, event: DeadlineMissed | Escalated
) -> None:
    """A deadline is past, or the supervisors should look: whoever holds the conversation and whoever lists it is told. What
    is over by now (an answer crossed it) is late no more."""
    folded = state.conversations.get((event.account_id, event.conversation_id))
    if folded is None:
        changes.quarantined.append((record, "unknown_conversation"))
        return
    conversation, mark = folded.state, mark_of(event)
    if event.deadline == "resolution":
        goes_on = conversation.phase != "resolved" and event.waiting_since > folded.last_resolved
    else:
        goes_on = conversation.waiting_since == event.waiting_since > 0
    if not goes_on or folded.late & mark:
        return
    folded.late |= mark
    touch(changes, folded, record)
    changes.list_changed(folded)
    if conversation.agent_id is not None:
        step = Step(state, changes, record)
        tell_change(step, folded, conversation.agent_id, kind="conversation_changed")


def noted(state: State, changes: Changes, record: Record, event: NoteAdded) -> None:
    """A note once; a repeated append of it changes nothing."""
    folded = state.conversations.get((event.account_id, event.conversation_id))
    if folded is None:
        changes.quarantined.append((record, "unknown_conversation"))
        return
    key = (event.account_id, event.note_id)
    if key in state.notes:
        changes.repeats += 1
        return
    state.notes.add(key)
    row = NoteRow(
        account_id=event.account_id,
        conversation_id=event.conversation_id,
        note_id=event.note_id,
        position=record.position,
        at_ns=record.at_ns,
        author=event.author,
        body=event.body,
    )
    changes.notes.append(row)
    apply(changes, folded, record, event)
    tell_note(Step(state, changes, record), folded, row)


def contact_created(state: State, changes: Changes, record: Record, event: ContactCreated) -> None:
    """The first creation counts: two arrivals of an identified contact at once are one contact."""
    key = (event.account_id, event.contact_id)
    if key in state.contacts:
        return
    row = ContactRow(
        account_id=event.account_id,
        contact_id=event.contact_id,
        inbox_id=event.inbox_id,
        is_identified=event.is_identified,
        profile=event.profile,
        created_ns=record.at_ns,
    )
    state.contacts[key] = changes.contacts[key] = row


def contact_changed(state: State, changes: Changes, record: Record, event: ContactChanged) -> None:
    """The profile is replaced; `profile_revision` counts how often. What was made from another revision, or of a contact
    that was merged meanwhile, crossed a change that counts: its writer finds that and makes it again."""
    contact_id = state.root_of(event.account_id, event.contact_id)
    key = (event.account_id, contact_id)
    row = state.contacts.get(key)
    if row is None:
        changes.quarantined.append((record, "unknown_contact"))
        return
    crossed = contact_id != event.contact_id or event.base != row.profile_revision
    if event.base is not None and crossed:
        return
    row = msgspec.structs.replace(
        row, profile=event.profile, profile_revision=row.profile_revision + 1
    )
    state.contacts[key] = changes.contacts[key] = row


def contact_merged(state: State, changes: Changes, record: Record, event: ContactMerged) -> None:
    """The conversations of one contact become another's. Each inbox concerned gets one entry, of the conversation
    that changed last; the rest is read as history."""
    account_id = event.account_id
    key = (account_id, event.contact_id)
    row = state.contacts.get(key)
    into = state.root_of(account_id, event.into)
    if row is None or (account_id, into) not in state.contacts:
        changes.quarantined.append((record, "unknown_contact"))
        return
    if row.merged_into is not None or into == event.contact_id:
        return
    row = msgspec.structs.replace(row, merged_into=into)
    state.contacts[key] = changes.contacts[key] = row
    moved = state.move_conversations(key, into)
    for folded in moved:
        touch(changes, folded, record)
        changes.list_changed(folded)
    for folded in moved:
        for owner_id in (into, folded.state.agent_id):
            if owner_id is not None:
                tell_change(
                    Step(state, changes, record), folded, owner_id, kind="conversation_changed"
                )


def primary_changed(
    state: State, changes: Changes, record: Record, event: PrimaryDeviceChanged
) -> None:
    """The device that alerts moves; the higher fence is right."""
    key = (event.account_id, event.agent_id)
    known = state.primaries.get(key)
    if known is not None and known.fence >= event.fence:
        return
    primary = Primary(
        device_id=event.device_id,
        fence=event.fence,
        position=record.position,
        alert=event.alert,
        alert_until_ns=event.alert_until_ns,
    )
    state.primaries[key] = changes.primaries[key] = primary
