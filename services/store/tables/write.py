"""What a batch changed, table by table: as the input of COPY for a large one, as records for one statement else.

A row that replaces an older one is deleted by key and copied again; an update of an indexed row writes a new
version anyway, and COPY is the cheaper way to write many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from services.store.fold import Changes, Record
from services.store.fold.changes import NONE, Grown
from services.store.fold.state import Tally
from services.store.tables import layout
from services.store.tables.binary import SIGNATURE, TRAILER
from services.store.tables.layout import Table
from services.store.tables.parameters import UuidArray
from services.store.tables.rows import AS_COPY, AS_RECORDS, NO_TEAM, Rows
from services.store.tables.statement import Records
from shared.bus import Delivery
from shared.database import Connection
from shared.ids import AccountId
from shared.queries import MessageRow

Encode = Callable[[Rows, Sequence[Any]], list[bytes]]


class Piece(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The rows for one table, as the input of COPY in chunks. `keys`: columns of the keys that are replaced."""

    table: Table
    chunks: list[bytes]
    keys: list[UuidArray | list[str]]


class Growing:
    """Rows of tables that a large batch only adds to, encoded a few hundred events at a time: while what they are made
    of is still in the processor's cache, and so that it need not be held until the end of the batch."""

    def __init__(self) -> None:
        self._chunks: dict[str, list[bytes]] = {}
        self._tables: dict[str, Table] = {}

    def add(self, drafts: Iterable[Draft]) -> None:
        """Encode. ValueError or struct.error: a value that no row can hold."""
        for draft in drafts:
            if draft.rows:
                name = draft.table.name
                self._tables[name] = draft.table
                parts = draft.encode(AS_COPY, draft.rows)
                self._chunks.setdefault(name, [SIGNATURE]).append(b"".join(parts))

    def pieces(self) -> list[Piece]:
        """All of them, once."""
        return [
            Piece(table=self._tables[name], chunks=[*chunks, TRAILER], keys=[])
            for name, chunks in self._chunks.items()
        ]


