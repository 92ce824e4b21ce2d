"""Reads the log and the tables with nothing but the servers' own clients: no code of the services decides what is there."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import nats
import nats.errors
import psycopg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

_STREAM = "EVENTS_0"
_PAGE = 1000
_TIMEOUT_S = 10.0
_TRIES = 8
_TRY_S = 1.0


class Unreadable(Exception):
    """Log or tables can't be read now."""


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the log. `event` is the decoded MessagePack of `raw`, empty when it can't be read."""

    position: int
    family: str
    at_s: float
    event: dict[str, Any]
    raw: bytes = b""


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the messages table."""

    message_id: str
    conversation_id: str
    seq: int
    position: int
    is_clash: bool
    is_unreadable: bool


class StoredConversation(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the conversations table, as far as the checker compares it."""

    conversation_id: str
    agent_id: str
    phase: str
    is_waiting: bool


class Tables(msgspec.Struct, frozen=True, kw_only=True):
    """The tables as of one moment. `events`: rows of the log's memory, and how many positions they have."""

    checkpoint: int
    events: tuple[int, int]
    quarantined: int
    ids: dict[str, int]
    messages: list[StoredMessage]
    conversations: list[StoredConversation]


async def read_log(url: str, *, after: int = 0) -> list[LogEntry]:
    """Everything behind `after`, in order. Asks again for a while, as the log may have no leader. Raises `Unreadable`."""
    for left in reversed(range(_TRIES)):
        try:
            return await _read_log(url, after)
        except (nats.errors.Error, OSError) as err:
            if not left:
                raise Unreadable(f"the log: {type(err).__name__}") from err
            await asyncio.sleep(_TRY_S)
    return []


async def _read_log(url: str, after: int) -> list[LogEntry]:
    client = await nats.connect(url.split(","), connect_timeout=5, max_reconnect_attempts=5)
    try:
        js = client.jetstream(timeout=_TIMEOUT_S)
        last = (await js.stream_info(_STREAM)).state.last_seq
        if last <= after:
            return []
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after + 1,
            ack_policy=AckPolicy.NONE,
            mem_storage=True,
            inactive_threshold=30.0,
        )
        found: list[LogEntry] = []
        reader = await js.pull_subscribe("", stream=_STREAM, config=config)
        while not found or found[-1].position < last:
            found += [_entry(raw) for raw in await reader.fetch(_PAGE, timeout=_TIMEOUT_S)]
        await reader.unsubscribe()
        return found
    finally:
        await client.close()


def _entry(raw: Any) -> LogEntry:
    try:
        event = msgspec.msgpack.decode(raw.data)
    except msgspec.DecodeError:
        event = {}
    return LogEntry(
        position=raw.metadata.sequence.stream,
        family=raw.subject.rsplit(".", 1)[1],
        at_s=raw.metadata.timestamp.timestamp(),
        event=event if isinstance(event, dict) else {},
        raw=raw.data,
    )


def read_tables(url: str) -> Tables:
    """All of it in one snapshot. Raises `Unreadable`."""
    try:
        return _read_tables(url)
    except psycopg.Error as err:
        raise Unreadable(f"the tables: {type(err).__name__}") from err


def _read_tables(url: str) -> Tables:
    with psycopg.connect(url, connect_timeout=5) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ

        def rows(statement: str) -> list[tuple[Any, ...]]:
            return connection.execute(statement.encode()).fetchall()

        checkpoint = rows("SELECT coalesce(max(position), 0) FROM projection.checkpoint")
        events = rows("SELECT count(*), count(DISTINCT position) FROM truth.events")
        quarantined = rows("SELECT count(*) FROM truth.quarantine")
        ids = rows("SELECT message_id::text, position FROM truth.message_ids")
        messages = rows(
            "SELECT message_id::text, conversation_id::text, seq, position, id_clash, unreadable"
            " FROM projection.messages ORDER BY conversation_id, seq"
        )
        conversations = rows(
            "SELECT conversation_id::text, coalesce(agent_id::text, ''), phase,"
            " cardinality(unanswered) > 0 FROM projection.conversations"
        )
    return Tables(
        checkpoint=checkpoint[0][0],
        events=(events[0][0], events[0][1]),
        quarantined=quarantined[0][0],
        ids=dict(ids),
        messages=[
            StoredMessage(
                message_id=m,
                conversation_id=c,
                seq=seq,
                position=p,
                is_clash=clash,
                is_unreadable=unreadable,
            )
            for m, c, seq, p, clash, unreadable in messages
        ],
        conversations=[
            StoredConversation(conversation_id=c, agent_id=a, phase=phase, is_waiting=waiting)
            for c, a, phase, waiting in conversations
        ],
    )
