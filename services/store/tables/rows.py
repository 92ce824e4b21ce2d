"""What each row looks like in COPY: a column list and the function that follows it, a pair a table."""

from __future__ import annotations

import struct

from services.store.fold.records import Broken, Record
from services.store.fold.state import AgentKey, Folded, Holding, HoldingKey, MessageKey, Primary
from services.store.tables.copying import (
    NULL,
    blob,
    boolean,
    int8,
    int8_array,
    row,
    some_uuid,
    text,
    text_array,
    uuid,
    word,
)
from shared.bus import Delivery
from shared.ids import AccountId, DeviceId, Position
from shared.queries import ContactRow, Entry, MessageRow, NoteRow, ReceiptRow
from shared.subjects import bucket_of

_TIMES = struct.Struct(">iqiqiq")
_MESSAGE_NUMBERS = struct.Struct(">iqiqiqiqiqi?i?i?i?i?")
_ENTRY_NUMBERS = struct.Struct(">iqiqiqiqiqih")
_INT2 = struct.Struct(">ih")
# PostgreSQL counts microseconds from 2000-01-01.
_PG_EPOCH_US = 946_684_800_000_000

EVENTS = (
    "position, at, at_ns, shard, family, subject, account_id, conversation_id, message_id,"
    " payload, digest"
)


def event(shard: str, delivery: Delivery, record: Record, digest: bytes) -> bytes:
    """Ids that are no UUIDs are left out of their columns: the payload has them."""
    about = record.event.envelope if isinstance(record.event, Broken) else record.event
    at_us = record.at_ns // 1000 - _PG_EPOCH_US
    return b"".join(
        (
            b"\0\x0b",
            _TIMES.pack(8, record.position, 8, at_us, 8, record.at_ns),
            word(shard),
            word(record.family),
            word(delivery.subject),
            _id(getattr(about, "account_id", None)),
            _id(getattr(about, "conversation_id", None)),
            _id(getattr(about, "message_id", None)),
            blob(delivery.payload),
            blob(digest),
        )
    )


def _id(identifier: str | None) -> bytes:
    if not identifier:
        return NULL
    try:
        return uuid(identifier)
    except ValueError:
        return NULL


MESSAGE_IDS = "account_id, message_id, position, fingerprint"


def message_id(key: MessageKey, position: Position, fingerprint: bytes) -> bytes:
    return row(some_uuid(key[0]), some_uuid(key[1]), int8(position), blob(fingerprint))


MESSAGES = (
    "account_id, conversation_id, message_id, seq, position, at_ns, seen_up_to, revision,"
    " automatic, crossed, retracted, unreadable, id_clash,"
    " device_id, clash_of, author_kind, author_id, content_type, body"
)


def message(found: MessageRow) -> bytes:
    return b"".join(
        (
            b"\0\x13",
            some_uuid(found.account_id),
            some_uuid(found.conversation_id),
            some_uuid(found.message_id),
            _MESSAGE_NUMBERS.pack(
                8,
                found.seq,
                8,
                found.position,
                8,
                found.at_ns,
                8,
                found.seen_up_to,
                8,
                found.revision,
                1,
                found.automatic,
                1,
                found.crossed,
                1,
                found.retracted,
                1,
                found.unreadable,
                1,
                found.id_clash,
            ),
            uuid(found.device_id),
            uuid(found.clash_of),
            word(found.author.kind),
            word(found.author.id),
            word(found.content_type),
            blob(found.body),
        )
    )


NOTES = "account_id, conversation_id, note_id, position, at_ns, author_kind, author_id, body"


def note(found: NoteRow) -> bytes:
    return row(
        uuid(found.account_id),
        uuid(found.conversation_id),
        some_uuid(found.note_id),
        int8(found.position),
        int8(found.at_ns),
        word(found.author.kind),
        word(found.author.id),
        blob(found.body),
    )


ENTRIES = (
    "owner_id, account_id, conversation_id, position, prev, at_ns, from_seq, to_seq, bucket,"
    " about_id, kind"
)


