"""An answer that must not cross: what anybody else wrote meanwhile refuses it, stored or still on its way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.gateway.crossing import Crossing
from shared.errors import Rejected
from shared.events import Author
from shared.ids import AccountId, ConversationId, MessageId
from shared.queries import ListMessages, MessagePage, MessageRow
from tests.support.log import settled

ACCOUNT, CASE = AccountId("a"), ConversationId("c")
ANN, BOB = Author(kind="agent", id="ann"), Author(kind="agent", id="bob")
VISITOR = Author(kind="visitor", id="v")


class Memory:
    """Stands for the store; it answers when `open` is set."""

    def __init__(self, *rows: MessageRow) -> None:
        self.rows = rows
        self.open = asyncio.Event()
        self.open.set()

    async def end_of_log(self) -> int:
        return 100

    async def messages(self, _: ListMessages) -> MessagePage:
        await self.open.wait()
        return MessagePage(rows=self.rows)


def row(position: int, author: Author, *, automatic: bool = False) -> MessageRow:
    """A stored message."""
    return MessageRow(
        account_id=ACCOUNT,
        conversation_id=CASE,
        message_id=MessageId(str(position)),
        seq=position,
        position=position,
        at_ns=0,
        author=author,
        content_type="text",
        body=b"",
        automatic=automatic,
    )


def crossing(*rows: MessageRow) -> tuple[Crossing, Memory]:
    """The judge of crossings before a store that holds these rows."""
    memory: Any = Memory(*rows)
    return Crossing(memory), memory


async def ask(judge: Crossing, *, seen_up_to: int = 5) -> None:
    """Bob wants to answer what he saw up to position 5."""
    await judge.check(ACCOUNT, CASE, author=BOB, seen_up_to=seen_up_to)


@pytest.mark.parametrize("newer", [row(6, ANN), row(6, VISITOR)])
async def test_what_others_wrote_since_refuses(newer: MessageRow) -> None:
    """A colleague's answer or another question of the visitor that the author has not seen."""
    judge, _ = crossing(row(5, VISITOR), newer)
    with pytest.raises(Rejected) as refused:
        await ask(judge)
    assert refused.value.code == "crossed"
    await ask(judge, seen_up_to=6)


async def test_own_and_automatic_messages_do_not() -> None:
    """Who writes twice crosses nobody, and an automatic reply is no answer."""
    judge, _memory = crossing(row(5, VISITOR), row(6, BOB), row(7, ANN, automatic=True))
    await ask(judge)


async def test_what_is_on_its_way_refuses() -> None:
    """Given to the log before or during the question, whether the log has answered by then or not."""
    judge, memory = crossing(row(5, VISITOR))
    judge.began(CASE, ANN)
    with pytest.raises(Rejected):
        await ask(judge)
    judge.ended(CASE, ANN)
    await ask(judge)
    memory.open.clear()
    asking = asyncio.create_task(ask(judge))
    await settled()
    judge.began(CASE, ANN)
    judge.ended(CASE, ANN)
    memory.open.set()
    with pytest.raises(Rejected):
        await asking
    await ask(judge)


async def test_nothing_is_kept() -> None:
    """After every answer the memory is as empty as before."""
    judge, _ = crossing()
    for _round in range(3):
        judge.began(CASE, ANN)
        judge.began(CASE, ANN)
        with pytest.raises(Rejected):
            await ask(judge)
        judge.ended(CASE, ANN)
        judge.ended(CASE, ANN)
    assert (judge._in_flight, judge._checked) == ({}, {})
