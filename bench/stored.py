"""A database as it looks after so many messages, made in PostgreSQL without folding them: months of conversations that
are over, and on top what waits for the agents who come back. The rows are those of the store's fold."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

from shared.ids import AccountId, AgentId, ContactId, ConversationId, InboxId, MessageId

SHARD = "0"
AGENTS = 20
EACH = 500
TALKS_EACH = 10
LIVE = AGENTS * EACH
"""Messages that wait: every agent holds ten conversations with fifty each."""
_PER_TALK = 50
_BLOCK = 1000
"""Conversations that go on at the same time."""
_STEP = 500_000
_AT_ONCE = 2
"""Tables that are filled at the same time: one alone keeps one core busy."""


def _id(kind: str, number: int) -> str:
    raw = kind + f"{number:031x}"
    return "-".join((raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:]))


ACCOUNT = AccountId(_id("a", 0))
LABEL = "refund"
RARE_INBOX = InboxId(_id("f", 1))
RARE_CHANNEL = "email"
"""What few conversations have, as few as have the label."""


def agent(number: int) -> AgentId:
    """Who holds conversations number, number + AGENTS, …"""
    return AgentId(_id("e", number))


def talk(number: int) -> ConversationId:
    """The newest conversations are those that wait."""
    return ConversationId(_id("c", number))


def contact(number: int) -> ContactId:
    """Of conversation `number`."""
    return ContactId(_id("b", number))


def message(position: int) -> MessageId:
    """The message at this position."""
    return MessageId(_id("d", position))


# Position g: in a block of conversations that go on at once, the next one's turn; a conversation's own messages lie
# `width` apart. $1, $2: first and last position; $3: messages that are over; all after them wait.
_TURNS = """
WITH turns AS MATERIALIZED (
    SELECT g AS position, 1700000000000000000 + g * 1000000 AS at_ns, width,
        base + (g - 1 - start) %% width AS talk, (g - 1 - start) / width + 1 AS seq,
        g > %(over)s AS is_live
    FROM (
        SELECT g, CASE WHEN g > %(over)s THEN %(live_talks)s ELSE %(block)s END AS width,
            CASE WHEN g > %(over)s THEN %(over)s ELSE (g - 1) / %(block_messages)s * %(block_messages)s END AS start,
            CASE WHEN g > %(over)s THEN %(over_talks)s ELSE (g - 1) / %(block_messages)s * %(block)s END AS base
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) g
    ) placed
)
"""
_ID = "('{kind}' || lpad(to_hex({number}), 31, '0'))::uuid"


def _sql_id(kind: str, number: str) -> str:
    return _ID.format(kind=kind, number=number)


_A = _sql_id("a", "0")
_B, _C = _sql_id("b", "talk"), _sql_id("c", "talk")
_D, _E = _sql_id("d", "position"), _sql_id("e", f"talk %% {AGENTS}")
_IS_VISITOR = "(is_live OR seq %% 2 = 1)"


def _sealed(size: int) -> str:
    """So many bytes that nobody opens, other ones at each position."""
    return f"int8send(position) || '\\x{'5e' * (size - 8)}'::bytea"


_BODY = _sealed(160)
_STATEMENTS = (
    _TURNS + "INSERT INTO truth.events (shard, position, at, at_ns, family, subject, account_id,"
    " conversation_id, message_id, payload, digest)"
    f" SELECT '{SHARD}', position, now(), at_ns, 'message', 'nd.ev.{SHARD}.message', {_A}, {_C}, {_D},"
    f" {_sealed(384)}, {_sealed(16)} FROM turns",
    _TURNS + "INSERT INTO truth.message_ids (account_id, message_id, position, fingerprint)"
    f" SELECT {_A}, {_D}, position, {_sealed(32)} FROM turns",
    _TURNS
    + "INSERT INTO projection.messages (account_id, conversation_id, message_id, seq, position,"
    " at_ns, seen_up_to, revision, automatic, crossed, retracted, unreadable, id_clash, author_kind,"
    f" author_id, content_type, body) SELECT {_A}, {_C}, {_D}, seq, position, at_ns, 0, 0, false,"
    f" false, false, false, false, CASE WHEN {_IS_VISITOR} THEN 'visitor' ELSE 'agent' END,"
    f" CASE WHEN {_IS_VISITOR} THEN {_B} ELSE {_E} END::text, 'text', {_BODY} FROM turns",
    _TURNS + "INSERT INTO projection.entries (owner_id, account_id, conversation_id, about_id,"
    " position, prev, at_ns, from_seq, to_seq, bucket, kind)"
    f" SELECT owner_id, {_A}, {_C}, {_D}, position, CASE WHEN seq > 1 OR gap < width THEN position - gap ELSE 0 END,"
    f" at_ns, 0, 0, 0, 'message' FROM turns CROSS JOIN LATERAL (VALUES ({_B}, width),"
    f" ({_E}, {AGENTS})) AS o(owner_id, gap)",
)
_CONVERSATIONS = f"""
INSERT INTO projection.conversations (account_id, conversation_id, inbox_id, contact_id, channel,
    language, priority, status, phase, team_id, agent_id, previous_agent_id, last_answer_agent_id,
    started, assigned, snoozed_until_ns, waiting_since, last_message, last_entry, last_answer, rating,
    last_seq, version, created_ns, updated_ns, labels, unanswered, unanswered_ns)
