"""Whoever opens a connection and does not send a whole request head in time is hung up on. aiohttp waits for the first
head for ever, so connections that say nothing, or a byte a minute, would use up the descriptors of the process."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from shared import clock

HEAD_TIMEOUT_S = 10.0
KEEP_ALIVE_S = (
    75.0  # longer than proxies usually keep an idle connection, so that they close it, not we
)

_LOOK_S = 1.0


class Silence:
    """Knows which connections have asked something; `listener` goes into the application, `run` into a task.

    Between two requests of one connection the keep-alive time of aiohttp does the same."""

    def __init__(self, *, head_timeout_s: float = HEAD_TIMEOUT_S) -> None:
        self._head_timeout_s = head_timeout_s
        self._since_s: dict[web.RequestHandler, float] = {}
        self._heard: set[web.RequestHandler] = set()

    @property
    def listener(self) -> Middleware:
        """Notes, before anything else is done, that a connection has sent a whole head."""

        @web.middleware
        async def listen(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._heard.add(request.protocol)
            return await handler(request)

        return listen

    async def run(self, runner: web.AppRunner) -> None:
        """Hang up on the silent until cancelled or the runner is cleaned up."""
        while runner.server is not None:
            self._hang_up(runner.server, clock.monotonic_s())
            await asyncio.sleep(_LOOK_S)

    def _hang_up(self, server: web.Server, now_s: float) -> None:
        present = server.connections
        # Only what is connected is kept, so neither grows beyond the connections there are.
        self._heard.intersection_update(present)
        self._since_s = {
            protocol: self._since_s.get(protocol, now_s)
            for protocol in present
            if protocol not in self._heard
        }
        for protocol, since_s in self._since_s.items():
            if now_s - since_s > self._head_timeout_s:
                protocol.force_close()
