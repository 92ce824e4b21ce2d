"""What each row looks like: an encoder a table, columns in the order of `layout`. An encoder gives every row as the
same number of pieces, `Table.parts`, so that rows can be told apart afterwards.

The tables that every message writes are encoded many rows a call, with everything that repeats kept encoded: this is
the innermost loop of the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from services.store.fold.changes import Grown
from services.store.fold.records import Broken, Record
from services.store.fold.state import (
    AgentKey,
    Folded,
    Holding,
    HoldingKey,
    MessageKey,
    Primary,
    Tally,
)
from services.store.tables.binary import COPY, RECORDS, Form
from services.store.tables.layout import (
    CONTACTS,
    CONVERSATIONS,
    DEVICES,
    ENTRIES,
    EVENTS,
    HOLDINGS,
    MESSAGE_IDS,
    MESSAGES,
    NOTES,
    PRIMARIES,
    QUARANTINE,
    RECEIPTS,
    TALLIES,
)
from shared.bus import Delivery, digest
from shared.events import MessagePosted
from shared.ids import AccountId, ConversationId, DeviceId, Position
from shared.queries import ContactRow, Entry, MessageRow, NoteRow, ReceiptRow
from shared.subjects import bucket_of

NO_TEAM = "00000000-0000-0000-0000-000000000000"
"""In a key, where a column can't be empty."""
# PostgreSQL counts microseconds from 2000-01-01.
_PG_EPOCH_US = 946_684_800_000_000


