"""Reads pages of inboxes, those of many who come back together several in one statement."""

from __future__ import annotations

from collections.abc import Sequence

from services.store import metrics
from services.store.handlers.progress import Progress
from services.store.handlers.together import Bounds, Together
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
_READS = metrics.READS.labels("inbox")


class Pages:
    """`read` for each question."""

    def __init__(self, pool: Pool, *, shard: str, connections: int, progress: Progress) -> None:
        self._pool = pool
        self._shard = shard
        self._progress = progress
        self._together = Together(self._read, Bounds(at_once=connections, most=_TOGETHER))

    async def read(self, question: ReadInbox, *, until_s: float) -> Found:
        """The page. Raises `Rejected` and `Malformed` for values that can't be ours, which must not cost those who are
        read together with it their answer, and `Unavailable`."""
        canonical(question.account_id, what="account_id")
        canonical(question.owner_id, what="owner_id")
        if question.after not in _BIGINT or question.unheard_since_ns not in _BIGINT:
            raise Malformed("a position is beyond all positions")
        return await self._together.read(question, until_s=until_s)

    async def _read(self, questions: Sequence[ReadInbox]) -> Sequence[Found]:
        _READS.inc()
        end = self._progress.position
        async with borrow(self._pool) as connection:
            crashpoint("store.question.page")
            found = await read_inboxes(connection, questions, self._shard, end=end)
        if found is None:
            raise Unavailable("the store has not begun yet")
        return found
