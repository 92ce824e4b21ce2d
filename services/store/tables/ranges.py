"""The messages that come with assignments: a stretch of each conversation, cut to a bearable size."""

from __future__ import annotations

from collections.abc import Sequence

from services.store.tables.read import MESSAGE, message
from shared.database import Connection
from shared.ids import AccountId, ConversationId
from shared.queries import MessageRow

Ranges = dict[tuple[ConversationId, int], list[MessageRow]]
MOST_MESSAGES = 50
MOST_BYTES = 64 * 1024

_RANGES = (
    f"SELECT k.from_seq, m.* FROM unnest(%s::uuid[], %s::uuid[], %s::bigint[], %s::bigint[])"
    " AS k(account, conversation, from_seq, to_seq)"
    f" CROSS JOIN LATERAL (SELECT {MESSAGE} FROM messages WHERE account_id = k.account"
    "  AND conversation_id = k.conversation AND seq BETWEEN k.from_seq AND k.to_seq"
    f"  ORDER BY seq LIMIT {MOST_MESSAGES}) m ORDER BY k.conversation, k.from_seq, m.seq"
)


async def read_ranges(
    connection: Connection, wanted: Sequence[tuple[AccountId, ConversationId, int, int]]
) -> Ranges:
    """For each (account, conversation, from, to): the first messages of it, by (conversation, from)."""
    found: Ranges = {}
    if not wanted:
        return found
    columns = [list(column) for column in zip(*wanted, strict=True)]
    rows = await connection.execute(_RANGES.encode(), columns)
    sizes: dict[tuple[ConversationId, int], int] = {}
    for from_seq, *rest in await rows.fetchall():
        row = message(tuple(rest))
        key = (row.conversation_id, from_seq)
        stretch = found.setdefault(key, [])
        size = sizes.get(key, 0) + len(row.body)
        if stretch and size > MOST_BYTES:
            size = MOST_BYTES + 1
        else:
            stretch.append(row)
        sizes[key] = size
    return found
