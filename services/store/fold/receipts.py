"""How far a recipient got. A receipt names a position of the recipient's inbox; the conversations it concerns are
those whose entries lie between the old position and the new one, so it costs as much as it says."""

from __future__ import annotations

from services.store.fold.changes import Changes, Step, note_owner
from services.store.fold.records import Record
from services.store.fold.state import Folded, State
from shared.events import Author, Read, Received
from shared.ids import ContactId, ConversationId, Position
from shared.queries import ReceiptRow


def recipient_of(state: State, event: Received | Read) -> Author:
    """The recipient as of now: a merged contact's receipts count as those of the contact it became."""
    if event.recipient.kind != "visitor":
        return event.recipient
    contact_id = state.root_of(event.account_id, ContactId(event.recipient.id))
    return Author(kind="visitor", id=contact_id)


def received(state: State, changes: Changes, record: Record, event: Received) -> None:
    """A device holds its inbox up to a position; over several devices the highest counts."""
    if event.recipient.kind not in ("visitor", "agent"):
        return
    recipient = recipient_of(state, event)
    owner = note_owner(state.owners, recipient.id, event.account_id)
    # Nobody can hold what did not exist when they said so.
    up_to = min(event.up_to, record.position)
    if up_to > owner.devices.get(event.device_id, 0):
        owner.devices[event.device_id] = up_to
        changes.devices[recipient.id, event.device_id] = (event.account_id, up_to)
    if up_to <= owner.received:
        return
    owner.received = up_to
    reached: dict[ConversationId, Position] = {}
    for position, conversation_id in owner.recent:
        if position <= up_to:
            reached[conversation_id] = max(position, reached.get(conversation_id, 0))
    owner.recent = [x for x in owner.recent if x[0] > up_to]
    owner.complete_from = max(owner.complete_from, up_to)
    for conversation_id, position in reached.items():
        folded = state.conversations.get((event.account_id, conversation_id))
        if folded is not None:
            _advance(Step(state, changes, record), folded, recipient, received=position, read=0)


def read(state: State, changes: Changes, record: Record, event: Read) -> None:
    """The recipient saw a conversation up to a position; who has read it has received it."""
    folded = state.conversations.get((event.account_id, event.conversation_id))
    if folded is None:
        changes.quarantined.append((record, "unknown_conversation"))
        return
    up_to = min(event.up_to, record.position)
    recipient = recipient_of(state, event)
    _advance(Step(state, changes, record), folded, recipient, received=up_to, read=up_to)


def _advance(
    step: Step, folded: Folded, recipient: Author, *, received: Position, read: Position
) -> None:
    account_id, conversation_id = folded.key
    key = (account_id, conversation_id, recipient.id)
    known = step.state.receipts.get(key)
    before = (known.received, known.read) if known is not None else (0, 0)
    after = (max(before[0], received), max(before[1], read))
    if after == before:
        return
    row = ReceiptRow(
        account_id=account_id,
        conversation_id=conversation_id,
        recipient=recipient,
        received=after[0],
        read=after[1],
        position=step.record.position,
    )
    step.state.receipts[key] = step.changes.receipts[key] = row
    told = step.changes.receipt_owners.get(key, ())
    owners = {folded.state.contact_id, folded.state.agent_id, recipient.id}
    if after[1] == before[1] and recipient.id not in told:
        # What they read on one device matters on their others; that one of them was given something does not.
        owners.discard(recipient.id)
    if recipient.kind == "agent":
        _read_by_desk(step.changes, folded, after[1])
    step.changes.receipt_owners[key] = tuple(sorted(x for x in owners if x is not None))


def _read_by_desk(changes: Changes, folded: Folded, up_to: Position) -> None:
    """Whoever of the desk reads it has read it for their team: it is unread for nobody's list any more."""
    if up_to > folded.desk_read:
        folded.desk_read = up_to
        changes.conversations[folded.key] = folded
