"""The servers alone at the work of B4: publish durably, read the log, COPY into a table with commit, publish to a
subscriber. One program with nothing to decide, seal or check, in batches where that is quicker."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import nats
import psycopg
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, StorageType, StreamConfig

_STREAM, _LOG, _LIVE = "RAWWAY", "rawway.log", "rawway.live"
_TIMEOUT_S = 30.0
_AT_ONCE = 500
_IN_FLIGHT = 256
_FLUSH_S = 0.2


class _Way:
    def __init__(
        self, client: Client, connection: psycopg.AsyncConnection[tuple[Any, ...]]
    ) -> None:
        self.client = client
        self.stream = client.jetstream(timeout=_TIMEOUT_S)
        self.connection = connection
        self.arrived = 0
        self.waiting: dict[bytes, asyncio.Future[None]] = {}

    async def hear(self, message: Msg) -> None:
        """The subscriber's end."""
        self.arrived += 1
        waiter = self.waiting.pop(message.data[:8], None)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def store(self) -> None:
        """Log to table to subscriber."""
        reader = await self.stream.pull_subscribe(
            _LOG, config=ConsumerConfig(ack_policy=AckPolicy.NONE), stream=_STREAM
        )
        while True:
            try:
                batch = await reader.fetch(_AT_ONCE, timeout=_FLUSH_S)
            except TimeoutError:
                # Not only the library's own: at the end of its time it raises asyncio's, which ended this task unseen.
                continue
            await self._keep(batch)

    async def _keep(self, batch: list[Msg]) -> None:
        async with (
            self.connection.transaction(),
            self.connection.cursor() as cursor,
            cursor.copy("COPY public.raw_way FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.set_types(["int8", "bytea"])
            for message in batch:
                await copy.write_row((message.metadata.sequence.stream, message.data))
        for message in batch:
            await self.client.publish(_LIVE, message.data)

    async def send(self, first: int, payload: bytes, end: float) -> None:
        """One message after the other, the next when the subscriber has it."""
        number = first
        while time.perf_counter() < end:
            key = number.to_bytes(8, "big")
            number += _IN_FLIGHT
            waiter = self.waiting[key] = asyncio.get_running_loop().create_future()
            await self.stream.publish(_LOG, key + payload)
            async with asyncio.timeout(_TIMEOUT_S):
                await waiter


async def publish_copy_publish(
    nats_urls: str, database_url: str, payload: bytes, *, seconds: float
) -> float:
    """Messages a second from the sender to the subscriber, 256 on their way at any time. The stream has a replica on
    each of the servers."""
    servers = nats_urls.split(",")
    client = await nats.connect(servers)
    connection = await psycopg.AsyncConnection[tuple[Any, ...]].connect(
        database_url, autocommit=True
    )
    way = _Way(client, connection)
    config = StreamConfig(
        name=_STREAM, subjects=[_LOG], storage=StorageType.FILE, num_replicas=len(servers)
    )
    await way.stream.add_stream(config)
    await connection.execute("DROP TABLE IF EXISTS public.raw_way")
    await connection.execute(
        "CREATE TABLE public.raw_way (position bigint PRIMARY KEY, body bytea)"
    )
    await client.subscribe(_LIVE, cb=way.hear)
    storing = asyncio.create_task(way.store())
    try:
        began = time.perf_counter()
        end = began + seconds
        sending = asyncio.gather(*(way.send(n, payload, end) for n in range(_IN_FLIGHT)))
        # Without the one the others would wait in vain, and say nothing of why.
        both: tuple[asyncio.Future[Any], ...] = (storing, sending)
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if storing.done():
            sending.cancel()
            await storing
        await sending
        return way.arrived / (time.perf_counter() - began)
    finally:
        storing.cancel()
        await asyncio.wait({storing}, timeout=5)
        await way.stream.delete_stream(_STREAM)
        await client.close()
        await connection.execute("DROP TABLE IF EXISTS public.raw_way")
        await connection.close()
