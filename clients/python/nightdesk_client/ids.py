"""Fresh ids: UUIDv7 (RFC 9562), increasing within this process, so that the sender makes its own MessageID."""

from __future__ import annotations

import secrets
import time
import uuid

_RANDOM_BITS = 74
_LOW_BITS = 62
_last = 0


def new_id() -> str:
    """A fresh UUIDv7 in canonical text form, greater than every one made here before."""
    global _last  # noqa: PLW0603 - one counter a process is what makes the ids increase
    value = (time.time_ns() // 1_000_000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    if value <= _last:
        value = _last + 1 + secrets.randbits(32)
    _last = value
    milliseconds = value >> _RANDOM_BITS
    middle = value >> _LOW_BITS & 0xFFF
    low = value & (1 << _LOW_BITS) - 1
    return str(uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | middle << 64 | 0b10 << 62 | low))
