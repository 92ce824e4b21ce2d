"""Reads single rows by their ids, those that are asked for at the same time in one statement."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from services.store import metrics
from services.store.handlers.progress import Progress
from services.store.handlers.together import Bounds, Together
from services.store.tables.keyed import (
    CONTACTS,
    FACTS,
    MESSAGE_IDS,
    Found,
    Key,
    Kind,
    read_keyed,
)
from shared.crashpoints import crashpoint
from shared.database import Pool, borrow
from shared.errors import Unavailable
from shared.ids import canonical
from shared.queries import GetContact, GetFacts, LookUpMessageId

_BOUNDS = Bounds(at_once=2, most=64)


class RowKind(msgspec.Struct, frozen=True, kw_only=True):
    """A question, the id in it, and where it is looked for."""

    question: type[msgspec.Struct]
    own_id: Callable[[Any], str]
    kind: Kind


ROW_KINDS: Mapping[str, RowKind] = {
    "facts": RowKind(question=GetFacts, own_id=lambda asked: asked.conversation_id, kind=FACTS),
    "message_id": RowKind(
        question=LookUpMessageId, own_id=lambda asked: asked.message_id, kind=MESSAGE_IDS
    ),
    "contact": RowKind(question=GetContact, own_id=lambda asked: asked.contact_id, kind=CONTACTS),
}


class Rows:
    """`read` for each question."""

    def __init__(self, pool: Pool, *, shard: str, progress: Progress) -> None:
        self._pool = pool
        self._shard = shard
        self._progress = progress
        self._together = {
            name: Together(functools.partial(self._read, name), _BOUNDS) for name in ROW_KINDS
        }

    async def read(self, name: str, question: Any, *, until_s: float) -> Found:
        """The row. Raises `Rejected` for ids that are none, which must not cost those who are read together with them
        their answer, and `Unavailable`."""
        key = Key(
            canonical(question.account_id, what="account_id"),
            canonical(ROW_KINDS[name].own_id(question)),
        )
        return await self._together[name].read(key, until_s=until_s)

    async def _read(self, name: str, keys: Sequence[Key]) -> Sequence[Found]:
        metrics.READS.labels(name).inc()
        kind, end = ROW_KINDS[name].kind, self._progress.position
        async with borrow(self._pool) as connection:
            crashpoint("store.question.rows")
            found = await read_keyed(connection, kind, keys, self._shard, end=end)
        if found is None:
            raise Unavailable("the store has not begun yet")
        return found
