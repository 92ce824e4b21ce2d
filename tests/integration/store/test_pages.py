"""Pages of many inboxes asked for at once are the pages that each would have been given alone."""

from __future__ import annotations

import asyncio

import msgspec

from services.store.config import Config
from services.store.handlers.questions import open_pools
from services.store.tables.inbox import read_inbox
from services.store.tables.inboxes import read_inboxes
from shared import queries as q
from shared.codec import unpack
from shared.database import borrow
from shared.ids import AccountId
from shared.packed import entries_of, ids_in
from shared.wire.frames import MAX_TEXT_CHARS
from tests.integration.store.conftest import Asker, store_here
from tests.integration.store.traffic import AGENTS, day
from tests.support.desk import ACCOUNT, agent_id, contact_id, identifier
from tests.support.services import Surroundings, TestLog

_OWNERS = [*(agent_id(name) for name in AGENTS), *(contact_id(f"c{n}") for n in range(6))]


def _questions(*, at_least: int) -> list[q.ReadInbox]:
    """Whole inboxes, stretches of them, what may need an alert, and nothing: of nobody, and of another account."""
    whole = q.ReadInbox(account_id=ACCOUNT, owner_id="", at_least=at_least, unheard_since_ns=1)
    foreign = AccountId(identifier("another account"))
    replaced = msgspec.structs.replace
    return [
        *(replaced(whole, owner_id=owner) for owner in _OWNERS),
        *(replaced(whole, owner_id=owner, after=150, limit=7) for owner in _OWNERS),
        *(replaced(whole, owner_id=owner, after=2**62, counts_unread=False) for owner in _OWNERS),
        replaced(whole, owner_id=identifier("nobody")),
        replaced(whole, owner_id=_OWNERS[0], account_id=foreign),
    ]


def _shown(page: q.InboxPage, question: q.ReadInbox) -> tuple[object, ...]:
    """What a page says; the order of lines, of held conversations and of receipts of one event means nothing."""
    plain = msgspec.structs.replace(page, entries=(), packed=b"", held=b"", receipts=())
    receipts = sorted(page.receipts, key=lambda row: (row.conversation_id, row.recipient.id))
    return plain, entries_of(page, question), ids_in(page.held), receipts


async def test_pages_read_together_are_those_read_alone(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """One statement for many inboxes says of each what its own statement says, in the order of the questions."""
    async with store_here(around):
        last = await log.append_mixed(day(400, seed=5))
        await asker.until_stored(last)
        pools = await open_pools(around.database_url, Config())
        try:
            async with borrow(pools.pages) as connection:
                questions = _questions(at_least=last)
                alone = [
                    await read_inbox(connection, each, around.shard, end=last) for each in questions
                ]
                together = await read_inboxes(connection, questions, around.shard, end=last)
        finally:
            await pools.close()
    assert together is not None
    assert len(together) == len(alone) == len(questions)
    for question, one, other in zip(questions, alone, together, strict=True):
        assert one is not None
        assert other[:2] == one[:2]
        assert _shown(other[2], question) == _shown(one[2], question)
    pages = [page for _, _, page in together]
    assert any(page.unheard for page in pages)
    assert any(page.entries for page in pages)
    assert any(page.more for page in pages)


async def test_who_asks_nonsense_spoils_nobody_else_s_page(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """Among many questions that come at once, each gets its own answer; those that can't be asked are invalid alone."""
    async with store_here(around):
        last = await log.append_mixed(day(100, seed=6))
        await asker.until_stored(last)
        good = _questions(at_least=last)
        bad = [
            msgspec.structs.replace(good[0], owner_id="x" * MAX_TEXT_CHARS),
            msgspec.structs.replace(good[0], after=2**63),
        ]
        asked = [*good[:9], bad[0], *good[9:], bad[1]]
        answers = await asyncio.gather(*(asker.answer("inbox", each) for each in asked))
        alone = [await asker.answer("inbox", each) for each in good]
    invalid = [each for each, answer in zip(asked, answers, strict=True) if answer.status != "ok"]
    assert invalid == bad
    pages = [unpack(bytes(x.result), q.InboxPage) for x in answers if x.status == "ok"]
    for question, page, answer in zip(good, pages, alone, strict=True):
        assert _shown(page, question) == _shown(unpack(bytes(answer.result), q.InboxPage), question)
