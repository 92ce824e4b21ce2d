"""Answers why: how a conversation stands now and what each agent has, from the folded world; a decision of the past,
from the stored log.

The past is folded beside the live world, for a limited time and one question at a time, so that deciding goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from services.dispatcher import metrics
from services.dispatcher.config import Config
from services.dispatcher.decide import Past, explain, loads
from services.dispatcher.handlers import Desk
from services.dispatcher.tables import Row, read_events
from shared import codec
from shared.bus import CoreMessage
from shared.clock import monotonic_s
from shared.commands import AskLoads
from shared.crashpoints import crashpoint
from shared.database import Connection, connect, lost_as_unavailable
from shared.errors import Malformed, Unavailable
from shared.events import ConversationAssigned, ConversationQueued
from shared.explaining import AskThen, AskWhy, Recalled
from shared.ids import AccountId, Position

log = structlog.get_logger(__name__)
_KEPT = 500
Decision = ConversationAssigned | ConversationQueued


class Why:
    """`_told`: answers about the past, which can't change."""

    def __init__(self, desk: Desk, config: Config, *, shard: str, database_url: str) -> None:
        self._desk = desk
        self._limit_s = config.recall_s
        self._shard = shard
        self._url = database_url
        self._told: dict[tuple[AccountId, Position], Recalled] = {}

    async def on_explain(self, message: CoreMessage) -> None:
        """A dispatcher that has not read the log to its end leaves it to another."""
        now_ns = self._desk.act.now_ns
        if now_ns is None:
            metrics.ASKED.labels("behind").inc()
            return
        try:
            question = codec.unpack(message.payload, AskWhy)
        except Malformed:
            metrics.ASKED.labels("malformed").inc()
            return
        world = self._desk.world
        answer = explain(world, question.account_id, question.conversation_id, now_ns=now_ns)
        metrics.ASKED.labels("ok").inc()
        crashpoint("dispatcher.explain.answer")
        await message.reply(codec.pack(answer))

    async def on_loads(self, message: CoreMessage) -> None:
        """As `on_explain`: only who has read the log to its end knows."""
        if self._desk.act.now_ns is None:
            metrics.ASKED.labels("behind").inc()
            return
        try:
            question = codec.unpack(message.payload, AskLoads)
        except Malformed:
            metrics.ASKED.labels("malformed").inc()
            return
        answer = loads(self._desk.world, question.account_id, question.agent_id)
        metrics.ASKED.labels("ok").inc()
        crashpoint("dispatcher.loads.answer")
        await message.reply(codec.pack(answer))

    async def on_recall(self, message: CoreMessage) -> None:
        """One dispatcher is asked; any can answer, the log is in the database."""
        try:
            question = codec.unpack(message.payload, AskThen)
        except Malformed:
            metrics.ASKED.labels("malformed").inc()
            return
        key = (question.account_id, question.decision)
        answer = self._told.get(key)
        if answer is None:
            answer = await self._recalled(question)
            if answer.outcome in ("exact", "differs", "no_choice"):
                if len(self._told) >= _KEPT:
                    self._told.clear()
                self._told[key] = answer
        metrics.RECALLED.labels(answer.outcome).inc()
        crashpoint("dispatcher.recall.answer")
        await message.reply(codec.pack(answer))

    async def _recalled(self, question: AskThen) -> Recalled:
        try:
            return await self._from_log(question)
        except Unavailable as err:
            log.warning("past_not_read", code=err.code, position=question.decision)
            return Recalled(outcome="unavailable")

    async def _from_log(self, question: AskThen) -> Recalled:
        crashpoint("dispatcher.past.connect")
        connection = await connect(
            self._url, name="dispatcher past", statement_timeout_s=self._limit_s
        )
        try:
            with lost_as_unavailable("reading the past"):
                found = await self._decision(connection, question)
                if found is None:
                    return Recalled(outcome="not_found")
                return await self._again(connection, question, *found)
        finally:
            await connection.close()

    async def _again(
        self, connection: Connection, question: AskThen, event: Decision, at_ns: int
    ) -> Recalled:
        past = Past(event, self._desk.world.settings, now_ns=at_ns)
        folded, after, to = 0, 0, question.decision - 1
        account_id, until_s = question.account_id, monotonic_s() + self._limit_s
        crashpoint("dispatcher.past.read")
        while rows := await read_events(connection, self._shard, account_id, after=after, to=to):
            # In a thread: a long past must not keep the loop from the live log.
            await asyncio.to_thread(_fold, past, rows)
            after, folded = rows[-1][0], folded + len(rows)
            if monotonic_s() > until_s:
                return Recalled(outcome="too_much", folded=folded, event=event)
        return await asyncio.to_thread(past.recalled)

    async def _decision(
        self, connection: Connection, question: AskThen
    ) -> tuple[Decision, int] | None:
        at, account_id = question.decision, question.account_id
        crashpoint("dispatcher.past.decision")
        rows = await read_events(connection, self._shard, account_id, after=at - 1, to=at)
        for _, at_ns, payload in rows:
            event = codec.decode_event(payload)
            if not isinstance(event, ConversationAssigned | ConversationQueued):
                continue
            if event.conversation_id == question.conversation_id:
                return event, at_ns
        return None


def _fold(past: Past, rows: Sequence[Row]) -> None:
    for position, at_ns, payload in rows:
        try:
            event = codec.decode_event(payload)
        except Malformed:
            # Nobody could read it when the decision was made either.
            continue
        past.fold(event, position, at_ns)
