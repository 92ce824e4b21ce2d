"""One clock for all sessions: hello time-outs, pings, silence, expired tokens.

A session lies in one slot at a time; when the slot comes up it is looked at and laid into the next one that matters,
so a busy session costs one look per ping interval."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.gateway.sessions.session import Session
from shared import clock

TICK_S = 0.1
_EXPIRED_CHECK_S = 2.0
_PING = b"{}"


class Wheel:
    """`run` in a task. `may_expire`: whether a client that is sent away could get a fresh token now."""

    def __init__(
        self, *, hello_timeout_s: float, ping_s: float, may_expire: Callable[[], bool]
    ) -> None:
        self._hello_timeout_s = hello_timeout_s
        self._ping_s = ping_s
        self._may_expire = may_expire
        self._slots: dict[int, list[Session]] = {}
        self._next = 0
        self._also: list[Callable[[], None]] = []

    def also(self, call: Callable[[], None]) -> None:
        """Call this at every tick, too."""
        self._also.append(call)

    def add(self, session: Session) -> None:
        """Watch a session that just connected."""
        self._lay(session, session.opened_at_s + self._hello_timeout_s)

    def _lay(self, session: Session, at_s: float) -> None:
        slot = max(self._next, int(at_s / TICK_S) + 1)
        self._slots.setdefault(slot, []).append(session)

    async def run(self, *also: Callable[[], None]) -> None:
        """Turn until cancelled; `also` is called at every tick."""
        loop = asyncio.get_running_loop()
        self._next = int(loop.time() / TICK_S)
        while True:
            await asyncio.sleep(TICK_S)
            now_s = loop.time()
            self.turn(now_s)
            for call in (*also, *self._also):
                call()

    def turn(self, now_s: float) -> None:
        """Look at every session whose slot has come."""
        last = int(now_s / TICK_S)
        due = [slot for slot in self._slots if slot <= last]
        self._next = last + 1
        for slot in sorted(due):
            for session in self._slots.pop(slot):
                next_s = self._look(session, now_s)
                if next_s is not None:
                    self._lay(session, max(next_s, now_s + TICK_S))

    def _look(self, session: Session, now_s: float) -> float | None:
        """Do what is due for a session; when to look again, None when it is gone."""
        if session.is_closing:
            return None
        if session.principal is None:
            return self._look_at_stranger(session, now_s)
        if now_s - session.heard_at_s > 2 * self._ping_s:
            session.close(3001)
            return None
        expires_s = session.principal.expires_s
        wall_s = clock.now_ns() / 1e9
        if expires_s and wall_s >= expires_s and self._may_expire():
            session.close(3009)
            return None
        if now_s - session.said_at_s >= self._ping_s:
            session.send(_PING)
        next_s = min(session.said_at_s + self._ping_s, session.heard_at_s + 2 * self._ping_s)
        if expires_s:
            # An expired one that could not be refreshed is looked at every few seconds.
            next_s = min(next_s, now_s + max(_EXPIRED_CHECK_S, expires_s - wall_s))
        # A blocked session can't be pinged (its queue waits): look again in a while, not at every tick.
        return max(next_s, now_s + 1.0)

    def _look_at_stranger(self, session: Session, now_s: float) -> float | None:
        if now_s - session.opened_at_s >= self._hello_timeout_s:
            session.close(3502)
            return None
        return session.opened_at_s + self._hello_timeout_s
