"""Answers `nd.q.<shard>.<name>`. Every answer comes from one snapshot and carries its checkpoint; "not found" is only
said when that checkpoint has reached the log's end as of the question."""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import psycopg

from services.store import metrics
from services.store.config import Config
from services.store.handlers.pages import Pages
from services.store.handlers.progress import Progress
from services.store.tables import conversations, counts, inbox, messages
from shared.bus import Bus, CoreMessage, Subscription, stream_state
from shared.codec import pack, unpack
from shared.crashpoints import crashpoint
from shared.database import Pool, borrow, open_pool
from shared.errors import Malformed, Rejected, Unavailable
from shared.queries import (
    Answer,
    FindReceived,
    GetContact,
    GetConversation,
    GetCounts,
    GetHistory,
    GetMessage,
    ListConversations,
    ListMessages,
    ListNotes,
    LookUpMessageId,
    ReadHeads,
    ReadInbox,
)
from shared.subjects import query_subject

Ask = Callable[[Any, Any], Awaitable[Any]]
Once = Callable[[Any], Awaitable[Answer]]
_KINDS: dict[str, tuple[type[msgspec.Struct], Ask]] = {
    "conversation": (GetConversation, conversations.get_conversation),
    "conversations": (ListConversations, conversations.list_conversations),
    "messages": (ListMessages, messages.list_messages),
    "notes": (ListNotes, messages.list_notes),
    "contact": (GetContact, messages.get_contact),
    "message": (GetMessage, messages.get_message),
    "message_id": (LookUpMessageId, messages.look_up_message_id),
    "history": (GetHistory, messages.get_history),
    "received": (FindReceived, messages.find_received),
    "heads": (ReadHeads, inbox.read_heads),
    "counts": (GetCounts, counts.get_counts),
}
_INBOX = "inbox"
_WAITING_PER_CONNECTION = 32


class Pools(msgspec.Struct, frozen=True, kw_only=True):
    """Pages of inboxes have connections of their own: who comes back does not wait for lists, nor they for many who
    come back, and their one statement is planned once and not for each of them."""

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
        self._bus = bus
        self._pool = pools.questions
        self._pages = Pages(
            pools.pages, shard=shard, connections=config.query_connections, progress=progress
        )
        self._shard = shard
        self._config = config
        self._progress = progress
        self._subscriptions: list[Subscription] = []

    async def open(self) -> None:
        """Begin to answer."""
        concurrency = self._config.query_connections * _WAITING_PER_CONNECTION
        for name in (*_KINDS, _INBOX):
            subject = query_subject(self._shard, name)
            crashpoint("store.start.subscribe")
            subscription = await self._bus.subscribe(
                subject, self._asked, queue="store", concurrency=concurrency
            )
            self._subscriptions.append(subscription)

    async def close(self) -> None:
        """Take no more questions."""
        for subscription in self._subscriptions:
            await subscription.close()

    async def _asked(self, asked: CoreMessage) -> None:
        began_at = time.monotonic()
        name = asked.subject.rsplit(".", 1)[1]
        answer = await self._answer(name, asked.payload)
        crashpoint("store.answer")
        await asked.reply(pack(answer))
        metrics.QUERIES.labels(name, answer.status).inc()
        metrics.QUERY_SECONDS.labels(name).observe(time.monotonic() - began_at)

    async def _answer(self, name: str, payload: bytes) -> Answer:
        try:
            if name == _INBOX:
                return await self._ask(self._page, unpack(payload, ReadInbox))
            kind, ask = _KINDS[name]
            return await self._ask(functools.partial(self._once, ask), unpack(payload, kind))
        except (Malformed, Rejected) as err:
            return self._empty("invalid", err.message)
        except psycopg.DataError:
            # An id that is none, or a number beyond a bigint.
            return self._empty("invalid", "a value of the question can't be one of ours")
        except Unavailable as err:
            return self._empty("unavailable", err.message)

    def _empty(self, status: Any, reason: str) -> Answer:
        return Answer(
            status=status,
            checkpoint=self._progress.position,
            epoch=self._progress.epoch,
            reason=reason,
        )

    async def _ask(self, once: Once, question: Any) -> Answer:
        if not await self._progress.reach(question.at_least, self._config.wait_s):
            return self._empty("behind", f"the checkpoint is below {question.at_least}")
        answer = await once(question)
        if answer.status != "not_found":
            return answer
        crashpoint("store.question.end_of_log")
        state = await stream_state(self._bus, self._shard)
        if state.last <= answer.checkpoint:
            return answer
        if not await self._progress.reach(state.last, self._config.wait_s):
            return self._empty("behind", "not found yet, and the log goes on")
        return await once(question)

    async def _page(self, question: ReadInbox) -> Answer:
        """One statement that says itself of which checkpoint it is."""
        position, epoch, page = await self._pages.read(question)
        return Answer(status="ok", checkpoint=position, epoch=epoch, result=msgspec.Raw(pack(page)))

    async def _once(self, ask: Ask, question: Any) -> Answer:
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
        position, epoch = row
        if result is None:
            return Answer(status="not_found", checkpoint=position, epoch=epoch)
        return Answer(
            status="ok", checkpoint=position, epoch=epoch, result=msgspec.Raw(pack(result))
        )


_CHECKPOINT = b"SELECT position, epoch FROM checkpoint WHERE shard = %s"
