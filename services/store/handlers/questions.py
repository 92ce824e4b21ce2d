"""Answers `nd.q.<shard>.<name>`. Every answer comes from one snapshot and carries its checkpoint; "not found" is only
said when that checkpoint has reached the log's end as of the question."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import psycopg

from services.store import metrics
from services.store.config import Config
from services.store.handlers.pages import Pages
from services.store.handlers.progress import Progress
from services.store.handlers.rows import ROW_KINDS, Rows
from services.store.handlers.together import LATE, OVERLOADED, Bounds, Together
from services.store.tables import conversations, counts, inbox, messages
from shared import clock
from shared.bus import Bus, CoreMessage, Subscription, stream_state
from shared.codec import pack, unpack
from shared.crashpoints import crashpoint
from shared.database import Pool, borrow, open_pool
from shared.errors import Malformed, Rejected, Unavailable
from shared.ids import Position
from shared.joined import Joined
from shared.labelled import labelled
from shared.queries import (
    Answer,
    FindReceived,
    GetConversation,
    GetCounts,
    GetHistory,
    GetMessage,
    ListConversations,
    ListMessages,
    ListNotes,
    ReadHeads,
    ReadInbox,
)
from shared.subjects import query_subject

Ask = Callable[[Any, Any], Awaitable[Any]]
Found = tuple[Position, str, Any]
"""Checkpoint, epoch and what there is; None: nothing."""
_KINDS: dict[str, tuple[type[msgspec.Struct], Ask]] = {
    "conversation": (GetConversation, conversations.get_conversation),
    "conversations": (ListConversations, conversations.list_conversations),
    "messages": (ListMessages, messages.list_messages),
    "notes": (ListNotes, messages.list_notes),
    "message": (GetMessage, messages.get_message),
    "history": (GetHistory, messages.get_history),
    "received": (FindReceived, messages.find_received),
    "heads": (ReadHeads, inbox.read_heads),
    "counts": (GetCounts, counts.get_counts),
}
_INBOX = "inbox"
_TAKEN_AT_ONCE = 20_000
"""Of a kind, so that none waits where nobody knows for how long; beyond it they wait at the client's library."""


class Pools(msgspec.Struct, frozen=True, kw_only=True):
    """Pages of inboxes and single rows have connections of their own: who comes back or writes does not wait for lists,
    nor they for many who do, and their few statements are planned once and not for each of them."""

    questions: Pool
    pages: Pool

    async def close(self) -> None:
        """Close both."""
        await self.pages.close()
        await self.questions.close()


async def open_pools(url: str, config: Config) -> Pools:
    """Connections for questions."""
    timeout_s = config.query_timeout_s
    crashpoint("store.start.pool")
    questions = await open_pool(
        url, name="store questions", size=config.query_connections, statement_timeout_s=timeout_s
    )
    crashpoint("store.start.pages")
    pages = await open_pool(
        url,
        name="store pages",
        size=config.query_connections,
        statement_timeout_s=timeout_s,
        special=inbox.PLANNED_ONCE,
    )
    return Pools(questions=questions, pages=pages)


