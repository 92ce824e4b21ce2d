"""How far the committed rows are. The one thing that writer, hints and questions share."""

from __future__ import annotations

import asyncio

from shared.ids import Position


class Progress:
    """The checkpoint as this process last saw it."""

    def __init__(self) -> None:
        self.position: Position = 0
        self.epoch = ""
        self.is_leading = False
        self.is_known = False
        self.waiting = 0
        self._moved = asyncio.Event()

    def set(self, position: Position, epoch: str) -> None:
        """The checkpoint was read or committed; wakes who waits for it."""
        is_moved = position != self.position or not self.is_known
        self.position, self.epoch, self.is_known = position, epoch, True
        if is_moved:
            self._moved.set()
            self._moved = asyncio.Event()

    async def reach(self, position: Position, timeout_s: float) -> bool:
        """Wait until the checkpoint is at `position`; False if it is not in time."""
        if self.position >= position:
            return True
        self.waiting += 1
        try:
            async with asyncio.timeout(timeout_s):
                while self.position < position:
                    await self._moved.wait()
        except TimeoutError:
            return False
        finally:
            self.waiting -= 1
        return True
