"""How a service gets to its shard's log: connect, make or check the stream, refuse servers that forget.

Waits for a server that is away; never goes on against one that acknowledges before it writes, nor with a log that is
not the one that the database was filled from: positions would be given twice.
"""

from __future__ import annotations

import asyncio

import structlog

from shared.bus import Bus, BusSettings, StreamSettings, check_durability, connect, ensure_stream
from shared.config import Shared
from shared.crashpoints import crashpoint
from shared.database import Connection, lost_as_unavailable
from shared.database import connect as connect_database
from shared.errors import Refused, Unavailable

log = structlog.get_logger(__name__)

_RETRY_S = 1.0


async def open_log(shared: Shared, name: str, stopping: asyncio.Event) -> Bus | None:
    """A connection whose stream is there and sound; None when the process was told to stop before that.

    Raises `Refused` for a server or stream that would lose what it acknowledged; in development an unknown
    `sync_interval` is only a warning.
    """
    while not stopping.is_set():
        try:
            return await _open(shared, name)
        except Unavailable as err:
            log.warning("log_not_reached", code=err.code)
            await pause(stopping, _RETRY_S)
    return None


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Let time pass, but not beyond the order to stop."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        pass


async def _open(shared: Shared, name: str) -> Bus:
    crashpoint("opening.connect")
    bus = await connect(BusSettings(url=shared.nats_url, name=f"nightdesk-{name}"))
    try:
        await ensure_log(bus, shared)
        crashpoint("opening.sync")
        known = await check_durability(
            bus, monitor_url=shared.nats_monitor_url, servers=shared.replicas
        )
        if known != "always":
            _judge_unknown(shared)
    except (Unavailable, Refused):
        await bus.close()
        raise
    return bus


async def ensure_log(bus: Bus, shared: Shared) -> None:
    """The shard's stream, made only if the database knows of none, and the very log that it knows.

    Refused: the stream is gone, unsafe, or another one. Unavailable: a server is away.
    """
    settings = StreamSettings(replicas=shared.replicas, max_bytes=shared.stream_max_bytes)
    crashpoint("opening.database")
    database = await connect_database(shared.database_url, name="log guard")
    key = f"log of shard {shared.shard}"
    try:
        with lost_as_unavailable("looking for the log's name"):
            known = await _known_log(database, key)
            crashpoint("opening.ensure")
            found = await ensure_stream(bus, shared.shard, settings, may_make=known is None)
            if known is None:
                # Several services start at once with the same new log: the first one's word stands.
                crashpoint("opening.remember")
                await database.execute(
                    "INSERT INTO truth.installation (name, value) VALUES (%s, %s)"
                    " ON CONFLICT DO NOTHING",
                    [key, found],
                )
                known = await _known_log(database, key)
    finally:
        await database.close()
    if known != found:
        raise Refused(
            f"the log of shard {shared.shard} is not the one that the database was filled from:"
            " connect the right one, or restore",
            code="log_replaced",
        )


async def _known_log(database: Connection, key: str) -> str | None:
    crashpoint("opening.known")
    rows = await database.execute("SELECT value FROM truth.installation WHERE name = %s", [key])
    row = await rows.fetchone()
    return None if row is None else str(row[0])


def _judge_unknown(shared: Shared) -> None:
    if shared.mode == "production":
        raise Refused(
            "can't tell whether nats-server writes before it acknowledges:"
            " set NIGHTDESK_NATS_MONITOR_URL to the monitoring addresses of all its servers",
            code="sync_unknown",
        )
    log.warning("sync_interval_unknown")
