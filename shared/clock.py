"""Time and fresh ids for the edges. Pure modules get both as arguments.

A process clock is never an input to a decision: decisions use the log's time (`Batch.now_ns` of the bus).
In development mode `NIGHTDESK_CLOCK_OFFSET_FILE` names a file with seconds that are added, read at every look: so a
clock can be made to jump under a running process (`make prove`).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import uuid_utils

OFFSET_VARIABLE = "NIGHTDESK_CLOCK_OFFSET_FILE"
_is_development = os.environ.get("NIGHTDESK_MODE") == "development"
_offset_file = os.environ.get(OFFSET_VARIABLE, "") if _is_development else ""


def now_ns() -> int:
    """Wall clock of this process in nanoseconds since 1970; for tokens, rate limits and logs only."""
    return time.time_ns() + (_offset_ns() if _offset_file else 0)


def _offset_ns() -> int:
    try:
        return int(float(Path(_offset_file).read_text(encoding="ascii") or 0) * 1_000_000_000)
    except (OSError, ValueError):
        # Not there, or just being written: no jump.
        return 0


def monotonic_s() -> float:
    """Seconds that never go back; for time-outs and durations."""
    return time.monotonic()


def new_id() -> str:
    """A fresh UUIDv7 in canonical text form, increasing within this process."""
    if not _offset_file:
        return str(uuid_utils.uuid7())
    return str(uuid_utils.uuid7(nanoseconds=now_ns()))
