"""The rows that a batch makes or replaces, and what is to be told about it."""

from __future__ import annotations

import msgspec

from services.store.fold.records import Record
from services.store.fold.state import (
    AgentKey,
    ContactKey,
    ConversationKey,
    Folded,
    Holding,
    HoldingKey,
    MessageKey,
    Owner,
    Primary,
    ReceiptKey,
    State,
)
from shared.conversation import Status
from shared.ids import AccountId, DeviceId, Position
from shared.queries import ContactRow, Entry, MessageRow, NoteRow, ReceiptRow


class Changes:
    """Collected by the fold. New rows in lists and dicts of their own; rows that replace an older one by key."""

    def __init__(self) -> None:
        self.last: Position = 0
        self.message_ids: dict[MessageKey, tuple[Position, bytes]] = {}
        self.messages: dict[MessageKey, MessageRow] = {}
        self.edited: dict[MessageKey, MessageRow] = {}
        self.notes: list[NoteRow] = []
        self.entries: list[tuple[AccountId, Entry]] = []
        self.conversations: dict[ConversationKey, Folded] = {}
        self.contacts: dict[ContactKey, ContactRow] = {}
        self.holdings: dict[HoldingKey, Holding] = {}
        self.receipts: dict[ReceiptKey, ReceiptRow] = {}
        self.receipt_owners: dict[ReceiptKey, tuple[str, ...]] = {}
        self.devices: dict[tuple[str, DeviceId], tuple[AccountId, Position]] = {}
        self.primaries: dict[AgentKey, Primary] = {}
        self.lists: dict[AccountId, set[str]] = {}
        self.counts: dict[AccountId, dict[Status, int]] = {}
        """By how many conversations of an account each status grew; see `count`."""
        self.quarantined: list[tuple[Record, str]] = []
        self.crowded: set[str] = set()
        """Inboxes that hold more unacknowledged entries in memory than they need to."""
        self.repeats = 0
        self.clashes: list[Record] = []

    def list_changed(self, folded: Folded) -> None:
        """Note that lists which are no inbox look different now."""
        teams = self.lists.setdefault(folded.state.account_id, set())
        teams.add(folded.state.team_id or "")

    def count(self) -> None:
        """Once, when all of the batch is folded: what became of the statuses of the conversations it touched. Only the
        sum over batches shows in the tables, so it is the same for any split of the log."""
        for (account_id, _), folded in self.conversations.items():
            status = folded.state.status
            if status == folded.counted:
                continue
            grown = self.counts.setdefault(account_id, {})
            grown[status] = grown.get(status, 0) + 1
            if folded.counted is not None:
                grown[folded.counted] = grown.get(folded.counted, 0) - 1
            folded.counted = status


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


def forget(state: State, committed: Changes) -> None:
    """Drop from memory what is only held while it is not in the tables: ids and texts of messages, and what a crowded
    inbox was given. A text that a later batch replaced stays until that batch is committed."""
    for key in committed.message_ids:
        state.message_ids.pop(key, None)
    for owner_id in committed.crowded:
        owner = state.owners.get(owner_id)
        if owner is not None:
            _forget_recent(owner, committed.last)
    for rows in (committed.messages, committed.edited):
        for message_key, row in rows.items():
            if state.messages.get(message_key) is row:
                del state.messages[message_key]


def _forget_recent(owner: Owner, committed: Position) -> None:
    """A receipt that reaches below `complete_from` reads these entries from the tables."""
    owner.recent = [x for x in owner.recent if x[0] > committed]
    owner.complete_from = max(owner.complete_from, committed)
