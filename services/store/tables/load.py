"""The rows that a batch folds into, read before it: one round trip for all tables."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from typing import Any

from services.store.fold import Folded, Needs, Owner, State
from services.store.fold.state import Holding, Primary
from services.store.tables.binary import array_literal
from services.store.tables.parameters import UuidArray
from services.store.tables.read import CONTACT, MESSAGE, RECEIPT, contact, message, receipt
from shared.conversation import Conversation
from shared.database import Connection
from shared.planted import planted

_FOLDED = (
    "c.account_id, c.conversation_id, c.inbox_id, c.contact_id, c.channel, c.language, c.priority,"
    " c.phase, c.team_id, c.agent_id, c.previous_agent_id, c.last_answer_agent_id, c.started,"
    " c.assigned, c.snoozed_until_ns, c.last_message, c.last_entry, c.last_answer, c.rating,"
    " c.labels, c.unanswered, c.last_seq, c.version, c.created_ns, c.updated_ns, c.unanswered_ns,"
    " c.desk_read, c.late, c.last_resolved"
)
Row = tuple[Any, ...]


async def load(connection: Connection, state: State, needs: Needs) -> None:
    """Put the rows into the state. What the state already holds is newer than the tables and stays."""
    statements = _statements(needs)
    # One alone is a round trip by itself; a pipeline of one costs twice as much.
    many = connection.pipeline() if len(statements) > 1 else contextlib.nullcontext()
    async with many:
        results = [
            (take, await connection.execute(statement.encode(), parameters))
            for take, statement, parameters in statements
        ]
    for take, cursor in results:
        for row in await cursor.fetchall():
            take(state, row)
    for owner_id, after, _ in needs.recents:
        state.owners[owner_id].complete_from = after


Take = Callable[[State, Row], None]


def _statements(needs: Needs) -> list[tuple[Take, str, list[Any]]]:
    wanted: list[tuple[Take, str, Collection[tuple[Any, ...]]]] = [
        (_take_conversation, _CONVERSATIONS, needs.conversations),
        (_take_conversation, _OF_CONTACTS, needs.of_contacts),
        (_take_message_id, _MESSAGE_IDS, needs.message_ids),
        (_take_message, _MESSAGES, needs.messages),
        (_take_note, _NOTES, needs.notes),
        (_take_contact, _CONTACTS, needs.contacts),
        (_take_owner, _OWNERS, needs.owners),
        (_take_holding, _HOLDINGS, needs.holdings),
        (_take_receipt, _RECEIPTS, needs.receipts),
        (_take_primary, _PRIMARIES, needs.primaries),
        (_take_recent, _RECENTS, needs.recents),
    ]
    return [
        (take, statement, _columns(statement, keys)) for take, statement, keys in wanted if keys
    ]


def _columns(statement: str, keys: Collection[tuple[Any, ...]]) -> list[Any]:
    columns = list(zip(*keys, strict=True))
    if statement is _RECEIPTS:
        return [UuidArray(columns[0]), UuidArray(columns[1]), list(columns[2])]
    if statement is _RECENTS:
        return [UuidArray(columns[0]), array_literal(columns[1]), array_literal(columns[2])]
    return [UuidArray(column) for column in columns]


_KEYS = "unnest(%s::uuid[], %s::uuid[])"
_CONVERSATIONS = (
    f"SELECT {_FOLDED} FROM {_KEYS} AS k(account_id, conversation_id)"
    " JOIN conversations c USING (account_id, conversation_id)"
)
_OF_CONTACTS = (
    f"SELECT {_FOLDED} FROM {_KEYS} AS k(account_id, contact_id)"
    " JOIN conversations c USING (account_id, contact_id)"
)
_MESSAGE_IDS = (
    f"SELECT account_id, message_id, position, fingerprint FROM {_KEYS} AS k(account_id, message_id)"
    " JOIN message_ids m USING (account_id, message_id)"
)
_MESSAGES = (
    f"SELECT {MESSAGE} FROM {_KEYS} AS k(account_id, message_id)"
    " JOIN messages m USING (account_id, message_id)"
)
_NOTES = (
    f"SELECT account_id, note_id FROM {_KEYS} AS k(account_id, note_id)"
    " JOIN notes n USING (account_id, note_id)"
)
_CONTACTS = (
    f"SELECT {CONTACT} FROM {_KEYS} AS k(account_id, contact_id)"
    " JOIN contacts c USING (account_id, contact_id)"
)
_OWNERS = (
    "SELECT k.account_id, k.owner_id,"
    " coalesce((SELECT max(e.position) FROM entries e WHERE e.owner_id = k.owner_id), 0),"
    " (SELECT coalesce(jsonb_object_agg(d.device_id, d.up_to), '{}') FROM devices_received d"
    "  WHERE d.owner_id = k.owner_id)"
    f" FROM {_KEYS} AS k(account_id, owner_id)"
)
_HOLDINGS = (
    "SELECT owner_id, conversation_id, account_id, given_up_to_seq, held"
    f" FROM {_KEYS} AS k(owner_id, conversation_id)"
    " JOIN holdings h USING (owner_id, conversation_id)"
)
_RECEIPTS = (
    f"SELECT {RECEIPT}"
    " FROM unnest(%s::uuid[], %s::uuid[], %s::text[]) AS k(account_id, conversation_id, recipient_id)"
    " JOIN receipts r USING (account_id, conversation_id, recipient_id)"
)
_PRIMARIES = (
    "SELECT account_id, agent_id, device_id, fence, position"
    f" FROM {_KEYS} AS k(account_id, agent_id)"
    " JOIN primary_devices p USING (account_id, agent_id)"
)
_RECENTS = (
    "SELECT k.owner_id, e.position, e.conversation_id"
    " FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]) AS k(owner_id, after, up_to)"
    " JOIN entries e ON e.owner_id = k.owner_id AND e.position > k.after AND e.position <= k.up_to"
    " WHERE e.kind = 'message' OR e.to_seq > 0 ORDER BY e.position"
)


def _take_conversation(state: State, row: Row) -> None:
    if (row[0], row[1]) in state.conversations:
        return
    names = _CONVERSATION_FIELDS
    values = dict(zip(names, row[: len(names)], strict=True))
    last_seq, version, created_ns, updated_ns, unanswered_ns, *rest = row[len(names) :]
    desk_read, late, last_resolved = rest
    values["labels"] = tuple(values["labels"])
    values["unanswered"] = tuple(values["unanswered"])
    folded = Folded(
        state=Conversation(**values),
        last_seq=last_seq,
        version=version,
        created_ns=created_ns,
        updated_ns=updated_ns,
        unanswered_ns=tuple(unanswered_ns),
        desk_read=desk_read,
        late=late,
        last_resolved=last_resolved,
    )
    folded.counted = folded.tally
    state.add_conversation(folded)


_CONVERSATION_FIELDS = (
    "account_id",
    "conversation_id",
    "inbox_id",
    "contact_id",
    "channel",
    "language",
    "priority",
    "phase",
    "team_id",
    "agent_id",
    "previous_agent_id",
    "last_answer_agent_id",
    "started",
    "assigned",
    "snoozed_until_ns",
    "last_message",
    "last_entry",
    "last_answer",
    "rating",
    "labels",
    "unanswered",
)


def _take_message_id(state: State, row: Row) -> None:
    if not planted("ids_forgotten"):
        state.message_ids.setdefault((row[0], row[1]), (row[2], row[3]))


def _take_message(state: State, row: Row) -> None:
    found = message(row)
    state.messages.setdefault((found.account_id, found.message_id), found)


def _take_note(state: State, row: Row) -> None:
    state.notes.add((row[0], row[1]))


def _take_contact(state: State, row: Row) -> None:
    found = contact(row)
    state.contacts.setdefault((found.account_id, found.contact_id), found)


def _take_owner(state: State, row: Row) -> None:
    account_id, owner_id, head, devices = row
    owner = Owner(
        account_id=account_id,
        head=head,
        received=max(devices.values(), default=0),
        devices=devices,
        complete_from=head,
    )
    state.owners.setdefault(owner_id, owner)


def _take_holding(state: State, row: Row) -> None:
    holding = Holding(account_id=row[2], given_up_to_seq=row[3], held=row[4])
    state.holdings.setdefault((row[0], row[1]), holding)


def _take_receipt(state: State, row: Row) -> None:
    found = receipt(row)
    key = (found.account_id, found.conversation_id, found.recipient.id)
    state.receipts.setdefault(key, found)


def _take_primary(state: State, row: Row) -> None:
    primary = Primary(device_id=row[2], fence=row[3], position=row[4])
    state.primaries.setdefault((row[0], row[1]), primary)


def _take_recent(state: State, row: Row) -> None:
    owner_id, position, conversation_id = row
    state.owners[owner_id].recent.append((position, conversation_id))
