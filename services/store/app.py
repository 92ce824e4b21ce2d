"""Wires the store: connections, guards, follower, hints, questions."""

from __future__ import annotations

import asyncio

from services.store.config import Config
from services.store.handlers.follow import Follower
from services.store.handlers.hints import Hints
from services.store.handlers.progress import Progress
from services.store.handlers.questions import Questions
from shared import bus, log
from shared.config import Shared
from shared.database import guard_durability, open_pool
from shared.errors import Refused, Unavailable
from shared.runtime import Process

_RETRY_S = 0.5


async def serve(process: Process[Config]) -> None:
    """Run until the process is asked to stop."""
    shared, config = process.shared, process.config
    connection = await _connected(process)
    if connection is None:
        return
    pool = await open_pool(
        shared.database_url,
        name="store questions",
        size=config.query_connections,
        statement_timeout_s=config.query_timeout_s,
    )
    progress = Progress()
    hints = Hints(connection, pool, shard=shared.shard, progress=progress)
    follower = Follower(
        connection,
        shared.database_url,
        shard=shared.shard,
        config=config,
        progress=progress,
        hints=hints,
    )
    questions = Questions(connection, pool, shard=shared.shard, config=config, progress=progress)
    process.add_check("nats", lambda: None if connection.is_connected else "not connected")
    process.add_check("database", lambda: None if progress.is_known else "not read yet")
    try:
        await questions.open()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follower.run(process.stopping))
            tasks.create_task(hints.run(process.stopping))
    finally:
        await questions.close()
        await connection.close()
        await pool.close()


async def _connected(process: Process[Config]) -> bus.Bus | None:
    """NATS and PostgreSQL, both found fit to keep promises; waits for them. None when stopped meanwhile."""
    is_told = False
    while not process.stopping.is_set():
        try:
            await _guard_database(process.shared)
            return await _open_log(process.shared)
        except Unavailable as err:
            if not is_told:
                log.get().warning("waiting_for_servers", reason=err.message)
                is_told = True
            await asyncio.sleep(_RETRY_S)
    return None


async def _guard_database(shared: Shared) -> None:
    relaxed = await guard_durability(shared.database_url, mode=shared.mode)
    if relaxed:
        log.get().warning("durability_relaxed", off=relaxed, mode=shared.mode)


async def _open_log(shared: Shared) -> bus.Bus:
    connection = await bus.connect(bus.BusSettings(url=shared.nats_url, name="nightdesk store"))
    try:
        known = await bus.check_durability(connection, monitor_url=shared.nats_monitor_url or None)
        if known == "unknown" and shared.mode == "production":
            raise Refused(
                "can't see whether nats-server syncs always: set NIGHTDESK_NATS_MONITOR_URL"
            )
        if known == "unknown":
            log.get().warning("durability_unknown", mode=shared.mode)
        settings = bus.StreamSettings(replicas=shared.replicas, max_bytes=shared.stream_max_bytes)
        await bus.ensure_stream(connection, shared.shard, settings)
    except BaseException:
        await connection.close()
        raise
    return connection
