"""Dispatch as it is written by hand on PostgreSQL, the figure beside the dispatcher's: `FOR UPDATE SKIP LOCKED`.

A table of waiting conversations, one of agents with their skills; several connections, each in a loop on the
server: the next conversation that this agent may take, an owner, a row that says so, COMMIT. No round trips, no
scores, no explanation: more is asked of the dispatcher.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec
import psycopg

_SECONDS = 3.0
_WORKERS = 8

_SCHEMA = """
DROP SCHEMA IF EXISTS byhand CASCADE;
CREATE SCHEMA byhand;
CREATE TABLE byhand.waiting (
    id bigint PRIMARY KEY, skill int NOT NULL, priority int NOT NULL, agent_id int);
CREATE INDEX ON byhand.waiting (priority, id) WHERE agent_id IS NULL;
CREATE INDEX ON byhand.waiting (skill, priority, id) WHERE agent_id IS NULL;
CREATE TABLE byhand.agents (
    id int PRIMARY KEY, skills int[] NOT NULL, capacity int NOT NULL, held int NOT NULL DEFAULT 0);
CREATE TABLE byhand.assignments (
    conversation_id bigint PRIMARY KEY, agent_id int NOT NULL, at timestamptz NOT NULL);
CREATE PROCEDURE byhand.work(first int, last int, seconds float, most int) LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz := clock_timestamp() + make_interval(secs => seconds);
    who byhand.agents;
    taken bigint[];
BEGIN
    LOOP
        FOR number IN first .. last LOOP
            EXIT WHEN clock_timestamp() >= until;
            SELECT * INTO who FROM byhand.agents WHERE id = number AND held < capacity FOR UPDATE;
            CONTINUE WHEN NOT FOUND;
            WITH next AS (
                SELECT id FROM byhand.waiting
                WHERE agent_id IS NULL AND skill = ANY (who.skills)
                ORDER BY priority, id LIMIT least(most, who.capacity - who.held)
                FOR UPDATE SKIP LOCKED
            ), given AS (
                UPDATE byhand.waiting SET agent_id = number
                FROM next WHERE waiting.id = next.id RETURNING waiting.id
            ), kept AS (
                INSERT INTO byhand.assignments SELECT id, number, clock_timestamp() FROM given
                RETURNING conversation_id
            ) SELECT array_agg(conversation_id) INTO taken FROM kept;
            UPDATE byhand.agents SET held = held + coalesce(cardinality(taken), 0)
            WHERE id = number;
            COMMIT;
        END LOOP;
        EXIT WHEN clock_timestamp() >= until;
    END LOOP;
END $$;
"""


class ByHand(msgspec.Struct, frozen=True, kw_only=True):
    """Assignments a second, and what was wrong with them."""

    per_s: float
    faults: tuple[str, ...] = ()


async def measure_by_hand(
    url: str, *, waiting: int, skills: Sequence[Sequence[int]], capacity: int, most: int = 1
) -> ByHand:
    """`skills`: the numbers of each agent's skills; `most`: assignments in one transaction."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(_SCHEMA)
        await connection.execute(
            "INSERT INTO byhand.waiting SELECT n, n %% %s, 2, NULL FROM generate_series(0, %s) n",
            [1 + max(max(each) for each in skills), waiting - 1],
        )
        async with connection.cursor() as cursor:
            await cursor.executemany(
                "INSERT INTO byhand.agents VALUES (%s, %s, %s)",
                [(n, list(each), capacity) for n, each in enumerate(skills)],
            )
        await connection.execute("VACUUM ANALYZE byhand.waiting")
        await connection.execute("VACUUM ANALYZE byhand.agents")
        began_s = time.perf_counter()
        share = len(skills) // _WORKERS
        await asyncio.gather(
            *(_work(url, n * share, (n + 1) * share - 1, most) for n in range(_WORKERS))
        )
        took_s = time.perf_counter() - began_s
        cursor = await connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE w.agent_id IS DISTINCT FROM a.agent_id)"
            " FROM byhand.assignments a JOIN byhand.waiting w ON w.id = a.conversation_id"
        )
        given, wrong = await cursor.fetchone() or (0, 0)
        await connection.execute("DROP SCHEMA byhand CASCADE")
    faults = (f"{wrong} rows contradict each other",) if wrong else ()
    return ByHand(per_s=given / took_s, faults=faults)


async def _work(url: str, first: int, last: int, most: int) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SET statement_timeout = '60s'")
        await connection.execute("CALL byhand.work(%s, %s, %s, %s)", [first, last, _SECONDS, most])
