"""Keeps the evidence that assignment leases are judged by: how far the store has got, and since when nothing has
been unclear. Pure; log time and the process's monotonic clock are arguments."""

from __future__ import annotations

import msgspec

from services.dispatcher.decide import Evidence
from shared.ids import Position

_LATE_S = 1.0


class Watch(msgspec.Struct, kw_only=True):
    """`mark`: the log's end at the last look, to be stored by the next one a second later. `ahead`: what was stored at
    the last look, to be folded by the next one: a server cut off from the others lets its readers believe that they are
    at the end, and an acknowledgement may lie behind it."""

    stored: Position = 0
    heard_s: float = float("-inf")
    fresh_ns: int = 0
    mark: Position = 0
    ahead: Position = 0
    marked_s: float = float("-inf")
    looked_s: float = float("-inf")
    reconnects: int = 0

    def hear(self, to: Position, now_s: float) -> None:
        """The store has committed up to `to`."""
        self.stored = max(self.stored, to)
        self.heard_s = now_s

    def renew(self, now_ns: int) -> None:
        """Something was unclear: leases count from now at the earliest."""
        self.fresh_ns = now_ns

    def look(  # Everything that may speak against the evidence, each a plain number.
        self, *, end: Position, now_ns: int, now_s: float, reconnects: int, silence_s: float
    ) -> Evidence:
        """The evidence at the log's end. A late look, a reconnect, a silent or a lagging store renew all leases."""
        is_late = now_s - self.looked_s > _LATE_S
        is_silent = now_s - self.heard_s > silence_s
        self.looked_s = now_s
        is_lagging = False
        if now_s - self.marked_s >= _LATE_S:
            is_lagging = self.stored < self.mark or end < self.ahead
            self.mark = end
            self.ahead = self.stored
            self.marked_s = now_s
        if is_late or is_silent or is_lagging or reconnects != self.reconnects:
            self.renew(now_ns)
        self.reconnects = reconnects
        return Evidence(stored=self.stored, fresh_ns=self.fresh_ns)
