"""Questions about messages, notes and the history of a conversation."""

from __future__ import annotations

from collections.abc import Sequence

from services.store.tables.paging import cut
from services.store.tables.read import (
    MESSAGE,
    NOTE,
    message,
    note,
)
from shared.codec import decode_event
from shared.database import Connection
from shared.errors import Malformed
from shared.events import Received, ReceivedTogether
from shared.queries import (
    FindReceived,
    GetHistory,
    GetMessage,
    History,
    HistoryRow,
    ListMessages,
    ListNotes,
    MessagePage,
    MessageRow,
    NotePage,
    ReceivedRow,
)

_MOST_ROWS = 500
_ROW_BYTES = 360
"""What a row takes without its text, so that 500 waiting messages of usual length are one answer."""
_MOST_RECEIPTS = 3_000
_RECEIPT_EVENTS = 100
"""Read at once; each may hold some hundred receipts."""


def message_size(row: MessageRow) -> int:
    """Bytes that a message takes in an answer, about."""
    return _ROW_BYTES + len(row.body)


async def list_messages(connection: Connection, question: ListMessages) -> MessagePage | None:
    """A stretch of a conversation in ascending `seq`; None for a conversation that is not there."""
    limit = min(max(question.limit, 1), _MOST_ROWS)
    is_backwards = question.before_seq > 0
    test, order = ("seq < %s", "DESC") if is_backwards else ("seq > %s", "")
    found = await connection.cursor(binary=True).execute(
        f"SELECT {MESSAGE} FROM messages WHERE account_id = %s AND conversation_id = %s"
        f" AND {test} ORDER BY seq {order} LIMIT %s".encode(),
        [
            question.account_id,
            question.conversation_id,
            question.before_seq if is_backwards else question.after_seq,
            limit + 1,
        ],
    )
    rows = [message(row) for row in await found.fetchall()]
    if not rows and not await _exists(connection, question.account_id, question.conversation_id):
        return None
    page, is_cut = cut(rows, limit, message_size)
    return MessagePage(rows=page[::-1] if is_backwards else page, more=is_cut)


async def _exists(connection: Connection, account_id: str, conversation_id: str) -> bool:
    found = await connection.execute(
        "SELECT 1 FROM conversations WHERE account_id = %s AND conversation_id = %s",
        [account_id, conversation_id],
    )
    return bool(await found.fetchall())


async def list_notes(connection: Connection, question: ListNotes) -> NotePage | None:
    """Notes of a conversation in ascending position; None for a conversation that is not there."""
    limit = min(max(question.limit, 1), _MOST_ROWS)
    found = await connection.execute(
        f"SELECT {NOTE} FROM notes WHERE account_id = %s AND conversation_id = %s"
        " AND position > %s ORDER BY position LIMIT %s".encode(),
        [question.account_id, question.conversation_id, question.after, limit + 1],
    )
    rows = [note(row) for row in await found.fetchall()]
    if not rows and not await _exists(connection, question.account_id, question.conversation_id):
        return None
    page, is_cut = cut(rows, limit, lambda x: _ROW_BYTES + len(x.body))
    return NotePage(rows=page, more=is_cut)


async def get_message(connection: Connection, question: GetMessage) -> MessageRow | None:
    """One message by its id."""
    found = await connection.execute(
        f"SELECT {MESSAGE} FROM messages WHERE account_id = %s AND message_id = %s".encode(),
        [question.account_id, question.message_id],
    )
    row = await found.fetchone()
    return message(row) if row else None


async def get_history(connection: Connection, question: GetHistory) -> History | None:
    """Every event of a conversation; None for one that no event names."""
    limit = min(max(question.limit, 1), _MOST_ROWS)
    found = await connection.execute(
        "SELECT position, at_ns, family, payload FROM truth.events WHERE account_id = %s"
        " AND conversation_id = %s AND position > %s ORDER BY position LIMIT %s",
        [question.account_id, question.conversation_id, question.after, limit + 1],
    )
    rows = [
        HistoryRow(position=position, at_ns=at_ns, family=family, payload=payload)
        for position, at_ns, family, payload in await found.fetchall()
    ]
    if not rows and not question.after:
        return None
    page, is_cut = cut(rows, limit, lambda x: 100 + len(x.payload))
    return History(rows=page, more=is_cut)


async def find_received(connection: Connection, question: FindReceived) -> ReceivedRow | None:
    """The recipient's first receipt that covers a position. Receipts name no conversation, so the next ones of the
    account are read; one comes within seconds of what it acknowledges, or not before a device is there again."""
    seen, after, is_over = 0, question.since, False
    while seen < _MOST_RECEIPTS and not is_over:
        found = await connection.execute(
            "SELECT position, at_ns, payload FROM truth.events WHERE shard = ("
            "  SELECT shard FROM truth.events WHERE account_id = %(account)s"
            "  AND conversation_id = %(conversation)s LIMIT 1)"
            " AND position > %(after)s AND family = 'receipt' AND account_id = %(account)s"
            " ORDER BY position LIMIT %(most)s",
            {
                "account": question.account_id,
                "conversation": question.conversation_id,
                "after": after,
                "most": _RECEIPT_EVENTS,
            },
        )
        rows = await found.fetchall()
        is_over = len(rows) < _RECEIPT_EVENTS
        for position, at_ns, payload in rows:
            said = _receipts_in(payload)
            seen, after = seen + max(1, len(said)), position
            covering = [each for each in said if _covers(each, question)]
            if covering:
                return ReceivedRow(
                    position=position,
                    at_ns=at_ns,
                    recipient_id=question.recipient_id,
                    device_id=covering[0].device_id,
                    up_to=covering[0].up_to,
                )
    return None


def _covers(receipt: Received, question: FindReceived) -> bool:
    return receipt.up_to >= question.since and receipt.recipient.id == question.recipient_id


def _receipts_in(payload: bytes) -> Sequence[Received]:
    try:
        event = decode_event(payload)
    except Malformed:
        return ()
    if isinstance(event, ReceivedTogether):
        return tuple(event.each())
    return (event,) if isinstance(event, Received) else ()
