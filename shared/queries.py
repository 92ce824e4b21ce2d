"""What can be asked of the store (request/reply on `nd.q.<shard>.<name>`) and what it tells on its own (hints).

Every question carries `at_least`, a position the answer must include. A store that is behind waits a moment for
its own checkpoint and then answers "behind"; "not_found" is only said by a store that has reached the log's end
as of the request. MessagePack (`shared.codec.pack`); bodies and names are ciphertext throughout.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.conversation import Status
from shared.events import Author
from shared.events.conversation import Priority
from shared.ids import (
    AccountId,
    AgentId,
    ContactId,
    ConversationId,
    DeviceId,
    InboxId,
    MessageId,
    Position,
    TeamId,
)


class _Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Settings of every struct here. Nothing here can hold itself, so the garbage collector need not look at it: it
    would walk over every row of a batch again and again."""


# ---------------------------------------------------------------- rows


class MessageRow(_Struct, frozen=True, kw_only=True):
    """A message as stored. `body` is the ciphertext of `revision`; empty when retracted or unreadable."""

    account_id: AccountId
    conversation_id: ConversationId
    message_id: MessageId
    seq: int
    position: Position
    at_ns: int
    author: Author
    content_type: str
    body: bytes
    revision: int = 0
    device_id: DeviceId | None = None
    seen_up_to: Position = 0
    automatic: bool = False
    crossed: bool = False
    retracted: bool = False
    unreadable: bool = False
    id_clash: bool = False
    clash_of: MessageId | None = None
    """With `id_clash`: the id that it was sent with, under which its first body is sealed."""


class NoteRow(_Struct, frozen=True, kw_only=True):
    """A note for colleagues."""

    account_id: AccountId
    conversation_id: ConversationId
    note_id: str
    position: Position
    at_ns: int
    author: Author
    body: bytes


class ReceiptRow(_Struct, frozen=True, kw_only=True):
    """How far a recipient got in one conversation: `received` over all their devices (position), `read`."""

    account_id: AccountId
    conversation_id: ConversationId
    recipient: Author
    received: Position = 0
    read: Position = 0
    position: Position = 0
    """The receipt event that changed this row last."""


class ConversationRow(_Struct, frozen=True, kw_only=True):
    """A conversation as listed. `unread` and `last_message` are for the asker named in the question."""

    account_id: AccountId
    conversation_id: ConversationId
    inbox_id: InboxId
    contact_id: ContactId
    channel: str
    language: str
    priority: Priority
    status: Status
    labels: tuple[str, ...] = ()
    team_id: TeamId | None = None
    agent_id: AgentId | None = None
    previous_agent_id: AgentId | None = None
    assigned: Position = 0
    waiting_since: Position = 0
    waiting_since_ns: int = 0
    snoozed_until_ns: int = 0
    last_seq: int = 0
    last_entry: Position = 0
    version: Position = 0
    created_ns: int = 0
    updated_ns: int = 0
    rating: int = 0
    unread: int = 0
    last_message: MessageRow | None = None
    receipts: tuple[ReceiptRow, ...] = ()
    overdue: bool = False
    escalated: bool = False
    contact: ContactRow | None = None
    """Whose conversation it is, where the question asks for it."""


class FactsRow(_Struct, frozen=True, kw_only=True):
    """What a gateway must know of a conversation before it takes a message: whose it is, and who may see it."""

    account_id: AccountId
    conversation_id: ConversationId
    contact_id: ContactId
    inbox_id: InboxId
    status: Status
    team_id: TeamId | None = None
    agent_id: AgentId | None = None
    previous_agent_id: AgentId | None = None
    last_entry: Position = 0
    version: Position = 0


class ContactRow(_Struct, frozen=True, kw_only=True):
    """A visitor. `profile` is ciphertext. `merged_into` is set once the contact was merged."""

    account_id: AccountId
    contact_id: ContactId
    inbox_id: InboxId
    is_identified: bool
    profile: bytes = b""
    profile_revision: int = 0
    merged_into: ContactId | None = None
    created_ns: int = 0


