"""Load as it is offered in the world: messages are due at their time, whatever came of those before.

Latency counts from the moment a message was due, so a generator or a server that falls behind makes it worse, not
better (no coordinated omission)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

TICK_S = 0.001


async def offer(rate: float, seconds: float, send: Callable[[int, float], None]) -> int:
    """Call `send(number, due)` for every message that is due, `due` by `time.perf_counter`; how many there were."""
    began = time.perf_counter()
    total = int(rate * seconds)
    sent = 0
    while sent < total:
        now = time.perf_counter()
        due = min(total, int((now - began) * rate) + 1)
        while sent < due:
            send(sent, began + sent / rate)
            sent += 1
        await asyncio.sleep(TICK_S)
    return total


async def until(is_done: Callable[[], bool], timeout_s: float, *, pause_s: float = 0.005) -> bool:
    """Wait for a state; whether it came in time."""
    end = time.perf_counter() + timeout_s
    while not is_done():
        if time.perf_counter() > end:
            return False
        await asyncio.sleep(pause_s)
    return True
