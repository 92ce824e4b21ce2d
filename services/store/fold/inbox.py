"""Inbox entries: what an agent or a contact is told, chained. One event makes at most one entry in an inbox."""

from __future__ import annotations

from services.store.fold.changes import Changes, Step, note_owner
from services.store.fold.state import Folded, Holding, State, row_of
from shared.ids import AgentId
from shared.queries import Entry, EntryKind, MessageRow, NoteRow

_MOST_RECENT = 4096
"""Entries that nobody acknowledged and that are held in memory for one inbox, before the tables have to be asked."""


def tell_new(state: State, changes: Changes, folded: Folded, row: MessageRow) -> None:
    """A new message, to the contact and to the agent who holds the conversation. The path that every message takes."""
    conversation = folded.state
    position = row.position
    given = (position, conversation.conversation_id)
    for owner_id in (conversation.contact_id, conversation.agent_id):
        if owner_id is None:
            continue
        owner = state.owners.get(owner_id)
        if owner is None:
            owner = note_owner(state.owners, owner_id, conversation.account_id)
        entry = Entry(
            owner_id=owner_id,
            position=position,
            prev=owner.head,
            at_ns=row.at_ns,
            kind="message",
            conversation_id=row.conversation_id,
            message=row,
        )
        owner.head = position
        owner.recent.append(given)
        if len(owner.recent) > _MOST_RECENT:
            changes.crowded.add(owner_id)
        changes.entries.append((row.account_id, entry))


def tell_message(step: Step, folded: Folded, row: MessageRow, *, kind: EntryKind) -> None:
    """What became of a message, to the contact and to the agent who holds the conversation, whoever did it."""
    conversation = folded.state
    for owner_id in (conversation.contact_id, conversation.agent_id):
        if owner_id is None:
            continue
        owner = note_owner(step.state.owners, owner_id, conversation.account_id)
        entry = Entry(
            owner_id=owner_id,
            position=step.record.position,
            prev=owner.head,
            at_ns=step.record.at_ns,
            kind=kind,
            conversation_id=conversation.conversation_id,
            message=row,
        )
        owner.head = step.record.position
        step.changes.entries.append((conversation.account_id, entry))


def tell_note(step: Step, folded: Folded, row: NoteRow) -> None:
    """To the agent who holds the conversation."""
    conversation = folded.state
    if conversation.agent_id is None:
        return
    owner = note_owner(step.state.owners, conversation.agent_id, conversation.account_id)
    entry = Entry(
        owner_id=conversation.agent_id,
        position=step.record.position,
        prev=owner.head,
        at_ns=step.record.at_ns,
        kind="note",
        conversation_id=conversation.conversation_id,
        note=row,
    )
    owner.head = step.record.position
    step.changes.entries.append((conversation.account_id, entry))


def tell_change(
    step: Step,
    folded: Folded,
    owner_id: str,
    *,
    kind: EntryKind,
    given: tuple[int, int] = (0, 0),
) -> None:
    """Of the conversation itself to one inbox; `given` is the range of messages that comes with an assignment."""
    conversation = folded.state
    owner = note_owner(step.state.owners, owner_id, conversation.account_id)
    if owner.head == step.record.position:
        return
    entry = Entry(
        owner_id=owner_id,
        position=step.record.position,
        prev=owner.head,
        at_ns=step.record.at_ns,
        kind=kind,
        conversation_id=conversation.conversation_id,
        held=kind != "conversation_left",
        conversation=row_of(folded),
        from_seq=given[0],
        to_seq=given[1],
    )
    owner.head = step.record.position
    if given[1]:
        owner.recent.append((step.record.position, conversation.conversation_id))
    step.changes.entries.append((conversation.account_id, entry))


def tell_holder(step: Step, folded: Folded, before: AgentId | None) -> None:
    """After an event that may have moved the conversation: `left` to who lost it, `assigned` with what this inbox
    was not given yet to who got it."""
    conversation = folded.state
    now = conversation.agent_id
    if before is not None and before != now:
        _hold(step, folded, before, held=False)
        tell_change(step, folded, before, kind="conversation_left")
    if now is None:
        return
    known = step.state.holdings.get((now, conversation.conversation_id))
    given = known.given_up_to_seq if known is not None else 0
    if before == now:
        # Assigned again to who holds it: every message was given as it came.
        given = folded.last_seq
    _hold(step, folded, now, held=True)
    new = (given + 1, folded.last_seq) if folded.last_seq > given else (0, 0)
    tell_change(step, folded, now, kind="conversation_assigned", given=new)


def _hold(step: Step, folded: Folded, owner_id: AgentId, *, held: bool) -> None:
    key = (owner_id, folded.state.conversation_id)
    holding = Holding(
        account_id=folded.state.account_id, given_up_to_seq=folded.last_seq, held=held
    )
    step.state.holdings[key] = step.changes.holdings[key] = holding