# ---------------------------------------------------------------- inbox entries

EntryKind = Literal[
    "message",
    "message_edited",
    "message_retracted",
    "note",
    "conversation_assigned",
    "conversation_left",
    "conversation_changed",
]


class Entry(_Struct, frozen=True, kw_only=True):
    """One entry of an agent's or a contact's inbox. `prev` is the position of the entry before it in that inbox
    (0 for the first). An event makes at most one entry in an inbox.

    message, message_edited, message_retracted: `message`. note: `note`. conversation_assigned: `conversation`
    and the messages `from_seq`..`to_seq` that this inbox was not given before, as far as they fit; `more` says
    that the rest must be read with `Messages`. conversation_left, conversation_changed: `conversation`.
    `held`: whether the owner holds the conversation at the moment of reading (always true for a contact).
    """

    owner_id: str
    position: Position
    prev: Position
    at_ns: int
    kind: EntryKind
    conversation_id: ConversationId
    held: bool = True
    message: MessageRow | None = None
    note: NoteRow | None = None
    conversation: ConversationRow | None = None
    from_seq: int = 0
    to_seq: int = 0
    messages: tuple[MessageRow, ...] = ()
    more: bool = False


# ---------------------------------------------------------------- questions and answers


class ByAccount(_Struct, frozen=True, kw_only=True):
    """Common head of the questions: whose data, and how fresh. `patience_ms`: how long the asker waits for this
    answer; 0: not told. `at_end`: `at_least` was the log's end when the question arose, so what is not found there is
    not there."""

    account_id: AccountId
    at_least: Position = 0
    patience_ms: int = 0
    at_end: bool = False


class GetFacts(ByAccount, frozen=True, kw_only=True):
    """`facts` → FactsRow."""

    conversation_id: ConversationId


class GetConversation(ByAccount, frozen=True, kw_only=True):
    """`conversation` → ConversationRow (with `receipts`). `viewer_id`: for `unread`."""

    conversation_id: ConversationId
    viewer_id: str = ""
    wants_contact: bool = False


class ListConversations(ByAccount, frozen=True, kw_only=True):
    """`conversations` → ConversationPage, last change first (`order` "waiting": longest wait first).
    Filters are and-ed; empty means any. `after` is the opaque `next` of the page before."""

    viewer_id: str = ""
    contact_id: ContactId | None = None
    agent_id: AgentId | None = None
    is_unassigned: bool = False
    teams: tuple[TeamId, ...] | None = None
    """Only what the viewer holds, what these teams have, and what no team has; None: any."""
    foreign_inboxes: tuple[InboxId, ...] = ()
    """With `teams`: what no team has counts as the inbox's team's; these inboxes' conversations stay away."""
    team_id: TeamId | None = None
    """What this team has, and what no team has of `team_inboxes`. One that is not among `present_teams` has nothing."""
    inbox_id: InboxId | None = None
    statuses: tuple[Status, ...] = ()
    labels: tuple[str, ...] = ()
    channel: str = ""
    is_unread: bool = False
    is_team_unread: bool = False
    """Somebody waits, and no agent has read the newest."""
    since_ns: int = 0
    until_ns: int = 0
    order: Literal["updated", "waiting"] = "updated"
    after: str = ""
    limit: int = 50
    team_inboxes: tuple[InboxId, ...] = ()
    present_teams: tuple[TeamId, ...] | None = None
    """The account's teams: what another has, which was removed, no team has. None: none was removed."""
    is_of_no_team: bool = False
    """What no team has, except of `team_inboxes`."""
    previous_agent_id: AgentId | None = None
    """What this agent held last and holds no more."""
    is_overdue: bool = False
    """A deadline of the wait, or of the case, is past and on record."""
    is_escalated: bool = False
    wants_contact: bool = False


