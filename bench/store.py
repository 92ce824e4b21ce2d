"""B2: how fast the log becomes rows, by the real store from a real log to the commit of all projections. Beside it
raw binary COPY of every row that it writes, in the same transactions, into the same tables; a row that replaces one is
deleted by its key first, because the key admits no second.

`python -m bench.store [--quick]`; starts a durable nats-server and PostgreSQL of its own.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress

import psutil
import psycopg
import uvloop
from rich.console import Console

from bench import report
from bench.figures import Beside, Faults, Measured, Row, Scale
from bench.growth import servers
from deploy.dev.nats_server import NatsServer
from deploy.dev.postgres_server import PostgresServer
from services.store.app import spare_collector
from services.store.config import Config
from services.store.fold import State
from services.store.handlers.batch import Folding, Terms
from services.store.handlers.follow import Follower
from services.store.handlers.hints import Hints
from services.store.handlers.place import Place
from services.store.handlers.progress import Progress
from services.store.tables.write import Piece, make_partitions, write_pieces
from shared import bus, events
from shared.clock import new_id
from shared.codec import encode_event
from shared.database import connect, migrate, open_pool
from shared.events import Author
from shared.ids import AccountId, AgentId, ContactId, ConversationId, InboxId, MessageId
from shared.subjects import Family, event_subject
from shared.weight import Share

SHARD = "bench"
_ACCOUNT = AccountId(str(uuid.uuid4()))
_LONGEST_S = 600
_REACH = 40_000
_WHY = events.Explanation(trigger="queue", policy_version=0, state_position=0)


def begin(conversations: int) -> list[tuple[Family, events.Event]]:
    """Conversations that have an owner, so that each message makes two entries."""
    made: list[tuple[Family, events.Event]] = []
    agents = [AgentId(str(uuid.uuid4())) for _ in range(50)]
    for _ in range(conversations):
        conversation_id = ConversationId(new_id())
        contact_id = ContactId(new_id())
        start = events.ConversationStarted(
            account_id=_ACCOUNT,
            conversation_id=conversation_id,
            inbox_id=InboxId(_ACCOUNT),
            contact_id=contact_id,
            by=Author(kind="visitor", id=contact_id),
        )
        owner = events.ConversationAssigned(
            account_id=_ACCOUNT,
            writer="bench",
            conversation_id=conversation_id,
            agent_id=random.choice(agents),
            team_id=None,
            why=_WHY,
        )
        made += [("conversation", start), ("routing", owner)]
    return made


def message(start: events.ConversationStarted, agent: events.ConversationAssigned) -> events.Event:
    by = Author(kind="agent", id=agent.agent_id) if random.random() < 0.4 else start.by
    return events.MessagePosted(
        account_id=_ACCOUNT,
        conversation_id=start.conversation_id,
        message_id=MessageId(new_id()),
        author=by,
        content_type="text",
        body=os.urandom(160),
        fingerprint=os.urandom(32),
        seen_up_to=10**9,
    )


async def _fill(log: bus.Bus, count: int, conversations: int) -> int:
    """Append it all; the position of the first message."""
    commit = bus.GroupCommit(log, SHARD, bus.CommitSettings())
    running = asyncio.create_task(commit.run())
    prelude = begin(conversations)
    starts = [e for _, e in prelude if isinstance(e, events.ConversationStarted)]
    owners = [e for _, e in prelude if isinstance(e, events.ConversationAssigned)]
    pairs = list(zip(starts, owners, strict=True))
    messages: list[tuple[Family, events.Event]] = [
        ("message", message(*random.choice(pairs))) for _ in range(count)
    ]
    for part in (prelude, messages):
        for index in range(0, len(part), 1000):
            entries = [
                bus.Entry(
                    subject=event_subject(SHARD, family), payload=encode_event(event), key="bench"
                )
                for family, event in part[index : index + 1000]
            ]
            await commit.append(entries, timeout_s=30)
    running.cancel()
    return len(prelude)


async def _store(
    log: bus.Bus, url: str, first: int, last: int, *, used_s: Callable[[], dict[str, float]]
) -> tuple[float, dict[str, float]]:
    """Events a second from the first message to the commit of the last, and what was used at that moment: before the
    processes of its connections end and take what they used along."""
    pool = await open_pool(url, name="bench", size=1)
    progress = Progress()
    hints = Hints(log, pool, shard=SHARD, progress=progress)
    place = Place(bus=log, database_url=url, shard=SHARD, config=Config(), share=Share())
    follower = Follower(place, progress=progress, hints=hints)
    stopping = asyncio.Event()
    running = asyncio.create_task(follower.run(stopping))
    await progress.reach(first + 1, _LONGEST_S)
    begun_at, begun = time.perf_counter(), progress.position
    await progress.reach(last, _LONGEST_S)
    rate = (last - begun) / (time.perf_counter() - begun_at)
    used = used_s()
    stopping.set()
    await running
    await pool.close()
    return rate, used


async def _fold(log: bus.Bus, url: str, last: int) -> list[list[Piece]]:
    """Every row that the store writes, encoded, by batches as it makes them when it is behind."""
    connection = await connect(url, name="bench")
    state, batches = State(), []
    settings = bus.ReaderSettings(batch_entries=Config().batch_entries)
    folding = Folding(connection, state, Terms(shard=SHARD))
    async for batch in bus.Reader(log, SHARD, bus.Start(), settings).batches():
        if batch.deliveries:
            await folding.add(batch.deliveries)
        is_last = batch.deliveries and batch.deliveries[-1].position >= last
        if folding.count >= Config().batch_entries or is_last:
            batches.append((await folding.finish()).pieces)
            folding = Folding(connection, state, Terms(shard=SHARD))
        if is_last:
            break
    await connection.close()
    return batches


async def _raw(url: str, batches: list[list[Piece]], last: int) -> float:
    """Events a second whose rows are copied."""
    connection = await connect(url, name="bench")
    await make_partitions(connection, [time.time_ns()])
    began = time.perf_counter()
    for pieces in batches:
        async with connection.transaction():
            await write_pieces(connection, pieces)
    rate = last / (time.perf_counter() - began)
    await connection.close()
    return rate


async def _faults(url: str, count: int, last: int) -> Faults:
    """What is missing, there twice, or numbered out of the log's order."""
    connection = await connect(url, name="bench", statement_timeout_s=_LONGEST_S)
    found = await connection.execute(
        "SELECT (SELECT count(*) FROM truth.events), count(*), count(DISTINCT message_id),"
        " count(*) FILTER (WHERE seq <> place) FROM (SELECT message_id, seq, row_number() OVER"
        " (PARTITION BY conversation_id ORDER BY position) AS place FROM messages) placed"
    )
    events_stored, rows, distinct, misplaced = (await found.fetchall())[0]
    await connection.close()
    return Faults(
        lost=abs(last - events_stored) + max(0, count - distinct),
        doubled=rows - distinct,
        disordered=misplaced,
    )


