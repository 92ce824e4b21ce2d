"""How a service gets to its shard's log: connect, make or check the stream, refuse servers that forget.

Waits for a server that is away; never goes on against one that acknowledges before it writes.
"""

from __future__ import annotations

import asyncio

import structlog

from shared.bus import Bus, BusSettings, StreamSettings, check_durability, connect, ensure_stream
from shared.config import Shared
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
    bus = await connect(BusSettings(url=shared.nats_url, name=f"nightdesk-{name}"))
    try:
        settings = StreamSettings(replicas=shared.replicas, max_bytes=shared.stream_max_bytes)
        await ensure_stream(bus, shared.shard, settings)
        if await check_durability(bus, monitor_url=shared.nats_monitor_url) != "always":
            _judge_unknown(shared)
    except (Unavailable, Refused):
        await bus.close()
        raise
    return bus


def _judge_unknown(shared: Shared) -> None:
    if shared.mode == "production":
        raise Refused(
            "can't tell whether nats-server writes before it acknowledges:"
            " set NIGHTDESK_NATS_MONITOR_URL to its monitoring address",
            code="sync_unknown",
        )
    log.warning("sync_interval_unknown")
