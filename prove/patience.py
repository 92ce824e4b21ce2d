"""How long to wait for what should come by itself: as long as something changes, and some time after. Pure.

On a slow machine devices come back one after the other; what is stuck stands still, however slow the machine is.
"""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """`still_s`: nothing may change for so long. `connecting_s`: the same while a device has no connection, which may not
    even ask for one before that. `most_s`: in all, for what changes and changes and never comes."""

    still_s: float
    connecting_s: float
    most_s: float


class Patience:
    """`is_over` with what is seen now, again and again."""

    def __init__(self, limits: Limits, *, now_s: float) -> None:
        self._limits = limits
        self._began_s = self._changed_s = now_s
        self._seen: object = None

    def is_over(self, seen: object, *, is_connecting: bool, now_s: float) -> bool:
        """Whether it has stood still for too long."""
        if seen != self._seen:
            self._seen, self._changed_s = seen, now_s
        limits = self._limits
        still_s = max(limits.still_s, limits.connecting_s) if is_connecting else limits.still_s
        return now_s - self._changed_s >= still_s or now_s - self._began_s >= limits.most_s