def entry(account_id: AccountId, found: Entry) -> bytes:
    about: str | None = None
    if found.message is not None:
        about = found.message.message_id
    elif found.note is not None:
        about = found.note.note_id
    return b"".join(
        (
            b"\0\x0b",
            some_uuid(found.owner_id),
            some_uuid(account_id),
            some_uuid(found.conversation_id),
            _ENTRY_NUMBERS.pack(
                8,
                found.position,
                8,
                found.prev,
                8,
                found.at_ns,
                8,
                found.from_seq,
                8,
                found.to_seq,
                2,
                bucket_of(account_id),
            ),
            uuid(about),
            word(found.kind),
        )
    )


CONVERSATIONS = (
    "account_id, conversation_id, inbox_id, contact_id, started, assigned, snoozed_until_ns,"
    " waiting_since, last_message, last_entry, last_answer, rating, last_seq, version, created_ns,"
    " updated_ns, channel, language, priority, status, phase, team_id, agent_id,"
    " previous_agent_id, last_answer_agent_id, labels, unanswered, unanswered_ns"
)
_CONVERSATION_NUMBERS = struct.Struct(">" + "iq" * 12)


def conversation(folded: Folded) -> bytes:
    state = folded.state
    return row(
        some_uuid(state.account_id),
        some_uuid(state.conversation_id),
        some_uuid(state.inbox_id),
        some_uuid(state.contact_id),
        _conversation_numbers(folded),
        word(state.channel),
        word(state.language),
        word(state.priority),
        word(state.status),
        word(state.phase),
        uuid(state.team_id),
        uuid(state.agent_id),
        uuid(state.previous_agent_id),
        text(state.last_answer_agent_id),
        text_array(state.labels),
        int8_array(state.unanswered),
        int8_array(folded.unanswered_ns),
        count=28,
    )


def _conversation_numbers(folded: Folded) -> bytes:
    state = folded.state
    numbers = (
        state.started,
        state.assigned,
        state.snoozed_until_ns,
        state.waiting_since,
        state.last_message,
        state.last_entry,
        state.last_answer,
        state.rating,
        folded.last_seq,
        folded.version,
        folded.created_ns,
        folded.updated_ns,
    )
    return _CONVERSATION_NUMBERS.pack(*[x for number in numbers for x in (8, number)])


CONTACTS = (
    "account_id, contact_id, inbox_id, is_identified, profile_revision, created_ns, merged_into,"
    " profile"
)


def contact(found: ContactRow) -> bytes:
    return row(
        uuid(found.account_id),
        uuid(found.contact_id),
        uuid(found.inbox_id),
        boolean(found.is_identified),
        int8(found.profile_revision),
        int8(found.created_ns),
        uuid(found.merged_into),
        blob(found.profile),
    )


HOLDINGS = "owner_id, conversation_id, account_id, given_up_to_seq, held"


def holding(key: HoldingKey, found: Holding) -> bytes:
    return row(
        uuid(key[0]),
        uuid(key[1]),
        uuid(found.account_id),
        int8(found.given_up_to_seq),
        boolean(found.held),
    )


RECEIPTS = (
    "account_id, conversation_id, received, read, position, bucket, recipient_kind, recipient_id"
)


def receipt(found: ReceiptRow) -> bytes:
    return row(
        uuid(found.account_id),
        uuid(found.conversation_id),
        int8(found.received),
        int8(found.read),
        int8(found.position),
        _INT2.pack(2, bucket_of(found.account_id)),
        text(found.recipient.kind),
        text(found.recipient.id),
    )


DEVICES = "account_id, owner_id, device_id, up_to"


def device(key: tuple[str, DeviceId], account_id: AccountId, up_to: Position) -> bytes:
    return row(uuid(account_id), uuid(key[0]), uuid(key[1]), int8(up_to))


PRIMARIES = "account_id, agent_id, device_id, fence, position"


def primary(key: AgentKey, found: Primary) -> bytes:
    return row(
        uuid(key[0]),
        uuid(key[1]),
        uuid(found.device_id),
        int8(found.fence),
        int8(found.position),
    )


QUARANTINE = "shard, position, at_ns, subject, reason, account_id, payload"


def quarantined(shard: str, delivery: Delivery, record: Record, reason: str) -> bytes:
    about = record.event.envelope if isinstance(record.event, Broken) else record.event
    return row(
        text(shard),
        int8(record.position),
        int8(record.at_ns),
        text(delivery.subject),
        text(reason),
        _id(getattr(about, "account_id", None)),
        blob(delivery.payload),
    )
