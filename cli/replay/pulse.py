"""Waiting for a state, and knowing that something still moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Stalled(Exception):
    """Nothing moved for too long."""


class Pulse:
    """`beat` at every step; `watch` raises `Stalled` when there was none for `patience_s`."""

    def __init__(self, *, patience_s: float) -> None:
        self._patience_s = patience_s
        self._last = time.monotonic()

    def beat(self) -> None:
        """Something moved."""
        self._last = time.monotonic()

    async def watch(self) -> None:
        """Runs beside the work until it is cancelled."""
        while True:
            left_s = self._last + self._patience_s - time.monotonic()
            if left_s <= 0:
                raise Stalled(f"nothing moved for {self._patience_s:.0f} s")
            await asyncio.sleep(left_s)


class Stir:
    """One waiter, woken whenever something that may concern it changed."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.waits_for = ""

    def stir(self) -> None:
        """Something changed: look again."""
        self._event.set()

    async def until(self, check: Callable[[], bool], *, waits_for: str) -> None:
        """Returns once `check` holds."""
        self.waits_for = waits_for
        while not check():
            self._event.clear()
            await self._event.wait()
        self.waits_for = ""
