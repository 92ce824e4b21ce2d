"""What the gateway knows of conversations: asked once for all who want to know, and never refused by old news."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.gateway.access import Access
from shared.errors import Rejected
from shared.ids import AccountId, ContactId, ConversationId, InboxId
from shared.queries import FactsRow, GetFacts
from tests.support.log import settled

ACCOUNT, CASE, VISITOR = AccountId("a"), ConversationId("c"), ContactId("v")


class Memory:
    """Stands for the store: each question is answered when the test says what there is."""

    def __init__(self) -> None:
        self.asked: list[tuple[GetFacts, asyncio.Future[bool]]] = []

    async def end_of_log(self) -> int:
        return 0

    async def facts(self, question: GetFacts) -> FactsRow:
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.asked.append((question, answer))
        if not await answer:
            raise Rejected("not_found", "no")
        return FactsRow(
            account_id=question.account_id,
            conversation_id=question.conversation_id,
            contact_id=VISITOR,
            inbox_id=InboxId("i"),
            status="open",
        )


def access() -> tuple[Access, Memory]:
    """Knows nothing yet."""
    memory: Any = Memory()
    directory: Any = None
    return Access(memory, directory, kept=10, fresh_s=5), memory


async def test_many_who_want_to_know_at_once_are_one_question() -> None:
    """However many write to a conversation that nobody here knows, the store is asked once; one who gives up does not
    end it for the others, and who comes later knows it."""
    known, memory = access()
    asking = [asyncio.create_task(known.facts(ACCOUNT, CASE)) for _ in range(5)]
    await settled()
    asking[0].cancel()
    await settled()
    ((_, answer),) = memory.asked
    answer.set_result(True)
    found = await asyncio.gather(*asking[1:])
    assert [facts.contact_id for facts in found] == [VISITOR] * 4
    assert (await known.facts(ACCOUNT, CASE)).contact_id == VISITOR
    assert len(memory.asked) == 1


async def test_who_must_know_more_recent_things_asks_for_themselves() -> None:
    """An answer that need not include a position is none for who must know what stands there."""
    known, memory = access()
    early = asyncio.create_task(known.facts(ACCOUNT, CASE))
    await settled()
    recent = asyncio.create_task(known.facts(ACCOUNT, CASE, at_least=7))
    content = asyncio.create_task(known.facts(ACCOUNT, CASE, at_least=3))
    await settled()
    assert [question.at_least for question, _ in memory.asked] == [0, 7]
    for _, answer in memory.asked:
        answer.set_result(True)
    assert (await recent).as_of == 7
    assert await content is await recent
    await early


async def test_not_found_is_not_told_to_who_asked_later() -> None:
    """A conversation may begin between the question of one and the question of the next: who came later asks again, and
    those who did so together ask once."""
    known, memory = access()
    first = asyncio.create_task(known.facts(ACCOUNT, CASE))
    await settled()
    later = [asyncio.create_task(known.facts(ACCOUNT, CASE)) for _ in range(3)]
    await settled()
    memory.asked[0][1].set_result(False)
    await settled()
    with pytest.raises(Rejected):
        await first
    assert len(memory.asked) == 2
    memory.asked[1][1].set_result(True)
    assert [facts.contact_id for facts in await asyncio.gather(*later)] == [VISITOR] * 3
