"""Messages: each MessageID once, a dense `seq`, edits by revision, retractions, and places kept for the unreadable."""

from __future__ import annotations

import msgspec

from services.store.fold.changes import Changes, Step
from services.store.fold.inbox import tell_message, tell_new
from services.store.fold.records import Record
from services.store.fold.state import Folded, State
from services.store.fold.touch import apply_message, touch
from shared.conversation import is_crossed
from shared.events import Author, Envelope, MessageEdited, MessagePosted, MessageRetracted
from shared.ids import AccountId, MessageId, clash_id
from shared.queries import MessageRow

UNREADABLE = Author(kind="system", id="unreadable")


def posted(state: State, changes: Changes, record: Record, event: MessagePosted) -> None:
    """Store a message, unless its MessageID was stored before with the same fingerprint."""
    account_id = event.account_id
    talk = (account_id, event.conversation_id)
    folded = state.conversations.get(talk)
    if folded is None:
        changes.quarantined.append((record, "unknown_conversation"))
        return
    message_id = event.message_id
    key = (account_id, message_id)
    position = record.position
    is_clash = False
    if not _is_first(state, changes, record, event.fingerprint, key):
        if state.message_ids[key][1] == event.fingerprint:
            changes.repeats += 1
            return
        # Its sender was told "sent", so it is kept, under an id that says so.
        is_clash = True
        message_id = clash_id(message_id, position)
        changes.clashes.append(record)
    row = MessageRow(
        account_id=account_id,
        conversation_id=event.conversation_id,
        message_id=message_id,
        seq=folded.last_seq + 1,
        position=position,
        at_ns=record.at_ns,
        author=event.author,
        content_type=event.content_type,
        body=event.body,
        device_id=event.device_id,
        seen_up_to=event.seen_up_to,
        automatic=event.automatic,
        crossed=is_crossed(folded.state, event),
        id_clash=is_clash,
        clash_of=event.message_id if is_clash else None,
    )
    if apply_message(folded, record, event):
        changes.list_changed(folded)
    changes.conversations[talk] = folded
    _append(state, changes, folded, row)


def unreadable(state: State, changes: Changes, record: Record, envelope: Envelope) -> bool:
    """Give a message whose inside can't be read its place all the same; False when its outside is not enough."""
    if record.family != "message" or envelope.type != "message_posted":
        return False
    if envelope.conversation_id is None or envelope.message_id is None:
        return False
    folded = state.conversations.get((envelope.account_id, envelope.conversation_id))
    key = (envelope.account_id, envelope.message_id)
    if folded is None or not _is_first(state, changes, record, b"", key):
        return False
    row = _place_held(folded, envelope.message_id, record)
    folded.state.last_message = folded.state.last_entry = record.position
    touch(changes, folded, record)
    _append(state, changes, folded, row)
    return True


def _place_held(folded: Folded, message_id: MessageId, record: Record) -> MessageRow:
    return MessageRow(
        account_id=folded.state.account_id,
        conversation_id=folded.state.conversation_id,
        message_id=message_id,
        seq=folded.last_seq + 1,
        position=record.position,
        at_ns=record.at_ns,
        author=UNREADABLE,
        content_type="",
        body=b"",
        unreadable=True,
    )


def _is_first(
    state: State,
    changes: Changes,
    record: Record,
    fingerprint: bytes,
    key: tuple[AccountId, MessageId],
) -> bool:
    known = state.message_ids.get(key)
    if known is not None and known[0] != record.position:
        return False
    state.message_ids[key] = changes.message_ids[key] = (record.position, fingerprint)
    return True


def _append(state: State, changes: Changes, folded: Folded, row: MessageRow) -> None:
    folded.last_seq = row.seq
    key = (row.account_id, row.message_id)
    state.messages[key] = changes.messages[key] = row
    tell_new(state, changes, folded, row)


def edited(state: State, changes: Changes, record: Record, event: MessageEdited) -> None:
    """Replace the text by a higher revision; a lower one, a repeat or a stranger's changes nothing."""
    row, folded = _target(state, changes, record, event)
    if row is None or folded is None or row.retracted or event.revision <= row.revision:
        return
    new = msgspec.structs.replace(row, body=event.body, revision=event.revision)
    _replace(state, changes, new)
    touch(changes, folded, record)
    tell_message(Step(state, changes, record), folded, new, kind="message_edited")


def retracted(state: State, changes: Changes, record: Record, event: MessageRetracted) -> None:
    """Empty the text; place, id and time stay."""
    row, folded = _target(state, changes, record, event)
    if row is None or folded is None or row.retracted:
        return
    new = msgspec.structs.replace(row, body=b"", retracted=True)
    _replace(state, changes, new)
    touch(changes, folded, record)
    tell_message(Step(state, changes, record), folded, new, kind="message_retracted")


def _target(
    state: State, changes: Changes, record: Record, event: MessageEdited | MessageRetracted
) -> tuple[MessageRow | None, Folded | None]:
    folded = state.conversations.get((event.account_id, event.conversation_id))
    row = state.messages.get((event.account_id, event.message_id))
    if folded is None or row is None or row.conversation_id != event.conversation_id:
        changes.quarantined.append((record, "unknown_message"))
        return None, None
    # The gateway judges roles; a visitor never touches what an agent wrote, whatever it let through.
    if event.author.kind == "visitor" and row.author.kind != "visitor":
        changes.quarantined.append((record, "not_the_author"))
        return None, None
    return row, folded


def _replace(state: State, changes: Changes, row: MessageRow) -> None:
    key = (row.account_id, row.message_id)
    state.messages[key] = row
    if key in changes.messages:
        changes.messages[key] = row
    else:
        changes.edited[key] = row
