"""The orderly end: nobody new, goodbye with a time to come back, everything taken is finished, sessions closed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import structlog

from services.gateway import metrics
from services.gateway.handlers import Handlers
from services.gateway.live import Live
from shared.bus import GroupCommit
from shared.codec import to_json
from shared.wire.frames import Bye

log = structlog.get_logger(__name__)

_GOODBYE_S = 1.0
_LOOK_S = 0.02


async def drain(
    live: Live, handlers: Handlers, commit: GroupCommit, server: asyncio.Server
) -> None:
    """Stop within `drain_s`. What was answered "ok" is in the log; what was not is the client's to send again."""
    config = live.parts.config
    loop = asyncio.get_running_loop()
    ends_at_s = loop.time() + config.drain_s
    handlers.is_draining = True
    server.close()
    log.info("draining", sessions=len(live.registry))
    for session in live.registry:
        if session.principal is not None:
            wait_ms = int(config.come_back_s * 1000 * random.random())  # noqa: S311 - spread
            session.send(to_json(Bye(code="restarting", retry_after_ms=wait_ms)))
            metrics.SENT.labels("bye").inc()
    await live.receipts.flush()
    live.parts.admission.is_closed = True
    is_finished = await commit.drain(max(0.1, ends_at_s - loop.time() - _GOODBYE_S))
    if not is_finished:
        log.warning("drain_incomplete", queued=commit.queued, inflight=commit.inflight)
    if is_finished:
        # The answers to the last sends are written by callbacks in the next turns of the loop.
        await _until(lambda: not any(s.in_flight for s in live.registry), _GOODBYE_S)
    for session in live.registry:
        session.close(3000)
    await _until(lambda: not len(live.registry), min(_GOODBYE_S, ends_at_s - loop.time()))
    log.info("drained", left=len(live.registry))


async def _until(is_done: Callable[[], bool], most_s: float) -> None:
    for _ in range(max(1, int(most_s / _LOOK_S))):
        if is_done():
            return
        await asyncio.sleep(_LOOK_S)
