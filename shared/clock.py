"""Time and fresh ids for the edges. Pure modules get both as arguments.

A process clock is never an input to a decision: decisions use the log's time (`Batch.now_ns` of the bus).
"""

from __future__ import annotations

import time

import uuid_utils


def now_ns() -> int:
    """Wall clock of this process in nanoseconds since 1970; for tokens, rate limits and logs only."""
    return time.time_ns()


def monotonic_s() -> float:
    """Seconds that never go back; for time-outs and durations."""
    return time.monotonic()


def new_id() -> str:
    """A fresh UUIDv7 in canonical text form, increasing within this process."""
    return str(uuid_utils.uuid7())
