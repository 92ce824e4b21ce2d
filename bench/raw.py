"""The raw servers at the same work: what a program does that has nothing but nats-py or psycopg and one message at a
time. On the very servers, with the very settings, that ours runs on."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from typing import Any

import nats
import psycopg
from nats.js.api import StorageType, StreamConfig

_STREAM = "RAW"
_SUBJECT = "raw.message"
_TIMEOUT_S = 30.0


async def nats_one_by_one(url: str, payload: bytes, *, in_flight: int, seconds: float) -> float:
    """Messages a second that nats-py stores with an acknowledgement each."""
    client = await nats.connect(url)
    stream = client.jetstream(timeout=_TIMEOUT_S)
    await stream.add_stream(
        StreamConfig(name=_STREAM, subjects=[_SUBJECT], storage=StorageType.FILE)
    )
    end = time.perf_counter() + seconds
    count = 0

    async def publish() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await stream.publish(_SUBJECT, payload)
            count += 1

    began = time.perf_counter()
    try:
        await asyncio.gather(*(publish() for _ in range(in_flight)))
        return count / (time.perf_counter() - began)
    finally:
        await stream.delete_stream(_STREAM)
        await client.close()


async def insert_one_by_one(url: str, payload: bytes, *, connections: int, seconds: float) -> float:
    """Messages a second that are inserted with a commit each, over so many connections."""
    opened = [
        await psycopg.AsyncConnection.connect(url, autocommit=True) for _ in range(connections)
    ]
    await opened[0].execute("DROP TABLE IF EXISTS public.raw_messages")
    await opened[0].execute(
        "CREATE TABLE public.raw_messages (id uuid PRIMARY KEY, conversation_id uuid NOT NULL,"
        " at timestamptz NOT NULL DEFAULT now(), body bytea NOT NULL)"
    )
    conversation = uuid.uuid4()
    end = time.perf_counter() + seconds
    counter = itertools.count()

    async def insert(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
        while time.perf_counter() < end:
            await connection.execute(
                "INSERT INTO public.raw_messages (id, conversation_id, body) VALUES (%s, %s, %s)",
                (uuid.uuid4(), conversation, payload),
                prepare=True,
            )
            next(counter)

    began = time.perf_counter()
    await asyncio.gather(*(insert(connection) for connection in opened))
    rate = next(counter) / (time.perf_counter() - began)
    await opened[0].execute("DROP TABLE public.raw_messages")
    for connection in opened:
        await connection.close()
    return rate
