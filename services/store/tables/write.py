"""What a batch changed, written in one transaction: COPY for every table, the checkpoint last.

A row that replaces an older one is deleted by key and copied again; an update of an indexed row writes a new
version anyway, and COPY is the cheaper way to write it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from services.store.fold import Changes, Record
from services.store.tables import rows
from services.store.tables.copying import array_literal, table
from shared.bus import Delivery, digest
from shared.database import Connection
from shared.queries import MessageRow


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """The rows for one table. `keys`: the key columns' values, a list a column, of rows that are replaced."""

    table: str
    columns: str
    content: bytes
    count: int
    key_columns: tuple[tuple[str, str], ...] = ()
    keys: tuple[str | list[str], ...] = ()


def log_pieces(
    shard: str, entries: list[tuple[Delivery, Record]], changes: Changes
) -> Iterator[Piece]:
    """Rows of `truth` for a stretch of the log."""
    by_position = {delivery.position: delivery for delivery, _ in entries}
    quarantine = [
        rows.quarantined(shard, by_position[record.position], record, reason)
        for record, reason in changes.quarantined
    ]
    yield _piece("truth.quarantine", rows.QUARANTINE, quarantine)
    events = [rows.event(shard, delivery, record, digest(delivery)) for delivery, record in entries]
    yield _piece("truth.events", rows.EVENTS, events)


def fold_pieces(changes: Changes) -> Iterator[Piece]:
    """Rows of the projections, a table at a time. To be exhausted before the state goes on changing."""
    yield _piece(
        "message_ids",
        rows.MESSAGE_IDS,
        [rows.message_id(key, *value) for key, value in changes.message_ids.items()],
    )
    yield _piece("messages", rows.MESSAGES, [rows.message(x) for x in changes.messages.values()])
    yield _piece("notes", rows.NOTES, [rows.note(x) for x in changes.notes])
    yield _piece("entries", rows.ENTRIES, [rows.entry(*x) for x in changes.entries])
    yield _piece(
        "conversations",
        rows.CONVERSATIONS,
        [rows.conversation(x) for x in changes.conversations.values()],
        keys=changes.conversations,
        key_columns=(("account_id", "uuid"), ("conversation_id", "uuid")),
    )
    yield _piece(
        "contacts",
        rows.CONTACTS,
        [rows.contact(x) for x in changes.contacts.values()],
        keys=changes.contacts,
        key_columns=(("account_id", "uuid"), ("contact_id", "uuid")),
    )
    yield _piece(
        "holdings",
        rows.HOLDINGS,
        [rows.holding(key, x) for key, x in changes.holdings.items()],
        keys=changes.holdings,
        key_columns=(("owner_id", "uuid"), ("conversation_id", "uuid")),
    )
    yield _piece(
        "receipts",
        rows.RECEIPTS,
        [rows.receipt(x) for x in changes.receipts.values()],
        keys=changes.receipts,
        key_columns=(
            ("account_id", "uuid"),
            ("conversation_id", "uuid"),
            ("recipient_id", "text"),
        ),
    )
    yield _piece(
        "devices_received",
        rows.DEVICES,
        [rows.device(key, *x) for key, x in changes.devices.items()],
        keys=changes.devices,
        key_columns=(("owner_id", "uuid"), ("device_id", "uuid")),
    )
    yield _piece(
        "primary_devices",
        rows.PRIMARIES,
        [rows.primary(key, x) for key, x in changes.primaries.items()],
        keys=changes.primaries,
        key_columns=(("account_id", "uuid"), ("agent_id", "uuid")),
    )


def _piece(
    name: str,
    columns: str,
    encoded: list[bytes],
    *,
    keys: Iterable[tuple[str, ...]] = (),
    key_columns: tuple[tuple[str, str], ...] = (),
) -> Piece:
    values = zip(*keys, strict=True)
    return Piece(
        table=name,
        columns=columns,
        content=table(encoded) if encoded else b"",
        count=len(encoded),
        key_columns=key_columns,
        keys=tuple(
            [
                array_literal(column) if kind == "uuid" else list(column)
                for (_, kind), column in zip(key_columns, values, strict=False)
            ]
        ),
    )


async def write_pieces(connection: Connection, pieces: Iterable[Piece]) -> None:
    """Delete what is replaced and copy the rows; inside the caller's transaction."""
    async with connection.cursor() as cursor:
        for piece in pieces:
            if not piece.count:
                continue
            if piece.keys:
                await cursor.execute(_delete(piece), piece.keys)
            statement = f"COPY {piece.table} ({piece.columns}) FROM STDIN (FORMAT BINARY)"
            async with cursor.copy(statement.encode()) as copy:
                await copy.write(piece.content)


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


async def make_partitions(connection: Connection, at_ns: Iterable[int]) -> None:
    """The month's partition of `events` for each of these log times."""
    for moment in at_ns:
        await connection.execute(
            "SELECT truth.make_events_partition(to_timestamp(%s))", [moment / 1e9]
        )
