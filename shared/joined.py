"""One call for all who need its answer in the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Joined(Generic[T]):
    """Awaits `call` for its callers, who share one call that began after each of them asked. What it raises all of them
    get; one who gives up does not end it for the others."""

    def __init__(self, call: Callable[[], Awaitable[T]]) -> None:
        self._call = call
        self._running: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        """Its answer, asked for after this call began."""
        running = self._running
        if running is not None and not running.done():
            # One that is on its way may have been answered before our caller's question arose.
            await asyncio.wait({running})
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await asyncio.shield(self._running)

    async def _run(self) -> T:
        return await self._call()
