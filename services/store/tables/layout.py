"""The tables that the store writes: their columns in the order of the database, because a record names none, and what
a row that replaces another is found by.
"""

from __future__ import annotations

import msgspec

from shared.database import Connection
from shared.errors import Refused


class Table(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A table that the store writes: its columns in their order, and its key where a row replaces an older one."""

    name: str
    columns: tuple[str, ...]
    parts: int
    key: tuple[tuple[str, str], ...] = ()


def _table(name: str, columns: str, parts: int, *key: tuple[str, str]) -> Table:
    return Table(name=name, columns=tuple(columns.split()), parts=parts, key=key)


EVENTS = _table(
    "truth.events",
    "shard position at at_ns family account_id conversation_id message_id subject payload digest",
    9,
)
MESSAGE_IDS = _table("message_ids", "account_id message_id position fingerprint", 4)
MESSAGES = _table(
    "messages",
    "account_id conversation_id message_id device_id seq position at_ns seen_up_to revision"
    " automatic crossed retracted unreadable id_clash author_kind author_id content_type body"
    " clash_of",
    9,
)
NOTES = _table(
    "notes", "account_id conversation_id note_id position at_ns author_kind author_id body", 8
)
ENTRIES = _table(
    "entries",
    "owner_id account_id conversation_id about_id position prev at_ns from_seq to_seq bucket kind",
    4,
)
CONVERSATIONS = _table(
    "conversations",
    "account_id conversation_id inbox_id contact_id channel language priority status phase team_id"
    " agent_id previous_agent_id last_answer_agent_id started assigned snoozed_until_ns"
    " waiting_since last_message last_entry last_answer rating last_seq version created_ns"
    " updated_ns labels unanswered unanswered_ns desk_read late last_resolved",
    13,
    ("account_id", "uuid"),
    ("conversation_id", "uuid"),
)
CONTACTS = _table(
    "contacts",
    "account_id contact_id inbox_id is_identified profile_revision created_ns merged_into profile",
    7,
    ("account_id", "uuid"),
    ("contact_id", "uuid"),
)
HOLDINGS = _table(
    "holdings",
    "owner_id account_id conversation_id given_up_to_seq held",
    4,
    ("owner_id", "uuid"),
    ("conversation_id", "uuid"),
)
RECEIPTS = _table(
    "receipts",
    "account_id conversation_id received read position bucket recipient_kind recipient_id",
    5,
    ("account_id", "uuid"),
    ("conversation_id", "uuid"),
    ("recipient_id", "text"),
)
DEVICES = _table(
    "devices_received",
    "account_id owner_id device_id up_to",
    4,
    ("owner_id", "uuid"),
    ("device_id", "uuid"),
)
PRIMARIES = _table(
    "primary_devices",
    "account_id agent_id device_id fence position",
    4,
    ("account_id", "uuid"),
    ("agent_id", "uuid"),
)
TALLIES = _table(
    "conversation_tallies",
    "account_id inbox_id team_id status is_held conversations unread overdue escalated",
    5,
    ("account_id", "uuid"),
    ("inbox_id", "uuid"),
    ("team_id", "uuid"),
    ("status", "text"),
    ("is_held", "boolean"),
)
QUARANTINE = _table("truth.quarantine", "shard position at_ns subject reason account_id payload", 7)

TABLES = (
    EVENTS,
    MESSAGE_IDS,
    MESSAGES,
    NOTES,
    ENTRIES,
    CONVERSATIONS,
    CONTACTS,
    HOLDINGS,
    RECEIPTS,
    DEVICES,
    PRIMARIES,
    TALLIES,
    QUARANTINE,
)
Layout = dict[str, int]
"""The row type of each table by its name."""


async def read_layout(connection: Connection) -> Layout:
    """The row types as they are now. Raises `Refused` when a table has other columns, or has them in another order:
    a row would go into the wrong ones."""
    found = await connection.execute(
        "SELECT t.name, c.reltype, array_agg(a.attname::text ORDER BY a.attnum)"
        " FROM unnest(%s::text[]) AS t(name) JOIN pg_class c ON c.oid = t.name::regclass"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " GROUP BY t.name, c.reltype",
        [[table.name for table in TABLES]],
    )
    rows = {name: (oid, tuple(columns)) for name, oid, columns in await found.fetchall()}
    for table in TABLES:
        if rows[table.name][1] != table.columns:
            raise Refused(f"the table {table.name} has other columns than this release writes")
    return {name: oid for name, (oid, _) in rows.items()}
