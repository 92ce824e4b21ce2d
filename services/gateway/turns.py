"""Turns at the store: so many questions of a kind are unanswered at any time, the others wait here, where it is known
who still waits for them.

Accounts take turns, so that one whose thousands come back leaves room for the next. Never: a question sent whose asker
would be gone before its answer; one that waits longer than its asker."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.gateway import metrics
from shared import clock
from shared.errors import Unavailable
from shared.labelled import labelled

_NEWEST = 0.1
"""How much the newest answer counts in what one is expected to take."""


class Turns:
    """`take` a turn around each question of one kind."""

    def __init__(self, name: str, *, at_once: int) -> None:
        self._free = at_once
        self._waiting: OrderedDict[str, deque[_Waiting]] = OrderedDict()
        self._gauge = labelled(metrics.QUESTIONS_WAITING, name)
        self._answer_s = 0.0

    @asynccontextmanager
    async def take(self, account_id: str, *, until_s: float) -> AsyncIterator[None]:
        """Wait for a turn and have it. Raises `Unavailable("overloaded")` when there is none until then (monotonic)."""
        await self._acquire(account_id, until_s)
        began_s = clock.monotonic_s()
        try:
            yield
        finally:
            self._answer_s += _NEWEST * (clock.monotonic_s() - began_s - self._answer_s)
            self._pass_on()

    async def _acquire(self, account_id: str, until_s: float) -> None:
        if self._free:
            self._free -= 1
            return
        waiting = _Waiting(until_s)
        self._waiting.setdefault(account_id, deque()).append(waiting)
        self._gauge.inc()
        alarm = waiting.turn.get_loop().call_later(until_s - clock.monotonic_s(), waiting.give_up)
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if waiting.turn.done() and not waiting.turn.cancelled():
                # The turn came in the same moment: it is the next one's.
                self._pass_on()
            raise
        finally:
            alarm.cancel()
            self._gauge.dec()

    def _pass_on(self) -> None:
        """To the account that had none for longest, or to nobody."""
        gone_s = clock.monotonic_s() + self._answer_s
        while self._waiting:
            account_id, queue = self._waiting.popitem(last=False)
            waiting = queue.popleft()
            if queue:
                self._waiting[account_id] = queue
            if waiting.until_s <= gone_s:
                waiting.give_up()
            if not waiting.turn.done():
                waiting.turn.set_result(None)
                return
        self._free += 1


class _Waiting:
    """Somebody who waits for a turn."""

    __slots__ = ("turn", "until_s")

    def __init__(self, until_s: float) -> None:
        self.until_s = until_s
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def give_up(self) -> None:
        """There is none in time."""
        if not self.turn.done():
            self.turn.set_exception(
                Unavailable("more is asked of the store than it can answer", code="overloaded")
            )
