"""Single services as processes on the shared servers, and the log that a test writes and reads beside them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import psycopg

from deploy.dev.nats_server import NatsServer
from deploy.dev.service_process import ServiceProcess
from shared import codec
from shared.bus import (
    Bus,
    BusSettings,
    Delivery,
    Entry,
    GroupCommit,
    Reader,
    Start,
    connect,
    digest,
    ensure_stream,
    stream_name,
    stream_state,
)
from shared.errors import OutcomeUnknown, Unavailable
from shared.events import ConversationAssigned, Event
from shared.ids import Position
from shared.subjects import Family, event_subject
from tests.support import desk
from tests.support.log import PATIENCE_S, STREAM, Follower, running, until


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a service needs around it."""

    nats: NatsServer
    database_url: str
    shard: str
    directory: Path

    def environment(self, settings: dict[str, str] | None = None) -> dict[str, str]:
        """The variables a service reads, and further ones."""
        kept = {key: text for key, text in os.environ.items() if not key.startswith("NIGHTDESK_")}
        return {
            **kept,
            "NIGHTDESK_NATS_URL": self.nats.url,
            "NIGHTDESK_NATS_MONITOR_URL": self.nats.monitor_url,
            "NIGHTDESK_DATABASE_URL": self.database_url,
            "NIGHTDESK_MASTER_KEY_FILE": str(self.directory / "no.key"),
            "NIGHTDESK_SHARD": self.shard,
            # The shared PostgreSQL runs without fsync, which production refuses.
            "NIGHTDESK_MODE": "development",
            "NIGHTDESK_STREAM_MAX_BYTES": str(STREAM.max_bytes),
            **(settings or {}),
        }


@contextmanager
def service(
    name: str, around: Surroundings, *, settings: dict[str, str] | None = None
) -> Iterator[ServiceProcess]:
    """A running, ready service; killed at the end."""
    number = len(list(around.directory.glob(f"{name}-*.log")))
    log = around.directory / f"{name}-{number}.log"
    process = ServiceProcess(name, env=around.environment(settings), log=log)
    process.start()
    try:
        wait_ready(process)
        yield process
    finally:
        process.kill()


def wait_ready(process: ServiceProcess, *, timeout_s: float = 90) -> None:
    """Until `/readyz` says yes."""
    end = time.monotonic() + timeout_s
    while (fault := process.why_not_ready()) is not None:
        process.check_alive()
        assert time.monotonic() < end, f"{process.name} is not ready: {fault}"
        time.sleep(0.02)


class TestLog:
    """The log as a test sees it: append facts, wait for what services append."""

    __test__ = False

    def __init__(self, bus: Bus, shard: str, commit: GroupCommit, follower: Follower) -> None:
        self.bus = bus
        self.shard = shard
        self._commit = commit
        self._follower = follower
        self._decoded: list[tuple[Position, Event]] = []

    async def append(self, family: Family, *events: Event) -> list[Position]:
        """Append in order; the positions."""
        subject = event_subject(self.shard, family)
        entries = [
            Entry(subject=subject, payload=codec.encode_event(event), key="one") for event in events
        ]
        positions: list[Position] = []
        for start in range(0, len(entries), 500):
            positions += await self._commit.append(
                entries[start : start + 500], timeout_s=PATIENCE_S
            )
        return positions

    async def append_mixed(self, events: Sequence[tuple[Family, Event]]) -> Position:
        """Append events of several families in order, some at a time; the last position."""
        entries = [
            Entry(
                subject=event_subject(self.shard, family),
                payload=codec.encode_event(event),
                key="one",
            )
            for family, event in events
        ]
        last = 0
        for start in range(0, len(entries), 20):
            found = await self._commit.append(entries[start : start + 20], timeout_s=PATIENCE_S)
            last = found[-1]
        return last

    def events(self, *kinds: type) -> list[tuple[Position, Event]]:
        """What was read so far, in order, of these types."""
        for delivery in self._follower.deliveries[len(self._decoded) :]:
            self._decoded.append((delivery.position, codec.decode_event(delivery.payload)))
        return [(at, event) for at, event in self._decoded if not kinds or isinstance(event, kinds)]

    @property
    def deliveries(self) -> list[Delivery]:
        """What was read so far."""
        return self._follower.deliveries

    @property
    def now_ns(self) -> int:
        """The log's time as last told, 0 before the end was reached."""
        batches = self._follower.batches
        return batches[-1].now_ns if batches and batches[-1].at_end else 0

    async def pass_time(self, seconds: float) -> None:
        """Wait until that much of the log's time is over; for promises that something does not happen."""
        await until(lambda: self.now_ns > 0)
        end_ns = self.now_ns + int(seconds * 1e9)
        await until(lambda: self.now_ns >= end_ns, timeout_s=seconds + PATIENCE_S)

    async def until(
        self, count: int, *kinds: type, timeout_s: float = PATIENCE_S
    ) -> Sequence[Event]:
        """Wait for that many events of these types."""
        await until(lambda: len(self.events(*kinds)) >= count, timeout_s=timeout_s)
        return [event for _, event in self.events(*kinds)]


