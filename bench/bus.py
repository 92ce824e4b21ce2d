"""Durable appends and reads through the bus, with the raw server measured beside them in the same run.

`python -m bench.bus [--url URL]`; without a URL it starts a nats-server of its own on a temporary
directory, with fsync on every write.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import uvloop

from deploy.dev.nats_server import NatsServer, NatsSettings
from shared.bus import (
    Bus,
    BusSettings,
    CommitSettings,
    Entry,
    GroupCommit,
    Reader,
    Start,
    StreamSettings,
    connect,
    ensure_stream,
    stream_name,
)
from shared.bus.api import api_request

_PAYLOAD = bytes(300)
_SENDERS = (1, 4, 8, 12, 16, 32, 64, 256, 1000, 4000)
_SECONDS = 1.5

Append = Callable[[int], Awaitable[object]]


async def _rate(senders: int, append: Append) -> tuple[float, list[float]]:
    """Appends a second with `senders` at once, and the sorted seconds that each took."""
    end = time.perf_counter() + _SECONDS
    taken: list[float] = []

    async def send(sender: int) -> None:
        while (started := time.perf_counter()) < end:
            await append(sender)
            taken.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(send(sender) for sender in range(senders)))
    return len(taken) / (time.perf_counter() - started), sorted(taken)


def _line(name: str, senders: int, rate: float, taken: list[float]) -> str:
    p50, p99 = (taken[int(len(taken) * part)] * 1000 for part in (0.5, 0.99))
    return f"{name:<28}{senders:>8}{rate:>12,.0f}{p50:>10.2f}{p99:>10.2f}"


async def _raw_publishes(bus: Bus, shard: str) -> None:
    """One request a message, as a client without group commit does it."""
    subject = f"nd.ev.{shard}.message"
    for senders in (1, 8, 64, 1000):
        rate, taken = await _rate(senders, lambda _: bus.client.request(subject, _PAYLOAD, 30))
        print(_line("raw publish", senders, rate, taken))


async def _group_commit(bus: Bus, shard: str, name: str, settings: CommitSettings) -> None:
    commit = GroupCommit(bus, shard, settings)
    task = asyncio.create_task(commit.run())
    entries = [Entry(f"nd.ev.{shard}.message", _PAYLOAD, f"k{i}") for i in range(max(_SENDERS))]
    for senders in _SENDERS:
        rate, taken = await _rate(
            senders, lambda sender: commit.append([entries[sender]], timeout_s=30)
        )
        print(_line(name, senders, rate, taken))
    await commit.drain(10)
    task.cancel()
    await asyncio.wait({task}, timeout=5)


async def _read(bus: Bus, shard: str) -> None:
    started = time.perf_counter()
    count = 0
    async for batch in Reader(bus, shard, Start()).batches():
        count += len(batch.deliveries)
        if batch.at_end:
            break
    seconds = time.perf_counter() - started
    print(f"read {count:,} entries of {len(_PAYLOAD)} B: {count / seconds:,.0f} a second")


async def _measure(url: str) -> None:
    bus = await connect(BusSettings(url=url, name="bench"))
    shard = f"bench{uuid.uuid4().hex[:8]}"
    await ensure_stream(bus, shard, StreamSettings(max_bytes=4 * 1024**3))
    print(f"{'way':<28}{'senders':>8}{'entries/s':>12}{'p50 ms':>10}{'p99 ms':>10}")
    await _raw_publishes(bus, shard)
    await _group_commit(bus, shard, "group commit", CommitSettings())
    await _group_commit(bus, shard, "always batches", CommitSettings(small_group_entries=1))
    await _read(bus, shard)
    await api_request(bus, f"STREAM.DELETE.{stream_name(shard)}")
    await bus.close()


def _own_server() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="nightdesk-bench-") as name:
        directory = Path(name)
        server = NatsServer(NatsSettings(directory=directory, log=directory / "nats-server.log"))
        server.start()
        try:
            yield server.url
        finally:
            server.kill()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a nats-server with sync_interval always")
    chosen = parser.parse_args().url
    for url in [chosen] if chosen else _own_server():
        uvloop.run(_measure(url))


if __name__ == "__main__":
    main()
