"""Asks JetStream's API. A cluster that has just lost a leader forgets what it is asked instead of keeping it for the next
one, so whoever waits for one answer waits on for seconds after there is a leader: `ask_again` does not.

Never: for what must not be done twice.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from shared.bus.connection import Bus
from shared.bus.wire import ApiError

_AGAIN_S = 0.7
"""An answer takes milliseconds; the work of asking a busy server a few times more is nothing beside a second of delay."""


class ApiFailed(Exception):
    """JetStream's API said no; `error` has its numbers."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(f"{error.err_code}: {error.description}")
        self.error = error


class _Answer(msgspec.Struct, frozen=True):
    error: ApiError | None = None


async def api_request(bus: Bus, method: str, body: dict[str, Any] | None = None) -> bytes:
    """Ask once. ApiFailed: it said no. Unavailable: it did not answer."""
    raw = await bus.request(f"$JS.API.{method}", b"" if body is None else msgspec.json.encode(body))
    error = msgspec.json.decode(raw, type=_Answer).error
    if error is not None:
        raise ApiFailed(error)
    return raw


async def ask_again(bus: Bus, method: str, body: dict[str, Any] | None = None) -> bytes:
    """As `api_request`, but asked anew every `_AGAIN_S` within the time that one question has; the first answer counts."""
    asked: set[asyncio.Task[bytes]] = set()
    try:
        while True:
            asked.add(asyncio.create_task(api_request(bus, method, body)))
            done, _ = await asyncio.wait(
                asked, timeout=_AGAIN_S, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                return done.pop().result()
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
