"""Reads pages of inboxes: a few at once each for itself, many who come back together several in one statement.

Lifecycle: as many statements under way as there are connections; whoever asks meanwhile waits and goes with others when
one is free, so nobody waits for company. An answer is as fresh as if it had been asked alone: its statement begins after
the question came."""

from __future__ import annotations

import asyncio
from collections import deque

from services.store.handlers.progress import Progress
from services.store.tables.inboxes import read_inboxes
from shared.crashpoints import crashpoint
from shared.database import Pool, borrow
from shared.errors import Malformed, Unavailable
from shared.ids import Position, canonical
from shared.queries import InboxPage, ReadInbox

Found = tuple[Position, str, InboxPage]
"""Checkpoint, epoch and page."""

_TOGETHER = 8
"""More would save little, and they are in memory together: a page of the longest texts has 16 MB before it is cut."""
_BIGINT = range(-(2**63), 2**63)


class Pages:
    """`read` for each question."""

    def __init__(self, pool: Pool, *, shard: str, connections: int, progress: Progress) -> None:
        self._pool = pool
        self._shard = shard
        self._connections = connections
        self._progress = progress
        self._waiting: deque[_Asked] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def read(self, question: ReadInbox) -> Found:
        """The page. Raises `Rejected` and `Malformed` for values that can't be ours, which must not cost those who are
        read together with it their answer, and `Unavailable`."""
        canonical(question.account_id, what="account_id")
        canonical(question.owner_id, what="owner_id")
        if question.after not in _BIGINT or question.unheard_since_ns not in _BIGINT:
            raise Malformed("a position is beyond all positions")
        asked = _Asked(question)
        self._waiting.append(asked)
        if len(self._running) < self._connections:
            task = asyncio.create_task(self._work())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        batch, at = await asked.turn
        # Others are waiting for it, too.
        return (await asyncio.shield(batch))[at]

    async def _work(self) -> None:
        """Read until nobody waits."""
        while self._waiting:
            # Few who come at the same moment are better spread over the connections.
            share = -(-len(self._waiting) // self._connections)
            taken = [self._waiting.popleft() for _ in range(min(_TOGETHER, share))]
            taken = [asked for asked in taken if not asked.turn.done()]
            batch = asyncio.create_task(self._read([asked.question for asked in taken]))
            for at, asked in enumerate(taken):
                asked.turn.set_result((batch, at))
            await asyncio.wait({batch})

    async def _read(self, questions: list[ReadInbox]) -> list[Found]:
        if not questions:
            return []
        end = self._progress.position
        async with borrow(self._pool) as connection:
            crashpoint("store.question.page")
            found = await read_inboxes(connection, questions, self._shard, end=end)
        if found is None:
            raise Unavailable("the store has not begun yet")
        return found


class _Asked:
    """A question and, when its turn has come, which batch answers it and where."""

    __slots__ = ("question", "turn")

    def __init__(self, question: ReadInbox) -> None:
        self.question = question
        self.turn: asyncio.Future[tuple[asyncio.Task[list[Found]], int]] = (
            asyncio.get_running_loop().create_future()
        )
