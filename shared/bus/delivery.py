"""What the log hands over: one entry with its position and its time, and the digest kept beside checkpoints."""

from __future__ import annotations

import hashlib

import msgspec

_DIGEST_BYTES = 16


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One entry of the log. `at_ns`: the stream's time stamp, nanoseconds since 1970."""

    position: int
    subject: str
    at_ns: int
    payload: bytes


def digest(delivery: Delivery) -> bytes:
    """16 bytes that tell this entry from what another log holds at the same position."""
    content = delivery.subject.encode() + b"\0" + delivery.payload
    return hashlib.sha256(content).digest()[:_DIGEST_BYTES]