class Rows:
    """Encoders for one of the two forms."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self._bools = form.numbers("?????")
        self._no_flags = self._flags_of((False,) * 5)
        self._int8 = form.numbers("q")
        self._two = form.numbers("qq")
        self._three = form.numbers("qqq")
        self._int8_blob = form.numbers("q", has_blob=True)
        self._begin_id = lru_cache(maxsize=4096)(self._id_begun)
        self._begin_message = lru_cache(maxsize=65536)(self._message_begun)
        self._begin_entry = lru_cache(maxsize=65536)(self._entry_begun)
        self._five = form.numbers("qqqqq")
        self._twelve = form.numbers("q" * 12)
        self._entry_numbers = form.numbers("qqqqqh")
        self._receipt_numbers = form.numbers("qqqh")
        self._tally = form.numbers("?qqqq")
        self._holding = form.numbers("q?")
        self._contact_numbers = form.numbers("?qq")
        self._digest = form.blob_mark(16)

    def events(self, shard: str, entries: Sequence[tuple[Delivery, Record]]) -> list[bytes]:
        """Ids that are no UUIDs are left out of their columns: the payload has them."""
        form, pack, word, mark = self.form, self._three, self.form.word, self.form.blob_mark
        begin = form.head(len(EVENTS.columns)) + word(shard)
        int8, time, digest_mark = form.int8, form.time, self._digest
        encoded: list[bytes] = []
        for delivery, record in entries:
            event = record.event
            about = event.envelope if isinstance(event, Broken) else event
            at_ns = record.at_ns
            payload = delivery.payload
            encoded += (
                begin,
                pack(int8, record.position, time, at_ns // 1000 - _PG_EPOCH_US, int8, at_ns),
                word(record.family),
                *self._ids(about),
                word(delivery.subject),
                mark(len(payload)),
                payload,
                digest_mark + digest(delivery),
            )
        return encoded

    def _ids(self, about: object) -> tuple[bytes, bytes]:
        """Of the account and the conversation, and of the message."""
        form = self.form
        if type(about) is MessagePosted:
            try:
                return form.pair(about.account_id, about.conversation_id), form.fresh(
                    about.message_id
                )
            except ValueError:
                pass
        of = (getattr(about, name, None) for name in ("account_id", "conversation_id"))
        message_id = self._id(getattr(about, "message_id", None), form.fresh)
        return b"".join([self._id(x, form.uuid) for x in of]), message_id

    def _id(self, identifier: str | None, encode: Callable[[str], bytes]) -> bytes:
        if not identifier:
            return self.form.no_uuid
        try:
            return encode(identifier)
        except ValueError:
            return self.form.no_uuid

    def message_ids(
        self, found: Sequence[tuple[MessageKey, tuple[Position, bytes]]]
    ) -> list[bytes]:
        pack, fresh, begin = self._int8_blob, self.form.fresh, self._begin_id
        int8, blob = self.form.int8, self.form.bytea
        encoded: list[bytes] = []
        for (account_id, message_id), (position, fingerprint) in found:
            encoded += (
                begin(account_id),
                fresh(message_id),
                pack(int8, position, blob + len(fingerprint)),
                fingerprint,
            )
        return encoded

    def _id_begun(self, account_id: AccountId) -> bytes:
        return self.form.head(len(MESSAGE_IDS.columns)) + self.form.uuid(account_id)

    def messages(self, found: Sequence[MessageRow]) -> list[bytes]:
        form, pack, begin = self.form, self._five, self._begin_message
        i, none, mark, fresh, words = (
            form.int8,
            form.no_uuid,
            form.blob_mark,
            form.fresh,
            form.words,
        )
        encoded: list[bytes] = []
        for x in found:
            body = x.body
            author = x.author
            device_id, clash_of = x.device_id, x.clash_of
            encoded += (
                begin(x.account_id, x.conversation_id),
                fresh(x.message_id),
                none if device_id is None else form.uuid(device_id),
                pack(i, x.seq, i, x.position, i, x.at_ns, i, x.seen_up_to, i, x.revision),
                self._flags(x),
                words(author.kind, author.id, x.content_type),
                mark(len(body)),
                body,
                none if clash_of is None else fresh(clash_of),
            )
        return encoded

    def _message_begun(self, account_id: AccountId, conversation_id: ConversationId) -> bytes:
        return self.form.head(len(MESSAGES.columns)) + self.form.pair(account_id, conversation_id)

    def _flags(self, x: MessageRow) -> bytes:
        if not (x.automatic or x.crossed or x.retracted or x.unreadable or x.id_clash):
            return self._no_flags
        return self._flags_of((x.automatic, x.crossed, x.retracted, x.unreadable, x.id_clash))

    def _flags_of(self, flags: tuple[bool, ...]) -> bytes:
        mark = self.form.bool
        return self._bools(*[part for flag in flags for part in (mark, flag)])

    def notes(self, found: Sequence[NoteRow]) -> list[bytes]:
        form, i = self.form, self.form.int8
        encoded: list[bytes] = []
        for x in found:
            encoded += (
                form.head(len(NOTES.columns)),
                form.pair(x.account_id, x.conversation_id),
                form.uuid(x.note_id),
                self._two(i, x.position, i, x.at_ns),
                form.word(x.author.kind),
                form.word(x.author.id),
                form.blob_mark(len(x.body)),
                x.body,
            )
        return encoded

    def entries(self, found: Sequence[tuple[AccountId, Entry]]) -> list[bytes]:
        form, pack, begin, word = self.form, self._entry_numbers, self._begin_entry, self.form.word
        i, int2 = form.int8, form.int2
        encoded: list[bytes] = []
        for account_id, x in found:
            # fmt: off
            numbers = pack(i, x.position, i, x.prev, i, x.at_ns, i, x.from_seq, i, x.to_seq,
                           int2, bucket_of(account_id))
            # fmt: on
            row = x.message
            encoded += (
                begin(x.owner_id, account_id, x.conversation_id),
                self._about_other(x) if row is None else form.fresh(row.message_id),
                numbers,
                word(x.kind),
            )
        return encoded

    def _about_other(self, x: Entry) -> bytes:
        return self.form.no_uuid if x.note is None else self.form.uuid(x.note.note_id)

    def _entry_begun(
        self, owner_id: str, account_id: AccountId, conversation_id: ConversationId
    ) -> bytes:
        form = self.form
        head = form.head(len(ENTRIES.columns))
        return head + form.uuid(owner_id) + form.pair(account_id, conversation_id)

    def conversations(self, found: Sequence[Folded]) -> list[bytes]:
        form, uuid = self.form, self.form.uuid
        head, none, i = form.head(len(CONVERSATIONS.columns)), form.no_uuid, form.int8
        encoded: list[bytes] = []
        for folded in found:
            x = folded.state
            answerer = x.last_answer_agent_id
            encoded += (
                head,
                form.pair(x.account_id, x.conversation_id),
                form.pair(x.inbox_id, x.contact_id),
                form.words(x.channel, x.language, x.priority, x.status, x.phase),
                none if x.team_id is None else uuid(x.team_id),
                none if x.agent_id is None else uuid(x.agent_id),
                none if x.previous_agent_id is None else uuid(x.previous_agent_id),
                form.no_text if answerer is None else form.word(answerer),
                self._conversation_numbers(folded),
                form.texts(x.labels),
                form.int8s(x.unanswered),
                form.int8s(folded.unanswered_ns),
                self._three(i, folded.desk_read, i, folded.late, i, folded.last_resolved),
            )
        return encoded

    def _conversation_numbers(self, folded: Folded) -> bytes:
        x, i = folded.state, self.form.int8
        # fmt: off
        return self._twelve(
            i, x.started, i, x.assigned, i, x.snoozed_until_ns, i, x.waiting_since,
            i, x.last_message, i, x.last_entry, i, x.last_answer, i, x.rating, i, folded.last_seq,
            i, folded.version, i, folded.created_ns, i, folded.updated_ns,
        )
        # fmt: on

    def contacts(self, found: Sequence[ContactRow]) -> list[bytes]:
        form = self.form
        encoded: list[bytes] = []
        for x in found:
            numbers = (form.bool, x.is_identified, form.int8, x.profile_revision)
            encoded += (
                form.head(len(CONTACTS.columns)),
                form.pair(x.account_id, x.contact_id),
                form.uuid(x.inbox_id),
                self._contact_numbers(*numbers, form.int8, x.created_ns),
                form.no_uuid if x.merged_into is None else form.uuid(x.merged_into),
                form.blob_mark(len(x.profile)),
                x.profile,
            )
        return encoded

    def holdings(self, found: Sequence[tuple[HoldingKey, Holding]]) -> list[bytes]:
        form = self.form
        encoded: list[bytes] = []
        for (owner_id, conversation_id), x in found:
            encoded += (
                form.head(len(HOLDINGS.columns)),
                form.uuid(owner_id),
                form.pair(x.account_id, conversation_id),
                self._holding(form.int8, x.given_up_to_seq, form.bool, x.held),
            )
        return encoded

    def receipts(self, found: Sequence[ReceiptRow]) -> list[bytes]:
        form, i = self.form, self.form.int8
        head = form.head(len(RECEIPTS.columns))
        encoded: list[bytes] = []
        for x in found:
            numbers = (i, x.received, i, x.read, i, x.position)
            encoded += (
                head,
                form.pair(x.account_id, x.conversation_id),
                self._receipt_numbers(*numbers, form.int2, bucket_of(x.account_id)),
                form.word(x.recipient.kind),
                form.word(x.recipient.id),
            )
        return encoded

    def devices(
        self, found: Sequence[tuple[tuple[str, DeviceId], tuple[AccountId, Position]]]
    ) -> list[bytes]:
        form = self.form
        head = form.head(len(DEVICES.columns))
        encoded: list[bytes] = []
        for (owner_id, device_id), (account_id, up_to) in found:
            encoded += (
                head,
                form.pair(account_id, owner_id),
                form.uuid(device_id),
                self._int8(form.int8, up_to),
            )
        return encoded

    def primaries(self, found: Sequence[tuple[AgentKey, Primary]]) -> list[bytes]:
        form, i = self.form, self.form.int8
        encoded: list[bytes] = []
        for (account_id, agent_id), x in found:
            encoded += (
                form.head(len(PRIMARIES.columns)),
                form.pair(account_id, agent_id),
                form.no_uuid if x.device_id is None else form.uuid(x.device_id),
                self._two(i, x.fence, i, x.position),
            )
        return encoded

    def tallies(self, found: Sequence[tuple[tuple[AccountId, Tally], Grown]]) -> list[bytes]:
        """By how many conversations, and flagged ones, each tally became more or fewer."""
        form, i = self.form, self.form.int8
        encoded: list[bytes] = []
        for (account_id, (inbox_id, team_id, status, is_held)), grown in found:
            encoded += (
                form.head(len(TALLIES.columns)),
                form.pair(account_id, inbox_id),
                form.uuid(team_id or NO_TEAM),
                form.word(status),
                self._tally(form.bool, is_held, *[x for number in grown for x in (i, number)]),
            )
        return encoded

    def quarantine(self, found: Sequence[tuple[str, Delivery, Record, str]]) -> list[bytes]:
        """Each with its shard and why it is set aside."""
        form, i = self.form, self.form.int8
        encoded: list[bytes] = []
        for shard, delivery, record, reason in found:
            event = record.event
            about = event.envelope if isinstance(event, Broken) else event
            encoded += (
                form.head(len(QUARANTINE.columns)) + form.text(shard),
                self._two(i, record.position, i, record.at_ns),
                form.text(delivery.subject),
                form.text(reason),
                self._id(getattr(about, "account_id", None), form.uuid),
                form.blob_mark(len(delivery.payload)),
                delivery.payload,
            )
        return encoded


AS_COPY = Rows(COPY)
AS_RECORDS = Rows(RECORDS)
