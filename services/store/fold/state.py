"""What the store holds in memory of the rows that it folds into: a cache of the tables, ahead of them by the batches
that are not committed yet. It is thrown away whenever a commit did not happen."""

from __future__ import annotations

from collections import deque

import msgspec

from services.store.fold.late import flags
from shared.conversation import Conversation, Status
from shared.ids import (
    AccountId,
    AgentId,
    ContactId,
    ConversationId,
    DeviceId,
    InboxId,
    MessageId,
    NoteId,
    Position,
    TeamId,
)
from shared.queries import ContactRow, ConversationRow, MessageRow, ReceiptRow

ConversationKey = tuple[AccountId, ConversationId]
MessageKey = tuple[AccountId, MessageId]
NoteKey = tuple[AccountId, NoteId]
ContactKey = tuple[AccountId, ContactId]
ReceiptKey = tuple[AccountId, ConversationId, str]
HoldingKey = tuple[str, ConversationId]
AgentKey = tuple[AccountId, AgentId]
Tally = tuple[InboxId, TeamId | None, Status, bool]
"""What conversations are counted by: inbox, team, status, and whether an agent holds them."""
Flags = tuple[bool, bool, bool]
"""What is counted apart of them: unread by the desk, overdue, escalated."""


class Folded(msgspec.Struct, kw_only=True):
    """A conversation with what only the store counts. `unanswered_ns` are the log times of `state.unanswered`,
    `desk_read` how far any agent has read, `late` what is on record of missed deadlines, `last_resolved` where the case
    before ended."""

    state: Conversation
    last_seq: int = 0
    version: Position = 0
    created_ns: int = 0
    updated_ns: int = 0
    unanswered_ns: tuple[int, ...] = ()
    desk_read: Position = 0
    late: int = 0
    last_resolved: Position = 0
    counted: tuple[Tally, Flags] | None = None
    """Where the account's counts have it, and as what else, or will when what is folded so far is committed."""

    @property
    def key(self) -> ConversationKey:
        return self.state.account_id, self.state.conversation_id

    @property
    def tally(self) -> tuple[Tally, Flags]:
        """Where it is to be counted, and as what else. Unread: somebody waits, and no agent has read the newest."""
        state = self.state
        waits = state.phase == "active" and state.unanswered
        is_unread = bool(waits) and state.unanswered[-1] > self.desk_read
        tally = (state.inbox_id, state.team_id, state.status, state.agent_id is not None)
        return tally, (is_unread, *flags(self.late, state.phase))


class Owner(msgspec.Struct, kw_only=True):
    """An inbox. `head`: its last entry. `received`: the highest position that a device acknowledged.

    `recent` holds (position, conversation) of every entry that gives messages above `complete_from`, so that a
    receipt finds the conversations it concerns without reading back what is not committed yet.
    """

    account_id: AccountId
    head: Position = 0
    received: Position = 0
    devices: dict[DeviceId, Position] = {}
    recent: list[tuple[Position, ConversationId]] = []
    complete_from: Position = 0


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent's inbox was given of a conversation, up to a `seq`; while it is held, every message is."""

    account_id: AccountId
    given_up_to_seq: int
    held: bool


class Primary(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's alerting device; the higher fence is right. What it alerts for goes into the hint and no table."""

    device_id: DeviceId | None
    fence: int
    position: Position
    alert: Position = 0
    alert_until_ns: int = 0


class State:
    """Rows by key. A key that is absent has no row, provided that `needed` was asked for the batch."""

    def __init__(self) -> None:
        self.conversations: dict[ConversationKey, Folded] = {}
        self.owners: dict[str, Owner] = {}
        self.message_ids: dict[MessageKey, tuple[Position, bytes]] = {}
        self.committed_ids: deque[MessageKey] = deque()
        self.messages: dict[MessageKey, MessageRow] = {}
        self.notes: set[NoteKey] = set()
        self.contacts: dict[ContactKey, ContactRow] = {}
        self.holdings: dict[HoldingKey, Holding] = {}
        self.receipts: dict[ReceiptKey, ReceiptRow] = {}
        self.primaries: dict[AgentKey, Primary] = {}
        self._of_contact: dict[ContactKey, set[ConversationKey]] = {}

    def add_conversation(self, folded: Folded) -> None:
        """Hold a conversation that was not held before."""
        self.conversations[folded.key] = folded
        contact = (folded.state.account_id, folded.state.contact_id)
        self._of_contact.setdefault(contact, set()).add(folded.key)

    def conversations_of(self, contact: ContactKey) -> list[Folded]:
        """The conversations of a contact, the one with the newest entry first."""
        found = [self.conversations[key] for key in self._of_contact.get(contact, ())]
        return sorted(found, key=lambda x: (-x.state.last_entry, x.state.conversation_id))

    def move_conversations(self, contact: ContactKey, into: ContactId) -> list[Folded]:
        """Give the conversations of a contact to another one."""
        moved = self.conversations_of(contact)
        keys = self._of_contact.pop(contact, set())
        self._of_contact.setdefault((contact[0], into), set()).update(keys)
        for folded in moved:
            folded.state.contact_id = into
        return moved

    @property
    def size(self) -> int:
        """Rows held, for the limit at which the cache is dropped."""
        return (
            len(self.conversations)
            + len(self.owners)
            + len(self.message_ids)
            + len(self.messages)
            + len(self.notes)
            + len(self.contacts)
            + len(self.holdings)
            + len(self.receipts)
        )

    def root_of(self, account_id: AccountId, contact_id: ContactId) -> ContactId:
        """The contact that this one is now: itself, or where it was merged, step by step."""
        row = self.contacts.get((account_id, contact_id))
        while row is not None and row.merged_into is not None:
            contact_id = row.merged_into
            row = self.contacts.get((account_id, contact_id))
        return contact_id


def row_of(folded: Folded) -> ConversationRow:
    """The conversation as it is told to others, without what depends on the asker."""
    state = folded.state
    overdue, escalated = flags(folded.late, state.phase)
    return ConversationRow(
        account_id=state.account_id,
        conversation_id=state.conversation_id,
        inbox_id=state.inbox_id,
        contact_id=state.contact_id,
        channel=state.channel,
        language=state.language,
        priority=state.priority,
        status=state.status,
        labels=state.labels,
        team_id=state.team_id,
        agent_id=state.agent_id,
        previous_agent_id=state.previous_agent_id,
        assigned=state.assigned,
        waiting_since=state.waiting_since,
        waiting_since_ns=folded.unanswered_ns[0] if folded.unanswered_ns else 0,
        snoozed_until_ns=state.snoozed_until_ns,
        last_seq=folded.last_seq,
        last_entry=state.last_entry,
        version=folded.version,
        created_ns=folded.created_ns,
        updated_ns=folded.updated_ns,
        rating=state.rating,
        overdue=overdue,
        escalated=escalated,
    )
