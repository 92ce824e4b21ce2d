"""Pages of many inboxes asked for at once are the pages that each would have been given alone."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from services.store.config import Config
from services.store.handlers import questions
from services.store.handlers.questions import open_pools
from services.store.tables.inbox import read_inbox
from services.store.tables.inboxes import read_inboxes
from shared import queries as q
from shared.bus import StreamState
from shared.codec import unpack
from shared.database import borrow
from shared.errors import Unavailable
from shared.ids import AccountId, ConversationId, MessageId
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


async def test_rows_read_together_are_those_read_alone(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """Of many who ask for a conversation, a contact or a MessageID at once each is told of their own, and what is not
    there of nobody; an id that is none spoils nobody else's answer."""
    async with store_here(around):
        last = await log.append_mixed(day(100, seed=6))
        await asker.until_stored(last)
        listed = q.ListConversations(account_id=ACCOUNT, at_least=last)
        rows = (await asker.ask("conversations", listed, q.ConversationPage)).rows
        wanted = [row.conversation_id for row in rows]
        ids = [*wanted, ConversationId(identifier("nothing")), ConversationId("x")]
        asked = [q.GetFacts(account_id=ACCOUNT, conversation_id=each) for each in ids]
        asked.append(msgspec.structs.replace(asked[0], account_id=identifier("another account")))
        contacts = [
            asker.ask("contact", q.GetContact(account_id=ACCOUNT, contact_id=each), q.ContactRow)
            for each in dict.fromkeys(row.contact_id for row in rows)
        ]
        messages = [row.last_message for row in rows if row.last_message is not None]
        looked = [
            q.LookUpMessageId(account_id=ACCOUNT, message_id=each.message_id) for each in messages
        ]
        places = asyncio.gather(*(asker.ask("message_id", each, q.MessageIdRow) for each in looked))
        answers = await asyncio.gather(*(asker.answer("facts", each) for each in asked))
        found = await asyncio.gather(*contacts)
    assert len(rows) > 5
    assert [answer.status for answer in answers[len(rows) :]] == [
        "not_found",
        "invalid",
        "not_found",
    ]
    facts = [unpack(bytes(x.result), q.FactsRow) for x in answers if x.status == "ok"]
    names = q.FactsRow.__struct_fields__
    assert [[getattr(x, name) for name in names] for x in facts] == [
        [getattr(row, name) for name in names] for row in rows
    ]
    assert [each.contact_id for each in found] == list(dict.fromkeys(x.contact_id for x in rows))
    assert [x.position for x in await places] == [each.position for each in messages]


async def test_what_is_not_there_as_of_the_end_is_said_once_asked(
    around: Surroundings, log: TestLog, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who names the log's end with the question is told "not found" by whoever has reached it; who does not is told only
    after the store itself has looked for the end."""

    async def no_answer(*_: object) -> StreamState:
        raise Unavailable("nobody says where the log ends")

    async with store_here(around):
        last = await log.append_mixed(day(20, seed=6))
        await asker.until_stored(last)
        monkeypatch.setattr(questions, "stream_state", no_answer)
        open_end = q.LookUpMessageId(
            account_id=ACCOUNT, message_id=MessageId(identifier("nothing")), at_least=last
        )
        at_end = msgspec.structs.replace(open_end, at_end=True)
        assert (await asker.answer("message_id", at_end)).status == "not_found"
        assert (await asker.answer("message_id", open_end)).status == "unavailable"