class Draft(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Rows for one table that are not encoded yet. `keys`: of those that may replace older rows."""

    table: Table
    rows: Sequence[Any]
    encode: Encode
    keys: Iterable[tuple[str, ...]] = ()

    def chunks(self) -> Iterator[bytes]:
        """The input of COPY, chunk by chunk, so that the one who drives it may see to something else."""
        yield SIGNATURE
        for begin in range(0, len(self.rows), _CHUNK_ROWS):
            yield b"".join(self.encode(AS_COPY, self.rows[begin : begin + _CHUNK_ROWS]))
        yield TRAILER

    def piece(self, chunks: list[bytes]) -> Piece:
        """What is written by COPY. ValueError: a key is no id."""
        columns = zip(*self.keys, strict=True)
        keys = [
            UuidArray(column) if kind == "uuid" else list(column)
            for (_, kind), column in zip(self.table.key, columns, strict=False)
        ]
        return Piece(table=self.table, chunks=chunks, keys=keys)

    def records(self) -> Records:
        """What is written by one statement with all other tables."""
        parts, each = self.encode(AS_RECORDS, self.rows), self.table.parts
        rows = [b"".join(parts[begin : begin + each]) for begin in range(0, len(parts), each)]
        return Records(table=self.table, rows=rows)


_CHUNK_ROWS = 128
"""Encoded at once; about 0.2 ms."""


def log_drafts(
    shard: str, entries: Sequence[tuple[Delivery, Record]], changes: Changes
) -> list[Draft]:
    """Rows of `truth` for a stretch of the log."""
    drafts = []
    if changes.quarantined:
        by_position = {delivery.position: delivery for delivery, _ in entries}
        aside = [
            (shard, by_position[x.position], x, why)
            for x, why in changes.quarantined
            if x.position in by_position
        ]
        drafts.append(Draft(table=layout.QUARANTINE, rows=aside, encode=Rows.quarantine))
    drafts.append(
        Draft(
            table=layout.EVENTS, rows=entries, encode=lambda rows, found: rows.events(shard, found)
        )
    )
    return drafts


def added_drafts(changes: Changes) -> list[Draft]:
    """Rows of the projections that replace none."""
    of = Draft
    ids = list(changes.message_ids.items())
    messages = list(changes.messages.values())
    return [
        of(table=layout.MESSAGE_IDS, rows=ids, encode=Rows.message_ids),
        of(table=layout.MESSAGES, rows=messages, encode=Rows.messages),
        of(table=layout.NOTES, rows=changes.notes, encode=Rows.notes),
        of(table=layout.ENTRIES, rows=changes.entries, encode=Rows.entries),
    ]


def changed_drafts(changes: Changes) -> list[Draft]:
    """Rows of the projections that may replace older ones. To be encoded before the state goes on changing."""
    conversations = changes.conversations
    return [
        _replacing(layout.CONVERSATIONS, conversations, conversations.values(), Rows.conversations),
        _replacing(layout.CONTACTS, changes.contacts, changes.contacts.values(), Rows.contacts),
        _replacing(layout.HOLDINGS, changes.holdings, changes.holdings.items(), Rows.holdings),
        _replacing(layout.RECEIPTS, changes.receipts, changes.receipts.values(), Rows.receipts),
        _replacing(layout.DEVICES, changes.devices, changes.devices.items(), Rows.devices),
        _replacing(layout.PRIMARIES, changes.primaries, changes.primaries.items(), Rows.primaries),
    ]


def tally_draft(changes: Changes) -> Draft:
    """By how much the tallies of conversations grow; what is there already is added to."""
    grown = [(key, by) for key, by in changes.counts.items() if by != NONE]
    return Draft(table=layout.TALLIES, rows=grown, encode=Rows.tallies)


def _replacing(
    table: Table, keys: Iterable[tuple[str, ...]], rows: Iterable[Any], encode: Encode
) -> Draft:
    return Draft(table=table, rows=list(rows), encode=encode, keys=keys)


async def write_pieces(connection: Connection, pieces: Iterable[Piece]) -> None:
    """Delete what is replaced and copy the rows; inside the caller's transaction."""
    async with connection.cursor() as cursor:
        for piece in pieces:
            table = piece.table
            if piece.keys:
                await cursor.execute(_delete(table.name, table.key), piece.keys)
            columns = ", ".join(table.columns)
            statement = f"COPY {table.name} ({columns}) FROM STDIN (FORMAT BINARY)"
            async with cursor.copy(statement.encode()) as copy:
                for chunk in piece.chunks:
                    await copy.write(chunk)


@lru_cache(maxsize=64)
def _delete(table: str, key: tuple[tuple[str, str], ...]) -> bytes:
    names = ", ".join(name for name, _ in key)
    values = ", ".join(f"%s::{kind}[]" for _, kind in key)
    matches = " AND ".join(f"t.{name} = k.{name}" for name, _ in key)
    return f"DELETE FROM {table} t USING unnest({values}) AS k({names}) WHERE {matches}".encode()


async def write_edits(connection: Connection, edited: Iterable[MessageRow]) -> None:
    """Messages written by an earlier batch whose text was replaced or taken back."""
    for row in edited:
        await connection.execute(
            "UPDATE messages SET body = %s, revision = %s, retracted = %s"
            " WHERE account_id = %s AND message_id = %s",
            [row.body, row.revision, row.retracted, row.account_id, row.message_id],
        )


_TALLIES = (
    b"INSERT INTO conversation_tallies AS t"
    b" (account_id, inbox_id, team_id, status, is_held, conversations, unread, overdue, escalated)"
    b" SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::bool[], %s::bigint[], %s::bigint[],"
    b" %s::bigint[], %s::bigint[])"
    b" ON CONFLICT (account_id, inbox_id, team_id, status, is_held) DO UPDATE"
    b" SET conversations = t.conversations + excluded.conversations, unread = t.unread + excluded.unread,"
    b" overdue = t.overdue + excluded.overdue, escalated = t.escalated + excluded.escalated"
)
# A row that counts nothing is not there: batches of another size would not have made it.
_EMPTY = (
    b"DELETE FROM conversation_tallies t USING unnest(%s::uuid[], %s::uuid[]) AS k(account_id, inbox_id)"
    b" WHERE t.account_id = k.account_id AND t.inbox_id = k.inbox_id AND t.conversations = 0"
)


async def write_counts(
    connection: Connection, counts: Mapping[tuple[AccountId, Tally], Grown]
) -> None:
    """By how many the conversations of each tally became more or fewer."""
    grown = [(*key, *numbers) for key, numbers in counts.items() if numbers != NONE]
    if not grown:
        return
    accounts = UuidArray([account_id for account_id, *_ in grown])
    inboxes = UuidArray([tally[0] for _, tally, *_ in grown])
    teams = UuidArray([tally[1] or NO_TEAM for _, tally, *_ in grown])
    statuses = [tally[2] for _, tally, *_ in grown]
    are_held = [tally[3] for _, tally, *_ in grown]
    numbers = [list(column) for column in zip(*[row[2:] for row in grown], strict=True)]
    await connection.execute(_TALLIES, [accounts, inboxes, teams, statuses, are_held, *numbers])
    if any(number < 0 for number in numbers[0]):
        await connection.execute(_EMPTY, [accounts, inboxes])


async def make_partitions(connection: Connection, at_ns: Iterable[int]) -> None:
    """The month's partition of `events` for each of these log times."""
    for moment in at_ns:
        await connection.execute(
            "SELECT truth.make_events_partition(to_timestamp(%s))", [moment / 1e9]
        )
