"""What each row looks like in COPY: a column list and the function that follows it, a pair a table.

The tables that every message writes are encoded many rows a call, with everything that repeats kept encoded: this is
the innermost loop of the store.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

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
from shared.bus import Delivery, digest
from shared.ids import AccountId, DeviceId, Position
from shared.queries import ContactRow, Entry, MessageRow, NoteRow, ReceiptRow
from shared.subjects import bucket_of

_EVENT_NUMBERS = struct.Struct(">hiqiqiq").pack
_MESSAGE_NUMBERS = struct.Struct(">iqiqiqiqiq").pack
_FLAGS = struct.Struct(">i?i?i?i?i?").pack
_NO_FLAGS = _FLAGS(1, False, 1, False, 1, False, 1, False, 1, False)
_ENTRY_NUMBERS = struct.Struct(">iqiqiqiqiqih").pack
_PRINTED = struct.Struct(">iqi").pack
_LENGTH = struct.Struct(">i").pack
_INT2 = struct.Struct(">ih")
# PostgreSQL counts microseconds from 2000-01-01.
_PG_EPOCH_US = 946_684_800_000_000


@lru_cache(maxsize=65536)
def _pair(first: str, second: str) -> bytes:
    return some_uuid(first) + some_uuid(second)


EVENTS = (
    "position, at, at_ns, shard, family, subject, account_id, conversation_id, message_id,"
    " digest, payload"
)


def events(shard: str, entries: Sequence[tuple[Delivery, Record]]) -> bytes:
    """Ids that are no UUIDs are left out of their columns: the payload has them."""
    encoded: list[bytes] = []
    for delivery, record in entries:
        event = record.event
        about = event.envelope if isinstance(event, Broken) else event
        at_ns = record.at_ns
        at_us = at_ns // 1000 - _PG_EPOCH_US
        payload = delivery.payload
        encoded += (
            _EVENT_NUMBERS(11, 8, record.position, 8, at_us, 8, at_ns),
            _subject(shard, record.family, delivery.subject),
            _id(getattr(about, "account_id", None)),
            _id(getattr(about, "conversation_id", None)),
            _id(getattr(about, "message_id", None)),
            _DIGEST_LENGTH,
            digest(delivery),
            _LENGTH(len(payload)),
            payload,
        )
    return b"".join(encoded)


_DIGEST_LENGTH = _LENGTH(16)


@lru_cache(maxsize=1024)
def _subject(shard: str, family: str, subject: str) -> bytes:
    return word(shard) + word(family) + word(subject)


def _id(identifier: str | None) -> bytes:
    if not identifier:
        return NULL
    try:
        return some_uuid(identifier)
    except ValueError:
        return NULL


MESSAGE_IDS = "account_id, message_id, position, fingerprint"


def message_ids(found: Sequence[tuple[MessageKey, tuple[Position, bytes]]]) -> bytes:
    encoded: list[bytes] = []
    for (account_id, message_id), (position, fingerprint) in found:
        encoded += (
            b"\0\4",
            some_uuid(account_id),
            some_uuid(message_id),
            _PRINTED(8, position, len(fingerprint)),
            fingerprint,
        )
    return b"".join(encoded)


MESSAGES = (
    "account_id, conversation_id, message_id, seq, position, at_ns, seen_up_to, revision,"
    " automatic, crossed, retracted, unreadable, id_clash,"
    " device_id, clash_of, author_kind, author_id, content_type, body"
)


def messages(found: Sequence[MessageRow]) -> bytes:
    encoded: list[bytes] = []
    for x in found:
        body = x.body
        author = x.author
        encoded += (
            b"\0\x13",
            _pair(x.account_id, x.conversation_id),
            some_uuid(x.message_id),
            _MESSAGE_NUMBERS(8, x.seq, 8, x.position, 8, x.at_ns, 8, x.seen_up_to, 8, x.revision),
            _flags(x),
            NULL if x.device_id is None else some_uuid(x.device_id),
            NULL if x.clash_of is None else some_uuid(x.clash_of),
            word(author.kind),
            word(author.id),
            word(x.content_type),
            _LENGTH(len(body)),
            body,
        )
    return b"".join(encoded)


def _flags(x: MessageRow) -> bytes:
    if not (x.automatic or x.crossed or x.retracted or x.unreadable or x.id_clash):
        return _NO_FLAGS
    return _FLAGS(1, x.automatic, 1, x.crossed, 1, x.retracted, 1, x.unreadable, 1, x.id_clash)


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


def entries(found: Sequence[tuple[AccountId, Entry]]) -> bytes:
    encoded: list[bytes] = []
    for account_id, x in found:
        if x.message is not None:
            about = some_uuid(x.message.message_id)
        else:
            about = NULL if x.note is None else some_uuid(x.note.note_id)
        bucket = bucket_of(account_id)
        encoded += (
            b"\0\x0b",
            some_uuid(x.owner_id),
            _pair(account_id, x.conversation_id),
            _ENTRY_NUMBERS(
                8, x.position, 8, x.prev, 8, x.at_ns, 8, x.from_seq, 8, x.to_seq, 2, bucket
            ),
            about,
            word(x.kind),
        )
    return b"".join(encoded)


CONVERSATIONS = (
    "account_id, conversation_id, inbox_id, contact_id, started, assigned, snoozed_until_ns,"
    " waiting_since, last_message, last_entry, last_answer, rating, last_seq, version, created_ns,"
    " updated_ns, desk_read, channel, language, priority, status, phase, team_id, agent_id,"
    " previous_agent_id, last_answer_agent_id, labels, unanswered, unanswered_ns"
)
_CONVERSATION_NUMBERS = struct.Struct(">" + "iq" * 13).pack


def conversations(found: Sequence[Folded]) -> bytes:
    encoded: list[bytes] = []
    for folded in found:
        x = folded.state
        encoded += (
            b"\0\x1d",
            _pair(x.account_id, x.conversation_id),
            _pair(x.inbox_id, x.contact_id),
            _conversation_numbers(folded),
            _words(x.channel, x.language, x.priority, x.status, x.phase),
            NULL if x.team_id is None else some_uuid(x.team_id),
            NULL if x.agent_id is None else some_uuid(x.agent_id),
            NULL if x.previous_agent_id is None else some_uuid(x.previous_agent_id),
            NULL if x.last_answer_agent_id is None else word(x.last_answer_agent_id),
            text_array(x.labels),
            int8_array(x.unanswered),
            int8_array(folded.unanswered_ns),
        )
    return b"".join(encoded)


@lru_cache(maxsize=4096)
def _words(*values: str) -> bytes:
    return b"".join([word(value) for value in values])


def _conversation_numbers(folded: Folded) -> bytes:
    x = folded.state
    # fmt: off
    return _CONVERSATION_NUMBERS(
        8, x.started, 8, x.assigned, 8, x.snoozed_until_ns, 8, x.waiting_since, 8, x.last_message,
        8, x.last_entry, 8, x.last_answer, 8, x.rating, 8, folded.last_seq, 8, folded.version,
        8, folded.created_ns, 8, folded.updated_ns, 8, folded.desk_read,
    )
    # fmt: on


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
