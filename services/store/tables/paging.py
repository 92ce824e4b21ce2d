"""Pages: opaque cursors, and cutting at a count or at a size that fits an answer."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from shared.errors import Rejected

T = TypeVar("T")
MOST_BYTES = 448 * 1024
"""Estimated size at which an answer is cut: below 512 KiB with room for names and numbers."""


def encode_next(values: tuple[Any, ...]) -> str:
    """Where the next page begins, as text that means nothing to others."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(values)).decode("ascii").rstrip("=")


def decode_next(text: str, kinds: tuple[type, ...]) -> tuple[Any, ...]:
    """The values of a cursor that we made; `Rejected("invalid")` for anything else."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        values = msgspec.msgpack.decode(raw)
    except (binascii.Error, ValueError, msgspec.DecodeError) as err:
        raise Rejected("invalid", "the cursor is not one of ours") from err
    is_ours = (
        isinstance(values, list)
        and len(values) == len(kinds)
        and all(type(value) is kind for value, kind in zip(values, kinds, strict=True))
    )
    if not is_ours:
        raise Rejected("invalid", "the cursor is not one of ours")
    return tuple(values)


def cut(
    rows: Sequence[T], limit: int, size: Callable[[T], int], *, most_bytes: int = MOST_BYTES
) -> tuple[tuple[T, ...], bool]:
    """At most `limit` rows that fit, at least one, and whether something was cut off."""
    total = 0
    for index, row in enumerate(rows[:limit]):
        total += size(row)
        if total > most_bytes and index:
            return tuple(rows[:index]), True
    return tuple(rows[:limit]), len(rows) > limit
