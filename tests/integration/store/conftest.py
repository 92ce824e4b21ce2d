"""The store on real servers: a log that the test writes, a store process that follows it, and its answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from deploy.dev.nats_server import NatsServer
from services.store.app import serve
from services.store.config import Config
from shared import codec, queries
from shared.config import Shared
from shared.ids import Position
from shared.runtime import Process
from shared.subjects import query_subject
from tests.support.log import PATIENCE_S, STREAM, until
from tests.support.services import Surroundings, TestLog, open_test_log

T = TypeVar("T")


class Asker:
    """Asks the store as a gateway does."""

    def __init__(self, log: TestLog) -> None:
        self.log = log

    async def answer(self, name: str, question: msgspec.Struct) -> queries.Answer:
        """The answer, whatever its status."""
        subject = query_subject(self.log.shard, name)
        raw = await self.log.bus.request(subject, codec.pack(question), timeout_s=PATIENCE_S)
        return codec.unpack(raw, queries.Answer)

    async def ask(self, name: str, question: msgspec.Struct, kind: type[T]) -> T:
        """The result of an answer that must be ok, once the store has come to what is asked about."""
        end = time.monotonic() + PATIENCE_S
        answer = await self.answer(name, question)
        while answer.status == "behind" and time.monotonic() < end:
            answer = await self.answer(name, question)
        assert answer.status == "ok", f"{answer.status}: {answer.reason}"
        return codec.unpack(bytes(answer.result), kind)

    async def until_stored(self, position: Position, *, timeout_s: float = PATIENCE_S) -> str:
        """Wait until the checkpoint is at `position`; the epoch."""
        end = time.monotonic() + timeout_s
        while True:
            answer = await self.answer("heads", queries.ReadHeads(bucket=0, since=position))
            if answer.checkpoint >= position:
                return answer.epoch
            assert time.monotonic() < end, f"the store stays at {answer.checkpoint}"


@asynccontextmanager
async def store_here(around: Surroundings, **settings: int) -> AsyncIterator[None]:
    """The whole store inside the test's own process: for promises that need no kill, without the seconds that a
    process takes to start."""
    shared = Shared(
        nats_url=around.nats.url,
        nats_monitor_url=around.nats.monitor_url,
        database_url=around.database_url,
        master_key_file="",
        shard=around.shard,
        mode="development",
        stream_max_bytes=STREAM.max_bytes,
    )
    process = Process("store", shared, Config(**settings))
    running = asyncio.create_task(serve(process))
    try:
        await until(lambda: running.done() or not process.faults())
        yield
    finally:
        process.stopping.set()
        await asyncio.wait_for(running, PATIENCE_S)


@pytest.fixture
def around(nats_server: NatsServer, database_url: str, shard: str, tmp_path: Path) -> Surroundings:
    """The shared servers, an own shard and an own database."""
    return Surroundings(
        nats=nats_server, database_url=database_url, shard=shard, directory=tmp_path
    )


@pytest.fixture
async def log(around: Surroundings) -> AsyncIterator[TestLog]:
    """The log of the test's shard."""
    async with open_test_log(around.nats, around.shard) as opened:
        yield opened


@pytest.fixture
def asker(log: TestLog) -> Asker:
    """Asks on the test's shard."""
    return Asker(log)