class Questions:
    """The subscriptions of this store; several stores share them in a queue group."""

    def __init__(
        self, bus: Bus, pools: Pools, *, shard: str, config: Config, progress: Progress
    ) -> None:
        connections = config.query_connections
        self._pool = pools.questions
        self._pages = Pages(pools.pages, shard=shard, connections=connections, progress=progress)
        self._rows = Rows(pools.pages, shard=shard, progress=progress)
        self._others = Together(self._read_other, Bounds(at_once=connections, most=1))
        self._bus = bus
        self._end = Joined(self._read_end)
        self._shard = shard
        self._config = config
        self._progress = progress
        self._subscriptions: list[Subscription] = []

    async def open(self) -> None:
        """Begin to answer."""
        for name in (*_KINDS, *ROW_KINDS, _INBOX):
            subject = query_subject(self._shard, name)
            crashpoint("store.start.subscribe")
            subscription = await self._bus.subscribe(
                subject, self._asked, queue="store", concurrency=_TAKEN_AT_ONCE
            )
            self._subscriptions.append(subscription)

    async def close(self) -> None:
        """Take no more questions."""
        for subscription in self._subscriptions:
            await subscription.close()

    async def _asked(self, asked: CoreMessage) -> None:
        began_s = clock.monotonic_s()
        name = asked.subject.rsplit(".", 1)[1]
        answer = await self._answer(name, asked.payload, began_s)
        if answer is not None:
            crashpoint("store.answer")
            await asked.reply(pack(answer))
        labelled(metrics.QUERIES, name, answer.status if answer is not None else LATE).inc()
        labelled(metrics.QUERY_SECONDS, name).observe(clock.monotonic_s() - began_s)

    async def _answer(self, name: str, payload: bytes, began_s: float) -> Answer | None:
        """None: nobody waits for it any more."""
        try:
            question = self._question(name, payload)
            patience_s = question.patience_ms / 1000 or math.inf
            return await self._ask(name, question, until_s=began_s + patience_s)
        except (Malformed, Rejected) as err:
            return self._empty("invalid", err.message)
        except psycopg.DataError:
            # An id that is none, or a number beyond a bigint.
            return self._empty("invalid", "a value of the question can't be one of ours")
        except Unavailable as err:
            if err.code == LATE:
                return None
            return self._empty(OVERLOADED if err.code == OVERLOADED else "unavailable", err.message)

    def _question(self, name: str, payload: bytes) -> Any:
        if name == _INBOX:
            return unpack(payload, ReadInbox)
        row_kind = ROW_KINDS.get(name)
        return unpack(payload, row_kind.question if row_kind is not None else _KINDS[name][0])

    def _empty(self, status: Any, reason: str) -> Answer:
        return Answer(
            status=status,
            checkpoint=self._progress.position,
            epoch=self._progress.epoch,
            reason=reason,
        )

    async def _ask(self, name: str, question: Any, *, until_s: float) -> Answer:
        if not await self._reach(question.at_least, until_s):
            return self._empty("behind", f"the checkpoint is below {question.at_least}")
        answer = await self._once(name, question, until_s=until_s)
        if answer.status != "not_found" or question.at_end:
            return answer
        last = await self._end()
        if last <= answer.checkpoint:
            return answer
        if not await self._reach(last, until_s):
            return self._empty("behind", "not found yet, and the log goes on")
        return await self._once(name, question, until_s=until_s)

    async def _reach(self, position: Position, until_s: float) -> bool:
        wait_s = min(self._config.wait_s, max(0.0, until_s - clock.monotonic_s()))
        return await self._progress.reach(position, wait_s)

    async def _read_end(self) -> Position:
        crashpoint("store.question.end_of_log")
        return (await stream_state(self._bus, self._shard)).last

    async def _once(self, name: str, question: Any, *, until_s: float) -> Answer:
        """One snapshot that says itself of which checkpoint it is."""
        if name == _INBOX:
            found: Found = await self._pages.read(question, until_s=until_s)
        elif name in ROW_KINDS:
            found = await self._rows.read(name, question, until_s=until_s)
        else:
            found = await self._others.read((_KINDS[name][1], question), until_s=until_s)
        position, epoch, result = found
        if result is None:
            return Answer(status="not_found", checkpoint=position, epoch=epoch)
        return Answer(
            status="ok", checkpoint=position, epoch=epoch, result=msgspec.Raw(pack(result))
        )

    async def _read_other(self, asked: Sequence[tuple[Ask, Any]]) -> Sequence[Found]:
        """One question, as it comes; these are read one by one."""
        ((ask, question),) = asked
        # In a pipeline, so that the snapshot, the checkpoint and the question itself are one round trip.
        async with (
            borrow(self._pool) as connection,
            connection.pipeline(),
            connection.transaction(),
        ):
            crashpoint("store.question.checkpoint")
            checkpoint = await connection.execute(_CHECKPOINT, [self._shard])
            crashpoint("store.question.read")
            result = await ask(connection, question)
            row = await checkpoint.fetchone()
        if row is None:
            raise Unavailable("the store has not begun yet")
        return [(row[0], row[1], result)]


_CHECKPOINT = b"SELECT position, epoch FROM checkpoint WHERE shard = %s"
