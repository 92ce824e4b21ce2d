"""The store's tables in memory: what `load` and `write` do to PostgreSQL, for folding without a server."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from services.store.fold import Changes, Needs, Record, State, fold, needed, stretches
from services.store.fold.changes import NONE, Grown
from services.store.fold.state import (
    ContactKey,
    ConversationKey,
    Folded,
    Holding,
    HoldingKey,
    MessageKey,
    Owner,
    Primary,
    ReceiptKey,
    Tally,
)
from shared.ids import AccountId, ConversationId, DeviceId, Position
from shared.queries import ContactRow, Entry, MessageRow, NoteRow, ReceiptRow


class Tables:
    """Committed rows."""

    def __init__(self) -> None:
        self.conversations: dict[ConversationKey, Folded] = {}
        self.message_ids: dict[MessageKey, tuple[Position, bytes]] = {}
        self.messages: dict[MessageKey, MessageRow] = {}
        self.notes: dict[tuple[AccountId, str], NoteRow] = {}
        self.entries: list[Entry] = []
        self.contacts: dict[ContactKey, ContactRow] = {}
        self.holdings: dict[HoldingKey, Holding] = {}
        self.receipts: dict[ReceiptKey, ReceiptRow] = {}
        self.devices: dict[tuple[str, DeviceId], Position] = {}
        self.primaries: dict[Any, Primary] = {}
        self.quarantined: list[tuple[Position, str]] = []
        self.tallies: dict[tuple[AccountId, Tally], Grown] = {}

    def rows(self) -> dict[str, Any]:
        """Everything, for comparing."""
        return vars(self)

    def write(self, changes: Changes) -> None:
        """Commit; a row that is new must not be there yet."""
        for key in changes.message_ids:
            assert key not in self.message_ids
        for message_key in changes.messages:
            assert message_key not in self.messages
        self.message_ids.update(changes.message_ids)
        self.messages.update(changes.messages)
        self.messages.update(changes.edited)
        for note in changes.notes:
            assert (note.account_id, note.note_id) not in self.notes
            self.notes[note.account_id, note.note_id] = note
        self.entries.extend(entry for _, entry in changes.entries)
        self.conversations.update(copy.deepcopy(changes.conversations))
        self.contacts.update(changes.contacts)
        self.holdings.update(changes.holdings)
        self.receipts.update(changes.receipts)
        self.devices.update({key: up_to for key, (_, up_to) in changes.devices.items()})
        self.primaries.update(changes.primaries)
        self.quarantined.extend((record.position, why) for record, why in changes.quarantined)
        for tally, grown in changes.counts.items():
            one, two, three, four = self.tallies.pop(tally, NONE)
            if one + grown[0]:
                self.tallies[tally] = (
                    one + grown[0],
                    two + grown[1],
                    three + grown[2],
                    four + grown[3],
                )

    def load(self, state: State, needs: Needs) -> None:
        """Read what is needed; what the state holds already stays."""
        of_contacts = {
            key
            for key, found in self.conversations.items()
            if (key[0], found.state.contact_id) in needs.of_contacts
        }
        for key in sorted(needs.conversations | of_contacts):
            if key in self.conversations and key not in state.conversations:
                state.add_conversation(copy.deepcopy(self.conversations[key]))
        _fill(state.message_ids, self.message_ids, needs.message_ids)
        _fill(state.messages, self.messages, needs.messages)
        _fill(state.contacts, self.contacts, needs.contacts)
        _fill(state.holdings, self.holdings, needs.holdings)
        _fill(state.receipts, self.receipts, needs.receipts)
        _fill(state.primaries, self.primaries, needs.primaries)
        state.notes |= {key for key in needs.notes if key in self.notes}
        for account_id, owner_id in needs.owners:
            state.owners.setdefault(owner_id, self._owner(account_id, owner_id))
        for owner_id, after, up_to in needs.recents:
            owner = state.owners[owner_id]
            owner.recent += self._recent(owner_id, after, up_to)
            owner.complete_from = after

    def _owner(self, account_id: AccountId, owner_id: str) -> Owner:
        head = max((x.position for x in self.entries if x.owner_id == owner_id), default=0)
        devices = {key[1]: up_to for key, up_to in self.devices.items() if key[0] == owner_id}
        received = max(devices.values(), default=0)
        return Owner(
            account_id=account_id,
            head=head,
            received=received,
            devices=devices,
            complete_from=head,
        )

    def _recent(
        self, owner_id: str, after: Position, up_to: Position
    ) -> list[tuple[Position, ConversationId]]:
        return [
            (x.position, x.conversation_id)
            for x in self.entries
            if x.owner_id == owner_id
            and after < x.position <= up_to
            and (x.kind == "message" or x.to_seq)
        ]


def _fill(held: dict[Any, Any], rows: dict[Any, Any], keys: Iterable[Any]) -> None:
    for key in keys:
        if key in rows:
            held.setdefault(key, rows[key])


def fold_batch(tables: Tables, state: State, records: list[Record]) -> Changes:
    """What the store does with a batch, without the commit."""
    changes = Changes()
    for stretch in stretches(records):
        asked = Needs()
        while (wanted := needed(state, stretch)).take_new(asked):
            tables.load(state, wanted)
            if not wanted.leads_on:
                break
        for record in stretch:
            fold(state, changes, record)
    changes.count()
    return changes


def fold_all(records: list[Record]) -> Tables:
    """The tables after a log that was folded in one go."""
    tables = Tables()
    tables.write(fold_batch(tables, State(), records))
    return tables
