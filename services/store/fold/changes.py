"""The rows that a batch makes or replaces, and what is to be told about it."""

from __future__ import annotations

import msgspec

from services.store.fold.records import Record
from services.store.fold.state import (
    AgentKey,
    ContactKey,
    ConversationKey,
    Flags,
    Folded,
    Holding,
    HoldingKey,
    MessageKey,
    Owner,
    Primary,
    ReceiptKey,
    State,
    Tally,
)
from shared.ids import AccountId, DeviceId, Position
from shared.queries import ContactRow, Entry, MessageRow, NoteRow, ReceiptRow

Grown = tuple[int, int, int, int]
"""Conversations, and of them those unread by the desk, overdue, escalated."""
NONE: Grown = (0, 0, 0, 0)


class Changes:
    """Collected by the fold. New rows in lists and dicts of their own; rows that replace an older one by key."""

    def __init__(self) -> None:
        self.last: Position = 0
        self.message_ids: dict[MessageKey, tuple[Position, bytes]] = {}
        self.messages: dict[MessageKey, MessageRow] = {}
        self.encoded: dict[MessageKey, MessageRow] = {}
        """Messages whose rows were made already: a later event of the batch that changes one is an edit of it."""
        self.encoded_ids: list[MessageKey] = []
        self.untold: set[AccountId] = set()
        """Whose entries about messages were made into rows and are not held for a hint."""
        self.edited: dict[MessageKey, MessageRow] = {}
        self.notes: list[NoteRow] = []
        self.entries: list[tuple[AccountId, Entry]] = []
        self.told: list[tuple[AccountId, Entry]] = []
        """Entries whose rows were made already, those about messages left out."""
        self.conversations: dict[ConversationKey, Folded] = {}
        self.contacts: dict[ContactKey, ContactRow] = {}
        self.holdings: dict[HoldingKey, Holding] = {}
        self.receipts: dict[ReceiptKey, ReceiptRow] = {}
        self.receipt_owners: dict[ReceiptKey, tuple[str, ...]] = {}
        self.devices: dict[tuple[str, DeviceId], tuple[AccountId, Position]] = {}
        self.primaries: dict[AgentKey, Primary] = {}
        self.lists: dict[AccountId, set[str]] = {}
        self.counts: dict[tuple[AccountId, Tally], Grown] = {}
        """By how many each tally grew; see `count`."""
        self.quarantined: list[tuple[Record, str]] = []
        self.crowded: set[str] = set()
        """Inboxes that hold more unacknowledged entries in memory than they need to."""
        self.repeats = 0
        self.clashes: list[Record] = []

    def begin_again(self) -> None:
        """After all rows of which the batch only has more were made: let go of them, but for what later events of the
        batch may change and what a hint tells also of who is far behind."""
        self.encoded.update(self.messages)
        self.encoded_ids.extend(self.message_ids)
        self.untold.update({account_id for account_id, _ in self.entries})
        self.messages = {}
        self.message_ids = {}
        self.notes = []
        self.told += [x for x in self.entries if x[1].kind != "message"]
        self.entries = []

    def list_changed(self, folded: Folded) -> None:
        """Note that lists which are no inbox look different now."""
        teams = self.lists.setdefault(folded.state.account_id, set())
        teams.add(folded.state.team_id or "")

    def count(self) -> None:
        """Once, when all of the batch is folded: where the conversations it touched are counted now. Only the sum over
        batches shows in the tables, so it is the same for any split of the log. Who shows a list that a conversation
        left or joined, or how much of it is unread or late, is told."""
        for (account_id, _), folded in self.conversations.items():
            before, now = folded.counted, folded.tally
            if now == before:
                continue
            folded.counted = now
            self._grow(account_id, now, 1)
            if before is not None:
                self._grow(account_id, before, -1)

    def _grow(self, account_id: AccountId, counted: tuple[Tally, Flags], by: int) -> None:
        tally, (is_unread, is_overdue, is_escalated) = counted
        conversations, unread, overdue, escalated = self.counts.get((account_id, tally), NONE)
        self.counts[account_id, tally] = (
            conversations + by,
            unread + by * is_unread,
            overdue + by * is_overdue,
            escalated + by * is_escalated,
        )
        self.lists.setdefault(account_id, set()).add(tally[1] or "")


class Step(msgspec.Struct, frozen=True, gc=False):
    """One event being folded: into what, and where its changes are collected."""

    state: State
    changes: Changes
    record: Record


def note_owner(owners: dict[str, Owner], owner_id: str, account_id: AccountId) -> Owner:
    """The inbox of this owner; an unknown one has no entries."""
    owner = owners.get(owner_id)
    if owner is None:
        owner = owners[owner_id] = Owner(account_id=account_id)
    return owner


def forget(state: State, committed: Changes, *, ids: int = 0) -> None:
    """Drop from memory what is only held while it is not in the tables: texts of messages, what a crowded inbox was
    given, and MessageIDs but for the last `ids`. A text that a later batch replaced stays until that batch is committed."""
    state.committed_ids.extend(committed.encoded_ids)
    state.committed_ids.extend(committed.message_ids)
    while len(state.committed_ids) > ids:
        state.message_ids.pop(state.committed_ids.popleft(), None)
    for owner_id in committed.crowded:
        owner = state.owners.get(owner_id)
        if owner is not None:
            _forget_recent(owner, committed.last)
    for rows in (committed.encoded, committed.messages, committed.edited):
        for message_key, row in rows.items():
            if state.messages.get(message_key) is row:
                del state.messages[message_key]


def _forget_recent(owner: Owner, committed: Position) -> None:
    """A receipt that reaches below `complete_from` reads these entries from the tables."""
    owner.recent = [x for x in owner.recent if x[0] > committed]
    owner.complete_from = max(owner.complete_from, committed)
