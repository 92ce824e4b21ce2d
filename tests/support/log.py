"""A log for tests: entries that say their key and number, a running group commit, reading to the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from shared.bus import (
    Batch,
    Bus,
    CommitSettings,
    Delivery,
    Entry,
    GroupCommit,
    Reader,
    Start,
    StreamSettings,
)

STREAM = StreamSettings(max_bytes=256 * 1024**2)
PATIENCE_S = 60.0
"""How long a test waits for what must come: on a busy machine, whose disk may be slow, that says nothing of the code."""

_PATIENT = CommitSettings(ack_timeout_s=PATIENCE_S)


@asynccontextmanager
async def running(
    bus: Bus, shard: str, settings: CommitSettings | None = None
) -> AsyncIterator[GroupCommit]:
    """A group commit whose loop runs inside the block and ends with it.

    Without settings it takes a server that is slow for one that is slow, so that nothing is appended twice.
    """
    commit = GroupCommit(bus, shard, settings or _PATIENT)
    task = asyncio.create_task(commit.run())
    try:
        yield commit
    finally:
        task.cancel()
        _, still = await asyncio.wait({task}, timeout=PATIENCE_S)
        assert not still, "the group commit does not end"


async def until(condition: Callable[[], bool], *, timeout_s: float = PATIENCE_S) -> None:
    """Wait for a state; fails the test when it does not come."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "the state did not come"
        await asyncio.sleep(0.01)


async def settled() -> None:
    """Let every task run that can, on doubles of servers that answer at once. For a promise that somebody still waits:
    nothing moves then, so there is no state to wait for."""
    for _ in range(5):
        await asyncio.sleep(0)


async def until_none(
    look: Callable[[], Awaitable[Sequence[object]]], *, timeout_s: float = PATIENCE_S
) -> None:
    """Wait until what has to be asked for is gone."""
    end = time.monotonic() + timeout_s
    while await look():
        assert time.monotonic() < end, "it did not go"
        await asyncio.sleep(0.01)


async def read_to_end(reader: Reader, *, timeout_s: float = PATIENCE_S) -> list[Delivery]:
    """Everything that a reader hands over until it says that this was all."""
    found: list[Delivery] = []
    async with asyncio.timeout(timeout_s):
        async for batch in reader.batches():
            found.extend(batch.deliveries)
            if batch.at_end:
                return found
    raise AssertionError("a reader never ends by itself")


def entry(shard: str, payload: bytes, *, key: str = "k", family: str = "message") -> Entry:
    """One entry for the log of `shard`."""
    return Entry(subject=f"nd.ev.{shard}.{family}", payload=payload, key=key)


def numbered(shard: str, key: str, number: int) -> Entry:
    """An entry that says its key and its number within the key."""
    return entry(shard, f"{key} {number} {'x' * 200}".encode(), key=key)


def key_and_number(delivery: Delivery) -> tuple[str, int]:
    """What `numbered` wrote."""
    key, number, _ = delivery.payload.decode().split(" ", 2)
    return key, int(number)


async def whole_log(bus: Bus, shard: str) -> list[Delivery]:
    """The log from its first entry to its end."""
    return await read_to_end(Reader(bus, shard, Start()))


async def fill(
    commit: GroupCommit, shard: str, *, keys: int, each: int
) -> dict[tuple[str, int], int]:
    """Append `each` numbered entries for each key, all keys at once; the position of every entry."""
    positions: dict[tuple[str, int], int] = {}

    async def write(key: str) -> None:
        for number in range(each):
            found = await commit.append([numbered(shard, key, number)], timeout_s=PATIENCE_S)
            positions[(key, number)] = found[0]

    await asyncio.gather(*(write(f"k{i}") for i in range(keys)))
    return positions


class Follower:
    """A reader in a task of its own that keeps what it was handed."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.deliveries: list[Delivery] = []
        self.batches: list[Batch] = []
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for batch in self.reader.batches():
            self.batches.append(batch)
            self.deliveries.extend(batch.deliveries)

    @property
    def positions(self) -> list[int]:
        return [each.position for each in self.deliveries]

    @property
    def is_at_end(self) -> bool:
        return bool(self.batches) and self.batches[-1].at_end

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task}, timeout=PATIENCE_S)