@asynccontextmanager
async def open_test_log(nats: NatsServer, shard: str) -> AsyncIterator[TestLog]:
    """A log with its stream, a writer and a follower."""
    bus = await connect(BusSettings(url=nats.url, name="test", request_timeout_s=PATIENCE_S))
    try:
        await ensure_stream(bus, shard, STREAM)
        follower = Follower(Reader(bus, shard, Start()))
        async with running(bus, shard) as commit:
            yield TestLog(bus, shard, commit, follower)
        await follower.stop()
    finally:
        await bus.close()


async def store_and_purge(log: TestLog, around: Surroundings) -> None:
    """Do what store and retention do: copy the log to `truth.events`, then empty the stream up to the last routing event."""
    state = await stream_state(log.bus, log.shard)
    await until(lambda: len(log.deliveries) >= state.last)
    deliveries = log.deliveries
    connection = await psycopg.AsyncConnection.connect(around.database_url, autocommit=True)
    async with connection:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS truth.events_of_test PARTITION OF truth.events DEFAULT"
        )
        for each in deliveries:
            await connection.execute(
                "INSERT INTO truth.events (shard, position, at, at_ns, family, subject, payload, digest,"
                " account_id) VALUES (%s, %s, now(), %s, %s, %s, %s, %s, %s)",
                [
                    log.shard,
                    each.position,
                    each.at_ns,
                    each.subject.rsplit(".", 1)[1],
                    each.subject,
                    each.payload,
                    digest(each),
                    codec.decode_envelope(each.payload).account_id or None,
                ],
            )
    routing = event_subject(log.shard, "routing")
    last = max(each.position for each in deliveries if each.subject == routing)
    body = b'{"seq":%d}' % last
    raw = await log.bus.request(f"$JS.API.STREAM.PURGE.{stream_name(log.shard)}", body)
    assert b'"success":true' in raw


@asynccontextmanager
async def acknowledging(log: TestLog, *names: str) -> AsyncIterator[None]:
    """While the block runs, the devices of these agents acknowledge every assignment at once."""
    task = asyncio.create_task(_acknowledge(log, names))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=5)


async def _acknowledge(log: TestLog, names: Sequence[str]) -> None:
    seen = 0
    while True:
        found = log.events(ConversationAssigned)
        for position, event in found[seen:]:
            assert isinstance(event, ConversationAssigned)
            name = next(n for n in names if desk.agent_id(n) == event.agent_id)
            with contextlib.suppress(Unavailable, OutcomeUnknown):
                await log.append("receipt", desk.received(name, position))
        seen = len(found)
        await asyncio.sleep(0.005)
