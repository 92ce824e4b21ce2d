"""Questions to the store: request and reply, asked again while a store is behind or has too much to do, its answers
mapped to results and to the three kinds of failure. The only file that knows the names of the queries."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Generic, TypeVar

import msgspec

from services.gateway import metrics
from services.gateway.turns import Turns
from shared import clock
from shared.bus import Bus, stream_state
from shared.codec import pack, unpack
from shared.crashpoints import crashpoint
from shared.errors import Malformed, Rejected, Unavailable
from shared.ids import Position
from shared.joined import Joined
from shared.labelled import labelled
from shared.queries import (
    Answer,
    ContactRow,
    ConversationPage,
    ConversationRow,
    Counts,
    FactsRow,
    FindReceived,
    GetContact,
    GetConversation,
    GetCounts,
    GetFacts,
    GetHistory,
    GetMessage,
    Heads,
    History,
    InboxPage,
    ListConversations,
    ListMessages,
    ListNotes,
    LookUpMessageId,
    MessageIdRow,
    MessagePage,
    MessageRow,
    NotePage,
    ReadHeads,
    ReadInbox,
    ReceivedRow,
)
from shared.subjects import query_subject

T = TypeVar("T")

_ONE_TRY_S = 2.5
_BEHIND_PAUSE_S = 0.05
_OVERLOADED_PAUSE_S = 0.4


class Told(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A result, with the position it stands for and the epoch of the numbers in it."""

    result: T
    checkpoint: Position
    epoch: str


class Asking:
    """Every question that the store answers. All of them raise:

    Rejected("not_found"): there is no such thing in this account as of the question. Rejected("invalid"): a bad
    cursor or filter. Unavailable: nobody could answer in time, every store is behind (code "behind"), or more is asked than can be
    answered in time ("overloaded").
    """

    def __init__(self, bus: Bus, shard: str, *, timeout_s: float, at_once: int) -> None:
        self._bus = bus
        self._shard = shard
        self._timeout_s = timeout_s
        self._at_once = at_once
        self._turns: dict[str, Turns] = {}
        self._end = Joined(self._read_end)

    async def conversation(self, question: GetConversation) -> ConversationRow:
        """One conversation with its receipts."""
        return (await self._ask("conversation", question, ConversationRow)).result

    async def facts(self, question: GetFacts) -> FactsRow:
        """Whose a conversation is."""
        return (await self._ask("facts", question, FactsRow)).result

    async def conversations(self, question: ListConversations) -> ConversationPage:
        """A page of a list."""
        return (await self._ask("conversations", question, ConversationPage)).result

    async def messages(self, question: ListMessages) -> MessagePage:
        """Messages of a conversation."""
        return (await self._ask("messages", question, MessagePage)).result

    async def notes(self, question: ListNotes) -> NotePage:
        """Notes of a conversation."""
        return (await self._ask("notes", question, NotePage)).result

    async def contact(self, question: GetContact) -> ContactRow:
        """One visitor."""
        return (await self._ask("contact", question, ContactRow)).result

    async def message(self, question: GetMessage) -> MessageRow:
        """One message."""
        return (await self._ask("message", question, MessageRow)).result

    async def message_id(self, question: LookUpMessageId) -> MessageIdRow | None:
        """Where a MessageID was first stored; None only when it is not in the log as of now."""
        try:
            return (await self._ask("message_id", question, MessageIdRow)).result
        except Rejected as err:
            if err.code == "not_found":
                return None
            raise

    async def history(self, question: GetHistory) -> History:
        """The events of a conversation."""
        return (await self._ask("history", question, History)).result

    async def received(self, question: FindReceived) -> ReceivedRow | None:
        """The receipt by which a recipient first had something; None if there is none (to be found)."""
        try:
            return (await self._ask("received", question, ReceivedRow)).result
        except Rejected as err:
            if err.code == "not_found":
                return None
            raise

    async def counts(self, question: GetCounts) -> Counts:
        """Figures for badges."""
        return (await self._ask("counts", question, Counts)).result

    async def inbox(self, question: ReadInbox) -> Told[InboxPage]:
        """Entries of an inbox after a position."""
        return await self._ask("inbox", question, InboxPage)

    async def heads(self, question: ReadHeads) -> Told[Heads]:
        """Inboxes of a bucket that moved."""
        return await self._ask("heads", question, Heads)

    async def end_of_log(self) -> Position:
        """The log's last position, asked after this call began; callers at the same moment share one request."""
        return await self._end()

    async def _read_end(self) -> Position:
        crashpoint("gateway.end_of_log")
        return (await stream_state(self._bus, self._shard)).last

    async def _ask(self, name: str, question: Any, kind: type[T]) -> Told[T]:
        started = clock.monotonic_s()
        outcome = "unavailable"
        try:
            answer = await self._in_turn(name, question, started + self._timeout_s)
            outcome = answer.status
            return _told(answer, kind)
        finally:
            labelled(metrics.ASK_SECONDS, name, outcome).observe(clock.monotonic_s() - started)

    async def _in_turn(self, name: str, question: Any, deadline: float) -> Answer:
        turns = self._turns.get(name)
        if turns is None:
            turns = self._turns[name] = Turns(name, at_once=self._at_once)
        async with turns.take(getattr(question, "account_id", ""), until_s=deadline):
            return await self._answered(name, question, deadline)

    async def _answered(self, name: str, question: Any, deadline: float) -> Answer:
        """Ask until a store can answer. A lost answer is asked for once more: questions change nothing."""
        subject = query_subject(self._shard, name)
        code = "behind"
        while True:
            left_s = deadline - clock.monotonic_s()
            if left_s <= 0:
                raise Unavailable(f"the store is {code}", code=code)
            patience_s = min(left_s, _ONE_TRY_S)
            asked = msgspec.structs.replace(question, patience_ms=max(1, int(patience_s * 1000)))
            try:
                crashpoint("gateway.ask")
                raw = await self._bus.request(subject, pack(asked), timeout_s=patience_s)
            except Unavailable as err:
                if err.code != "timeout" or deadline - clock.monotonic_s() <= _BEHIND_PAUSE_S:
                    raise
                continue
            answer = unpack(raw, Answer)
            match answer.status:
                case "behind" | "overloaded":
                    code = answer.status
                    await asyncio.sleep(_pause_s(code))
                case _:
                    return answer


def _pause_s(code: str) -> float:
    """Those who were told that there is too much to do come again one by one."""
    if code == "behind":
        return _BEHIND_PAUSE_S
    return _OVERLOADED_PAUSE_S * random.uniform(0.25, 1)  # noqa: S311 - jitter


def _told(answer: Answer, kind: type[T]) -> Told[T]:
    match answer.status:
        case "ok":
            try:
                result = msgspec.msgpack.decode(answer.result, type=kind)
            except msgspec.DecodeError as err:
                raise Malformed("an answer of the store can't be read") from err
            return Told(result=result, checkpoint=answer.checkpoint, epoch=answer.epoch)
        case "not_found":
            raise Rejected("not_found", "there is no such thing")
        case "invalid":
            raise Rejected("invalid", answer.reason or "the question is not valid")
        case _:
            raise Unavailable("the store can't answer now")
