"""What a batch changed, written in one transaction: COPY for every table, the checkpoint last.

A row that replaces an older one is deleted by key and copied again; an update of an indexed row writes a new
version anyway, and COPY is the cheaper way to write it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from services.store.fold import Changes, Record
from services.store.fold.state import Tally
from services.store.tables import rows
from services.store.tables.copying import SIGNATURE, TRAILER
from services.store.tables.parameters import UuidArray
from shared.bus import Delivery
from shared.database import Connection
from shared.ids import AccountId
from shared.queries import MessageRow


class Piece(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The rows for one table, in chunks. `keys`: the key columns' values of rows that are replaced."""

    table: str
    columns: str
    count: int
    chunks: list[bytes]
    key_columns: tuple[tuple[str, str], ...] = ()
    keys: tuple[UuidArray | list[str], ...] = ()


class Draft(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A piece whose rows are encoded chunk by chunk, so that the one who drives it may see to something else."""

    table: str
    columns: str
    rows: Sequence[Any]
    encode: Callable[[Sequence[Any]], bytes]
    keys: Iterable[tuple[str, ...]] = ()
    key_columns: tuple[tuple[str, str], ...] = ()

    def chunks(self) -> Iterator[bytes]:
        """The input of COPY."""
        yield SIGNATURE
        for begin in range(0, len(self.rows), _CHUNK_ROWS):
            yield self.encode(self.rows[begin : begin + _CHUNK_ROWS])
        yield TRAILER

    def piece(self, chunks: list[bytes]) -> Piece:
        """What is written. ValueError: a key is no id."""
        columns = zip(*self.keys, strict=True)
        kinds = [kind for _, kind in self.key_columns]
        keys = [
            UuidArray(column) if kind == "uuid" else list(column)
            for kind, column in zip(kinds, columns, strict=False)
        ]
        return Piece(
            table=self.table,
            columns=self.columns,
            count=len(self.rows),
            chunks=chunks,
            key_columns=self.key_columns,
            keys=tuple(keys),
        )


_CHUNK_ROWS = 128
"""Encoded at once; about 0.2 ms."""


def _each(encode: Callable[..., bytes]) -> Callable[[Sequence[Any]], bytes]:
    return lambda found: b"".join([encode(*x) for x in found])


def log_drafts(
    shard: str, entries: Sequence[tuple[Delivery, Record]], changes: Changes
) -> Iterator[Draft]:
    """Rows of `truth` for a stretch of the log."""
    if changes.quarantined:
        by_position = {delivery.position: delivery for delivery, _ in entries}
        yield Draft(
            table="truth.quarantine",
            columns=rows.QUARANTINE,
            rows=[(shard, by_position[x.position], x, why) for x, why in changes.quarantined],
            encode=_each(rows.quarantined),
        )
    yield Draft(
        table="truth.events",
        columns=rows.EVENTS,
        rows=entries,
        encode=lambda found: rows.events(shard, found),
    )


def fold_drafts(changes: Changes) -> Iterator[Draft]:
    """Rows of the projections, a table at a time. To be exhausted before the state goes on changing."""
    yield Draft(
        table="message_ids",
        columns=rows.MESSAGE_IDS,
        rows=list(changes.message_ids.items()),
        encode=rows.message_ids,
    )
    yield Draft(
        table="messages",
        columns=rows.MESSAGES,
        rows=list(changes.messages.values()),
        encode=rows.messages,
    )
    yield Draft(
        table="notes",
        columns=rows.NOTES,
        rows=[(x,) for x in changes.notes],
        encode=_each(rows.note),
    )
    yield Draft(table="entries", columns=rows.ENTRIES, rows=changes.entries, encode=rows.entries)
    yield Draft(
        table="conversations",
        columns=rows.CONVERSATIONS,
        rows=list(changes.conversations.values()),
        encode=rows.conversations,
        keys=changes.conversations,
        key_columns=(("account_id", "uuid"), ("conversation_id", "uuid")),
    )
    yield from _rarer(changes)


def _rarer(changes: Changes) -> Iterator[Draft]:
    yield Draft(
        table="contacts",
        columns=rows.CONTACTS,
        rows=[(x,) for x in changes.contacts.values()],
        encode=_each(rows.contact),
        keys=changes.contacts,
        key_columns=(("account_id", "uuid"), ("contact_id", "uuid")),
    )
    yield Draft(
        table="holdings",
        columns=rows.HOLDINGS,
        rows=list(changes.holdings.items()),
        encode=_each(rows.holding),
        keys=changes.holdings,
        key_columns=(("owner_id", "uuid"), ("conversation_id", "uuid")),
    )
    yield Draft(
        table="receipts",
        columns=rows.RECEIPTS,
        rows=[(x,) for x in changes.receipts.values()],
        encode=_each(rows.receipt),
        keys=changes.receipts,
        key_columns=(
            ("account_id", "uuid"),
            ("conversation_id", "uuid"),
            ("recipient_id", "text"),
        ),
    )
    yield Draft(
        table="devices_received",
        columns=rows.DEVICES,
        rows=[(key, *x) for key, x in changes.devices.items()],
        encode=_each(rows.device),
        keys=changes.devices,
        key_columns=(("owner_id", "uuid"), ("device_id", "uuid")),
    )
    yield Draft(
        table="primary_devices",
        columns=rows.PRIMARIES,
        rows=list(changes.primaries.items()),
        encode=_each(rows.primary),
        keys=changes.primaries,
        key_columns=(("account_id", "uuid"), ("agent_id", "uuid")),
    )


async def write_pieces(connection: Connection, pieces: Iterable[Piece]) -> None:
    """Delete what is replaced and copy the rows; inside the caller's transaction."""
    async with connection.cursor() as cursor:
        for piece in pieces:
            if piece.keys:
                await cursor.execute(_delete(piece), piece.keys)
            statement = f"COPY {piece.table} ({piece.columns}) FROM STDIN (FORMAT BINARY)"
            async with cursor.copy(statement.encode()) as copy:
                for chunk in piece.chunks:
                    await copy.write(chunk)


def _delete(piece: Piece) -> bytes:
    names = ", ".join(name for name, _ in piece.key_columns)
    values = ", ".join(f"%s::{kind}[]" for _, kind in piece.key_columns)
    matches = " AND ".join(f"t.{name} = k.{name}" for name, _ in piece.key_columns)
    return (
        f"DELETE FROM {piece.table} t USING unnest({values}) AS k({names}) WHERE {matches}".encode()
    )


async def write_edits(connection: Connection, edited: Iterable[MessageRow]) -> None:
    """Messages written by an earlier batch whose text was replaced or taken back."""
    for row in edited:
        await connection.execute(
            "UPDATE messages SET body = %s, revision = %s, retracted = %s"
            " WHERE account_id = %s AND message_id = %s",
            [row.body, row.revision, row.retracted, row.account_id, row.message_id],
        )


_NO_TEAM = "00000000-0000-0000-0000-000000000000"
_COUNTS = (
    b"INSERT INTO conversation_tallies AS t"
    b" (account_id, inbox_id, team_id, status, is_held, conversations, unread)"
    b" SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::bool[], %s::bigint[], %s::bigint[])"
    b" ON CONFLICT (account_id, inbox_id, team_id, status, is_held) DO UPDATE"
    b" SET conversations = t.conversations + excluded.conversations, unread = t.unread + excluded.unread"
)
# A row that counts nothing is not there: batches of another size would not have made it.
_EMPTY = (
    b"DELETE FROM conversation_tallies t USING unnest(%s::uuid[], %s::uuid[]) AS k(account_id, inbox_id)"
    b" WHERE t.account_id = k.account_id AND t.inbox_id = k.inbox_id AND t.conversations = 0"
)


async def write_counts(
    connection: Connection, counts: Mapping[tuple[AccountId, Tally], tuple[int, int]]
) -> None:
    """By how many the conversations of each tally became more or fewer."""
    grown = [(*key, *numbers) for key, numbers in counts.items() if numbers != (0, 0)]
    if not grown:
        return
    accounts = UuidArray([account_id for account_id, *_ in grown])
    inboxes = UuidArray([tally[0] for _, tally, *_ in grown])
    teams = UuidArray([tally[1] or _NO_TEAM for _, tally, *_ in grown])
    statuses = [tally[2] for _, tally, *_ in grown]
    are_held = [tally[3] for _, tally, *_ in grown]
    more = [number for _, _, number, _ in grown]
    unread = [number for *_, number in grown]
    values = [accounts, inboxes, teams, statuses, are_held, more, unread]
    await connection.execute(_COUNTS, values)
    if any(number < 0 for number in more):
        await connection.execute(_EMPTY, [accounts, inboxes])


async def make_partitions(connection: Connection, at_ns: Iterable[int]) -> None:
    """The month's partition of `events` for each of these log times."""
    for moment in at_ns:
        await connection.execute(
            "SELECT truth.make_events_partition(to_timestamp(%s))", [moment / 1e9]
        )
