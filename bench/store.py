"""How fast the log becomes rows: the real store on a real log, beside raw COPY of the very same rows.

`python -m bench.store [--events N] [--conversations N]`; starts a durable nats-server and PostgreSQL of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
import time
import uuid
from pathlib import Path

import psutil
import psycopg
import uvloop

from deploy.dev.nats_server import NatsServer, NatsSettings
from deploy.dev.postgres_server import PostgresServer, PostgresSettings
from services.store.app import spare_collector
from services.store.config import Config
from services.store.fold import State
from services.store.handlers.batch import Terms, prepare
from services.store.handlers.follow import Follower
from services.store.handlers.hints import Hints
from services.store.handlers.place import Place
from services.store.handlers.progress import Progress
from services.store.tables.write import Piece, make_partitions, write_pieces
from shared import bus, events
from shared.clock import new_id
from shared.codec import encode_event
from shared.database import Connection, connect, migrate, open_pool
from shared.events import Author
from shared.ids import AccountId, AgentId, ContactId, ConversationId, InboxId, MessageId
from shared.subjects import Family, event_subject

_SHARD = "bench"
_ACCOUNT = AccountId(str(uuid.uuid4()))
_WHY = events.Explanation(trigger="queue", policy_version=0, state_position=0)


def _begin(conversations: int) -> list[tuple[Family, events.Event]]:
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


def _message(start: events.ConversationStarted, agent: events.ConversationAssigned) -> events.Event:
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
    commit = bus.GroupCommit(log, _SHARD, bus.CommitSettings())
    running = asyncio.create_task(commit.run())
    begin = _begin(conversations)
    starts = [e for _, e in begin if isinstance(e, events.ConversationStarted)]
    owners = [e for _, e in begin if isinstance(e, events.ConversationAssigned)]
    pairs = list(zip(starts, owners, strict=True))
    messages: list[tuple[Family, events.Event]] = [
        ("message", _message(*random.choice(pairs))) for _ in range(count)
    ]
    for part in (begin, messages):
        for index in range(0, len(part), 1000):
            entries = [
                bus.Entry(
                    subject=event_subject(_SHARD, family), payload=encode_event(event), key="bench"
                )
                for family, event in part[index : index + 1000]
            ]
            await commit.append(entries, timeout_s=30)
    running.cancel()
    return len(begin)


async def _store(log: bus.Bus, url: str, first: int, last: int) -> float:
    """Events a second from the first message to the commit of the last."""
    pool = await open_pool(url, name="bench", size=1)
    progress = Progress()
    hints = Hints(log, pool, shard=_SHARD, progress=progress)
    place = Place(bus=log, database_url=url, shard=_SHARD, config=Config())
    follower = Follower(place, progress=progress, hints=hints)
    stopping = asyncio.Event()
    running = asyncio.create_task(follower.run(stopping))
    await progress.reach(first + 1, 600)
    begun_at, begun = time.perf_counter(), progress.position
    await progress.reach(last, 600)
    rate = (last - begun) / (time.perf_counter() - begun_at)
    stopping.set()
    await running
    await pool.close()
    return rate


async def _raw(log: bus.Bus, url: str, first: int, last: int) -> tuple[float, float, float]:
    """Folding alone, then COPY of what was folded alone, and of the event rows alone: events a second each."""
    connection = await connect(url, name="bench")
    await make_partitions(connection, [time.time_ns()])
    state, batches, folding = State(), [], 0.0
    reader = bus.Reader(log, _SHARD, bus.Start(), bus.ReaderSettings(batch_entries=2000))
    async for batch in reader.batches():
        if batch.deliveries:
            started = time.perf_counter()
            prepared = await prepare(connection, state, batch.deliveries, Terms(shard=_SHARD))
            folding += time.perf_counter() - started if prepared.first > first else 0.0
            batches.append(prepared.pieces)
        if reader.position >= last:
            break
    copying = await _copy(connection, batches)
    await connection.execute("TRUNCATE truth.events")
    only_events = [[x for x in pieces if x.table == "truth.events"] for pieces in batches]
    events_alone = await _copy(connection, only_events)
    await connection.close()
    return (last - first) / folding, last / copying, last / events_alone


async def _copy(connection: Connection, batches: list[list[Piece]]) -> float:
    started = time.perf_counter()
    for pieces in batches:
        async with connection.transaction():
            await write_pieces(connection, pieces)
    return time.perf_counter() - started


def _cpu_s(postgres: PostgresServer) -> float:
    """Processor time of all its processes so far; what a busy machine does not change."""
    main = psutil.Process(postgres.pid)
    times = [process.cpu_times() for process in main.children(recursive=True)]
    return float(sum(taken.user + taken.system for taken in times))


async def _measure(nats: NatsServer, postgres: PostgresServer, count: int, talks: int) -> None:
    spare_collector()
    log = await bus.connect(bus.BusSettings(url=nats.url))
    await bus.ensure_stream(log, _SHARD, bus.StreamSettings())
    first = await _fill(log, count, talks)
    last = first + count
    url = postgres.url()
    await migrate(url)
    before = (time.process_time(), _cpu_s(postgres))
    rate = await _store(log, url, first, last)
    python_us, server_us = (
        (now - then) / last * 1e6
        for now, then in zip((time.process_time(), _cpu_s(postgres)), before, strict=True)
    )
    print(f"{'store, log to commit':<40}{rate:>12,.0f} message events/s")
    print(f"{'  of processor time an event':<40}{python_us:>12.1f} µs Python,", end="")
    print(f" {server_us:.1f} µs PostgreSQL")
    async with await psycopg.AsyncConnection.connect(
        postgres.url("postgres", superuser=True), autocommit=True
    ) as connection:
        await connection.execute("CREATE DATABASE raw OWNER nightdesk")
    url = postgres.url("raw")
    await migrate(url)
    folding, copying, alone = await _raw(log, url, first, last)
    print(f"{'fold and encode alone (Python)':<40}{folding:>12,.0f} message events/s")
    print(f"{'raw COPY of all the same rows':<40}{copying:>12,.0f} events/s")
    print(f"{'raw COPY of the event rows alone':<40}{alone:>12,.0f} events/s")
    await log.close()


def main() -> None:
    """Start the servers and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--conversations", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nightdesk-bench-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        nats = NatsServer(NatsSettings(directory=directory / "nats", log=directory / "nats.log"))
        (directory / "nats").mkdir()
        (directory / "postgres").mkdir(mode=0o711)
        postgres = PostgresServer(
            PostgresSettings(directory=directory / "postgres", log=directory / "postgres.log")
        )
        nats.start()
        postgres.start()
        try:
            uvloop.run(_measure(nats, postgres, options.events, options.conversations))
        finally:
            postgres.kill()
            nats.kill()


if __name__ == "__main__":
    main()