class ConversationPage(_Struct, frozen=True, kw_only=True):
    """Answer to ListConversations. `next` is empty on the last page."""

    rows: tuple[ConversationRow, ...]
    next: str = ""


class ListMessages(ByAccount, frozen=True, kw_only=True):
    """`messages` → MessagePage in ascending `seq`: the first `limit` above `after_seq`, or, with `before_seq`,
    the last `limit` below it. Cut at 512 KiB."""

    conversation_id: ConversationId
    after_seq: int = 0
    before_seq: int = 0
    limit: int = 100


class MessagePage(_Struct, frozen=True, kw_only=True):
    """Answer to ListMessages. `more`: there is more in the direction asked."""

    rows: tuple[MessageRow, ...]
    more: bool = False


class ListNotes(ByAccount, frozen=True, kw_only=True):
    """`notes` → NotePage in ascending position."""

    conversation_id: ConversationId
    after: Position = 0
    limit: int = 100


class NotePage(_Struct, frozen=True, kw_only=True):
    """Answer to ListNotes."""

    rows: tuple[NoteRow, ...]
    more: bool = False


class GetContact(ByAccount, frozen=True, kw_only=True):
    """`contact` → ContactRow."""

    contact_id: ContactId


class GetMessage(ByAccount, frozen=True, kw_only=True):
    """`message` → MessageRow; also how a MessageID is looked up before a resend is appended."""

    message_id: MessageId


class LookUpMessageId(ByAccount, frozen=True, kw_only=True):
    """`message_id` → MessageIdRow. "not_found" only from a store at the log's end as of the request."""

    message_id: MessageId


class MessageIdRow(_Struct, frozen=True, kw_only=True):
    """Where a MessageID was first stored, and its fingerprint."""

    position: Position
    fingerprint: bytes


class GetHistory(ByAccount, frozen=True, kw_only=True):
    """`history` → History: every event of a conversation, oldest first; for timeline and explain."""

    conversation_id: ConversationId
    after: Position = 0
    limit: int = 500


class HistoryRow(_Struct, frozen=True, kw_only=True):
    """An event as it lies in `events`."""

    position: Position
    at_ns: int
    family: str
    payload: bytes


class History(_Struct, frozen=True, kw_only=True):
    """Answer to GetHistory."""

    rows: tuple[HistoryRow, ...]
    more: bool = False


class FindReceived(ByAccount, frozen=True, kw_only=True):
    """`received` → ReceivedRow: when a device of the recipient first acknowledged `since`, which is a position of the
    conversation that they were given. "not_found": not among their account's next few thousand receipts."""

    conversation_id: ConversationId
    recipient_id: str
    since: Position


class ReceivedRow(_Struct, frozen=True, kw_only=True):
    """A receipt as it lies in `events`."""

    position: Position
    at_ns: int
    recipient_id: str
    device_id: DeviceId
    up_to: Position


class ReadInbox(ByAccount, frozen=True, kw_only=True):
    """`inbox` → InboxPage: entries of one inbox after a position, in order, cut at `limit` or 512 KiB, and the
    receipts changed since in conversations that concern the owner. `unheard_since_ns`: for an agent who comes back,
    also what stands before it, is not older than this, and may still need an alert. `counts_unread`: counting reads
    every unread message."""

    owner_id: str
    after: Position = 0
    limit: int = 500
    unheard_since_ns: int = 0
    counts_unread: bool = True


class UnheardRow(_Struct, frozen=True, kw_only=True):
    """An entry of an agent's inbox that is worth an alert: somebody else's message or an assignment, in a conversation
    that they hold and have not read up to there."""

    position: Position
    at_ns: int
    conversation_id: ConversationId


