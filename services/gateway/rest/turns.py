"""One after the other, for each contact, and for each conversation that begins: what is read, changed and written back
as a whole must not cross itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from shared.errors import Unavailable
from shared.ids import ContactId, ConversationId


class Turns:
    """Of this gateway, which spares its requests from being made again; what crosses at two gateways is seen to by
    `profiles`."""

    def __init__(self, *, wait_s: float) -> None:
        self._wait_s = wait_s
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, whose: ContactId | ConversationId) -> AsyncIterator[None]:
        """Wait for one's turn, and keep it for the block. Raises `Unavailable`: nothing was done."""
        lock = self._locks.get(whose)
        if lock is None:
            lock = self._locks[whose] = asyncio.Lock()
        try:
            async with asyncio.timeout(self._wait_s):
                await lock.acquire()
        except TimeoutError as err:
            raise Unavailable("others change the same just now", code="busy") from err
        try:
            yield
        finally:
            lock.release()
