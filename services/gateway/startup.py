"""What must be found fit before a gateway takes anybody: the log, the database, the keys. Waits for servers that are
away; refuses servers that would lose what we confirm."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared import bus, log
from shared.config import Shared
from shared.crashpoints import crashpoint
from shared.database import guard_durability
from shared.errors import Refused, Unavailable
from shared.opening import ensure_log

T = TypeVar("T")

_RETRY_S = 0.5


async def when_available(stopping: asyncio.Event, attempt: Callable[[], Awaitable[T]]) -> T | None:
    """The result of the first attempt that is not `Unavailable`; None when the process is told to stop before."""
    is_told = False
    while not stopping.is_set():
        try:
            return await attempt()
        except Unavailable as err:
            if not is_told:
                log.get().warning("waiting_for_servers", reason=err.message)
                is_told = True
            await asyncio.sleep(_RETRY_S)
    return None


def allow_many_connections() -> None:
    """Each device takes a file descriptor; many systems allow 1,024 unless one asks for what is allowed anyway."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def open_log(shared: Shared) -> bus.Bus:
    """A connection to a log that keeps promises. Raises `Unavailable`, `Refused`."""
    crashpoint("gateway.start.connect")
    connection = await bus.connect(bus.BusSettings(url=shared.nats_url, name="nightdesk gateway"))
    try:
        crashpoint("gateway.start.sync")
        known = await bus.check_durability(
            connection, monitor_url=shared.nats_monitor_url, servers=shared.replicas
        )
        if known == "unknown" and shared.mode == "production":
            raise Refused(
                "can't tell whether nats-server writes before it acknowledges:"
                " set NIGHTDESK_NATS_MONITOR_URL to the monitoring addresses of all its servers",
                code="sync_unknown",
            )
        if known == "unknown":
            log.get().warning("durability_unknown", mode=shared.mode)
        await ensure_log(connection, shared)
    except BaseException:
        await connection.close()
        raise
    return connection


async def guard_database(shared: Shared) -> None:
    """Refuse a PostgreSQL that forgets what it committed: keys and credentials lie there."""
    crashpoint("gateway.start.database")
    relaxed = await guard_durability(shared.database_url, mode=shared.mode)
    if relaxed:
        log.get().warning("durability_relaxed", off=relaxed, mode=shared.mode)