class InboxPage(_Struct, frozen=True, kw_only=True):
    """Answer to ReadInbox. `last` is the last entry of the page, `head` the inbox's as of `checkpoint`; `unread` counts messages that
    the owner has not read over all their conversations. Entries that are about a message are in `packed`, as
    `shared.packed` reads them, the others in `entries`; `held`: 16 bytes for each conversation of the page that the
    owner holds now."""

    head: Position
    last: Position = 0
    entries: tuple[Entry, ...] = ()
    packed: bytes = b""
    held: bytes = b""
    unread: int = 0
    receipts: tuple[ReceiptRow, ...] = ()
    more: bool = False
    unheard: tuple[UnheardRow, ...] = ()
    """Asked for with `unheard_since_ns`: the newest 50, newest first."""


class ReadHeads(_Struct, frozen=True, kw_only=True):
    """`heads` → Heads: inboxes of a hint bucket whose head moved after `since`. One indexed read."""

    bucket: int
    since: Position
    at_least: Position = 0
    patience_ms: int = 0


class Heads(_Struct, frozen=True, kw_only=True):
    """Answer to ReadHeads: inbox owner to (head, last receipt change)."""

    heads: dict[str, Position] = {}
    receipts: dict[str, Position] = {}


class GetCounts(ByAccount, frozen=True, kw_only=True):
    """`counts` → Counts, for the badges of a console. Without `among` the answer costs the same however many
    conversations there are; with it those that the filters let through are counted, up to a limit."""

    viewer_id: str = ""
    among: ListConversations | None = None


class CountRow(_Struct, frozen=True, kw_only=True):
    """How many conversations an inbox, a team (None: no team has them yet) and a status have. `team_unread`: of them
    somebody waits in, and no agent has read the newest; `unread`: the viewer has not read all that visitors wrote; `overdue`,
    `escalated`: as the list has them."""

    inbox_id: InboxId
    team_id: TeamId | None
    status: Status
    is_held: bool
    conversations: int
    team_unread: int
    unread: int = 0
    overdue: int = 0
    escalated: int = 0


class Counts(_Struct, frozen=True, kw_only=True):
    """`rows`: everybody's, in which `unread` is not counted. `mine`: those that the viewer holds. `is_cut`: there are
    more than were counted."""

    rows: tuple[CountRow, ...] = ()
    mine: tuple[CountRow, ...] = ()
    is_cut: bool = False


class Answer(_Struct, frozen=True, kw_only=True):
    """Envelope of every answer. `result` is the packed row or page when `status` is "ok". "overloaded" is only told to
    those who say how long they wait: more is asked than could be answered until then."""

    status: Literal["ok", "behind", "not_found", "unavailable", "invalid", "overloaded"]
    checkpoint: Position
    epoch: str
    result: msgspec.Raw = msgspec.Raw(b"\xc0")
    reason: str = ""


# ---------------------------------------------------------------- hints


class Lock(_Struct, frozen=True, kw_only=True):
    """A move of an agent's alert lock, as `PrimaryDeviceChanged` recorded it."""

    agent_id: AgentId
    device_id: DeviceId | None
    fence: int
    alert: Position = 0
    alert_until_ns: int = 0


class Hint(_Struct, frozen=True, kw_only=True):
    """What one commit changed for the accounts of a bucket. `since` and `to` chain the hints of a bucket: a gateway
    whose last `to` is not this `since` has missed one and reads. The store repeats an empty one every second.
    `lists` names accounts whose lists changed (with the team, or "" for none)."""

    epoch: str
    since: Position
    to: Position
    entries: tuple[Entry, ...] = ()
    receipts: tuple[ReceiptRow, ...] = ()
    receipt_owners: tuple[str, ...] = ()
    """Beside each receipt: the inbox owners it concerns, joined with a space."""
    lists: tuple[tuple[AccountId, str], ...] = ()
    locks: tuple[Lock, ...] = ()
    incomplete: bool = False
    """Entries were left out, to keep the hint under 512 KiB or because the store is far behind: read the inboxes."""
