"""Collects questions and reads them together: a few at once each for itself, many that come at once in one statement.

Lifecycle: so many reads under way as are allowed; whoever asks meanwhile waits and goes with others when one is over, so
nobody waits for company. An answer is as fresh as if it had been asked alone: its read begins after the question came.
Never: a read for somebody who has gone; more who wait than can be answered while they do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from shared import clock
from shared.errors import Unavailable

Q = TypeVar("Q")
A = TypeVar("A")

LATE = "late"
OVERLOADED = "overloaded"
_NEWEST = 0.2
"""How much the newest read counts in what one is expected to take."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """`at_once`: reads under way; `most`: questions in one of them."""

    at_once: int
    most: int


class Together(Generic[Q, A]):
    """`read` for each question; what it is made with reads several, in their order."""

    def __init__(
        self, read: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], bounds: Bounds
    ) -> None:
        self._read = read
        self._bounds = bounds
        self._waiting: deque[_Asked[Q, A]] = deque()
        self._running: set[asyncio.Task[None] | None] = set()
        self._read_s = 0.0

    async def read(self, question: Q, *, until_s: float) -> A:
        """The answer. Raises what `read` raises, and `Unavailable`: "overloaded", at once, when it could not be given
        until then (monotonic); "late" when its turn came too late all the same."""
        if clock.monotonic_s() + self.wait_s > until_s:
            raise Unavailable("more is asked than can be answered in time", code=OVERLOADED)
        asked: _Asked[Q, A] = _Asked(question, until_s)
        self._waiting.append(asked)
        if len(self._running) < self._bounds.at_once:
            task = asyncio.create_task(self._work())
            self._running.add(task)
        batch, at = await asked.turn
        # Others are waiting for it, too.
        return (await asyncio.shield(batch))[at]

    @property
    def wait_s(self) -> float:
        """How long who asks now would wait for their turn, about."""
        bounds = self._bounds
        return len(self._waiting) / (bounds.most * bounds.at_once) * self._read_s

    async def _work(self) -> None:
        """Read until nobody waits."""
        try:
            await self._read_on()
        finally:
            # At once: who asks before a callback ran would count on a worker that has ended.
            self._running.discard(asyncio.current_task())

    async def _read_on(self) -> None:
        while taken := self._take():
            began_s = clock.monotonic_s()
            batch = asyncio.ensure_future(self._read([asked.question for asked in taken]))
            for at, asked in enumerate(taken):
                asked.turn.set_result((batch, at))
            await asyncio.wait({batch})
            if not batch.cancelled():
                # Whoever gave up waiting for it must not make its failure one that nobody saw.
                batch.exception()
            self._read_s += _NEWEST * (clock.monotonic_s() - began_s - self._read_s)

    def _take(self) -> list[_Asked[Q, A]]:
        """The next ones whose askers are still there."""
        # Few who come at the same moment are better spread over the reads.
        fair = -(-len(self._waiting) // self._bounds.at_once)
        wanted, now_s = min(self._bounds.most, fair), clock.monotonic_s()
        taken: list[_Asked[Q, A]] = []
        while self._waiting and len(taken) < wanted:
            asked = self._waiting.popleft()
            if asked.turn.done():
                continue
            if asked.until_s <= now_s:
                asked.turn.set_exception(Unavailable("its asker has gone", code=LATE))
                continue
            taken.append(asked)
        return taken


class _Asked(Generic[Q, A]):
    """A question and, when its turn has come, which read answers it and where."""

    __slots__ = ("question", "turn", "until_s")

    def __init__(self, question: Q, until_s: float) -> None:
        self.question = question
        self.until_s = until_s
        self.turn: asyncio.Future[tuple[asyncio.Future[Sequence[A]], int]] = (
            asyncio.get_running_loop().create_future()
        )