def cpu_s(server: PostgresServer | NatsServer) -> float:
    """Processor time of all its processes so far, those that ended too; what a busy machine does not change."""
    main = psutil.Process(server.pid)
    times = main.cpu_times()
    used = times.user + times.system + times.children_user + times.children_system
    for process in main.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            running = process.cpu_times()
            used += running.user + running.system
    return float(used)


class _Turns:
    """Runs of ours and of raw COPY in turn, each into an empty database."""

    def __init__(self, nats: NatsServer, postgres: PostgresServer) -> None:
        self._nats = nats
        self._postgres = postgres
        self.ours: list[float] = []
        self.raw: list[float] = []
        self.faults = Faults()
        self.costs: dict[str, float] = {}

    async def _database(self, name: str) -> str:
        admin = self._postgres.url("postgres", superuser=True)
        async with await psycopg.AsyncConnection.connect(admin, autocommit=True) as connection:
            await connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
            await connection.execute(f"CREATE DATABASE {name} OWNER nightdesk".encode())
        url = self._postgres.url(name)
        await migrate(url)
        return url

    def _used_s(self) -> dict[str, float]:
        return {
            "store": time.process_time(),
            "postgres": cpu_s(self._postgres),
            "nats": cpu_s(self._nats),
        }

    async def run(self, log: bus.Bus, count: int, first: int, runs: int) -> None:
        """All of them."""
        last = first + count
        batches = await _fold(log, await self._database("fold"), last)
        for _ in range(runs):
            url = await self._database("ours")
            before = self._used_s()
            rate, after = await _store(log, url, first, last, used_s=self._used_s)
            self.ours.append(rate)
            self.costs = {name: (used - before[name]) / last * 1e6 for name, used in after.items()}
            self.faults = self.faults.plus(await _faults(url, count, last))
            self.raw.append(await _raw(await self._database("raw"), batches, last))


async def _measure(nats: NatsServer, postgres: PostgresServer, scale: Scale) -> Measured:
    spare_collector()
    log = await bus.connect(bus.BusSettings(url=nats.url))
    await bus.ensure_stream(log, SHARD, bus.StreamSettings())
    count, talks = scale.of(150_000, 20_000), scale.of(2000, 500)
    first = await _fill(log, count, talks)
    turns = _Turns(nats, postgres)
    await turns.run(log, count, first, scale.runs)
    await log.close()
    row = Row(
        figure="B2",
        what=f"log to all projections, {talks:,} conversations",
        unit="events/s",
        ours=turns.ours,
        reach=_REACH,
        beside=[Beside(what="raw COPY of every row", runs=turns.raw, factor=0.5)],
        faults=turns.faults,
        costs=turns.costs,
    )
    return Measured(rows=[row])


def measure(scale: Scale) -> Measured:
    """B2."""
    with servers() as (nats, postgres):
        return uvloop.run(_measure(nats, postgres, scale))


def main() -> int:
    """Measure and show."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    found = measure(Scale(is_quick="--quick" in sys.argv))
    report.show(found.rows, console)
    return 1 if any(row.is_void for row in found.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