SELECT {_A}, {_C}, CASE WHEN is_rare THEN {_sql_id("f", "1")} ELSE {_sql_id("f", "0")} END, {_B},
    CASE WHEN is_rare THEN '{RARE_CHANNEL}' ELSE 'web' END, '', 'normal',
    CASE WHEN is_live THEN 'open' ELSE 'resolved' END, CASE WHEN is_live THEN 'active' ELSE 'resolved' END,
    {_sql_id("9", "talk %% 5")}, CASE WHEN is_live THEN {_E} END, CASE WHEN is_live THEN NULL ELSE {_E} END,
    NULL, first, 0, 0, CASE WHEN is_live THEN first ELSE 0 END, last, last, 0, 0, {_PER_TALK}, last,
    1700000000000000000 + first * 1000000, 1700000000000000000 + last * 1000000,
    CASE WHEN is_rare THEN ARRAY['{LABEL}'] ELSE '{{}}'::text[] END,
    '{{}}', '{{}}'
FROM (SELECT talk, talk >= %(over_talks)s AND talk %% {AGENTS} = 0 AS is_rare, talk >= %(over_talks)s AS is_live,
        CASE WHEN talk >= %(over_talks)s THEN %(over)s + talk - %(over_talks)s + 1
            ELSE talk / %(block)s * %(block_messages)s + talk %% %(block)s + 1 END AS first,
        CASE WHEN talk >= %(over_talks)s THEN %(over)s + talk - %(over_talks)s + 1 + %(live_talks)s * {_PER_TALK - 1}
            ELSE talk / %(block)s * %(block_messages)s + talk %% %(block)s + 1 + %(block)s * {_PER_TALK - 1} END
            AS last
    FROM generate_series(0::bigint, %(over_talks)s + %(live_talks)s - 1) talk) placed
"""
_REST = (
    (
        "INSERT INTO projection.conversation_tallies"
        " SELECT account_id, inbox_id, '00000000-0000-0000-0000-000000000000'::uuid, status,"
        " agent_id IS NOT NULL, count(*), 0 FROM projection.conversations GROUP BY 1, 2, 3, 4, 5"
    ),
    "INSERT INTO projection.checkpoint (shard, position, epoch) VALUES (%(shard)s, %(total)s, 'bench')",
)


def over(total: int) -> int:
    """Messages of conversations that are over: whole blocks."""
    block = _BLOCK * _PER_TALK
    return max(0, total - LIVE) // block * block


# Of the tables with a row a message: the statements that take their indexes away, and those that bring them back.
_INDEXES = """
SELECT CASE WHEN c.oid IS NULL THEN format('DROP INDEX %s', i.indexrelid::regclass)
        ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', i.indrelid::regclass, c.conname) END,
    CASE WHEN c.oid IS NULL THEN replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ')
        ELSE format('ALTER TABLE %s ADD CONSTRAINT %I %s', i.indrelid::regclass, c.conname, pg_get_constraintdef(c.oid)) END
FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid
WHERE i.indrelid IN ('truth.events'::regclass, 'truth.message_ids'::regclass, 'projection.messages'::regclass,
    'projection.entries'::regclass)
"""


# Nobody will need these rows after a power loss: written once instead of twice, and no checkpoints meanwhile. Nor does
# anything change any more that would have to be cleaned up while answers are timed.
_UNLOGGED = """
SELECT format('ALTER TABLE %s SET UNLOGGED, SET (autovacuum_enabled = off)', c.oid::regclass)
FROM pg_class c WHERE c.relkind = 'r' AND (c.oid IN (SELECT inhrelid FROM pg_inherits
    WHERE inhparent = 'truth.events'::regclass) OR c.oid IN ('truth.message_ids'::regclass,
    'projection.messages'::regclass, 'projection.entries'::regclass, 'projection.conversations'::regclass))
"""


def fill(url: str, total: int) -> int:
    """Make about `total` stored messages; how many they are. Indexes are built when the rows are there, as a restored
    database has them: to visit their pages row by row takes most of an hour for ten million."""
    done = over(total)
    values: dict[str, int | str] = {
        "over": done,
        "over_talks": done // _PER_TALK,
        "live_talks": AGENTS * TALKS_EACH,
        "block": _BLOCK,
        "block_messages": _BLOCK * _PER_TALK,
        "shard": SHARD,
        "total": done + LIVE,
    }
    with _connected(url) as connection:
        connection.execute("SELECT truth.make_events_partition(now())")
        for make in connection.execute(_UNLOGGED).fetchall():
            connection.execute(make[0].encode())
        indexes = connection.execute(_INDEXES).fetchall()
        for drop, _ in indexes:
            connection.execute(drop.encode())
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(lambda statement: _insert(url, statement, values), _STATEMENTS))
        for _, make in indexes:
            connection.execute(make.encode())
        connection.execute(_CONVERSATIONS.encode(), values)
        for statement in _REST:
            connection.execute(statement.encode(), values if "%(" in statement else None)
        connection.execute("VACUUM ANALYZE")
    return done + LIVE


def _connected(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("SET synchronous_commit = off")
    connection.execute("SET work_mem = '256MB'")
    connection.execute("SET maintenance_work_mem = '512MB'")
    return connection


def _insert(url: str, statement: str, values: Mapping[str, int | str]) -> None:
    total = int(values["total"])
    with _connected(url) as connection:
        for first in range(1, total + 1, _STEP):
            last = min(total, first + _STEP - 1)
            connection.execute(statement.encode(), {**values, "first": first, "last": last})
