"""What the store answers: fresh as asked, complete in pages, honest about what it does not know."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from shared import events as e
from shared import queries as q
from shared.ids import AccountId, ContactId, ConversationId, InboxId, MessageId, TeamId
from shared.packed import entries_of
from shared.subjects import bucket_of
from tests.integration.store.conftest import Asker, store_here
from tests.integration.store.traffic import (
    assigned,
    created,
    noted,
    posted,
    queued,
    read_by,
    received_by,
    staff,
)
from tests.support.desk import (
    ACCOUNT,
    INBOX,
    TEAM,
    agent_id,
    contact_id,
    conversation_id,
    identifier,
    snoozed,
    started,
    visitor,
)
from tests.support.services import Surroundings, TestLog

ANN, BOB = agent_id("ann"), agent_id("bob")
FOREIGN = AccountId(identifier("another account"))


@pytest.fixture
async def store(around: Surroundings, log: TestLog) -> AsyncIterator[None]:
    """A running store and one visitor with a conversation."""
    async with store_here(around):
        await log.append("conversation", created("v"), started("v"))
        yield


async def inbox(
    asker: Asker, owner: str, *, at_least: int, after: int = 0, limit: int = 500
) -> q.InboxPage:
    question = q.ReadInbox(
        account_id=ACCOUNT, owner_id=owner, after=after, limit=limit, at_least=at_least
    )
    page = await asker.ask("inbox", question, q.InboxPage)
    return msgspec.structs.replace(page, entries=entries_of(page, question))


async def conversation(asker: Asker, *, at_least: int, viewer: str = "") -> q.ConversationRow:
    question = q.GetConversation(
        account_id=ACCOUNT,
        conversation_id=conversation_id("v"),
        viewer_id=viewer,
        at_least=at_least,
    )
    return await asker.ask("conversation", question, q.ConversationRow)


@pytest.mark.usefixtures("store")
async def test_what_waited_comes_with_the_assignment_once(log: TestLog, asker: Asker) -> None:
    """Messages of the night come as a range with the first assignment; a second holder gets all, the first one
    only what they missed."""
    await log.append("message", *(posted("v", f"m{i}") for i in range(3)))
    await log.append("routing", assigned("v", "ann"))
    await log.append("message", posted("v", "m3"))
    await log.append("routing", assigned("v", "bob"))
    await log.append("message", posted("v", "m4"))
    last = (await log.append("routing", assigned("v", "ann")))[0]
    ann = await inbox(asker, ANN, at_least=last)
    assert [(x.kind, x.from_seq, x.to_seq) for x in ann.entries] == [
        ("conversation_assigned", 1, 3),
        ("message", 0, 0),
        ("conversation_left", 0, 0),
        ("conversation_assigned", 5, 5),
    ]
    assert [row.seq for row in ann.entries[0].messages] == [1, 2, 3]
    bob = await inbox(asker, BOB, at_least=last)
    assert [(x.kind, x.from_seq, x.to_seq, x.held) for x in bob.entries] == [
        ("conversation_assigned", 1, 4, False),
        ("message", 0, 0, False),
        ("conversation_left", 0, 0, False),
    ]


@pytest.mark.usefixtures("store")
async def test_an_inbox_read_in_pages_is_the_inbox_read_at_once(log: TestLog, asker: Asker) -> None:
    """Small pages and one large page give the same chain, and the head says where it ends."""
    last = (await log.append("message", *(posted("v", f"m{i}") for i in range(23))))[-1]
    whole = await inbox(asker, contact_id("v"), at_least=last)
    found: list[q.Entry] = []
    after = 0
    while True:
        page = await inbox(asker, contact_id("v"), at_least=last, after=after, limit=5)
        found += page.entries
        after = found[-1].position
        if not page.more:
            break
    assert tuple(found) == whole.entries
    assert [x.prev for x in found] == [0, *[x.position for x in found[:-1]]]
    assert whole.head == found[-1].position


@pytest.mark.usefixtures("store")
async def test_large_texts_cut_a_page_by_size(log: TestLog, asker: Asker) -> None:
    """An answer stays under 512 KiB, and paging still reaches the end."""
    large = [
        e.MessagePosted(
            account_id=ACCOUNT,
            conversation_id=conversation_id("v"),
            message_id=MessageId(identifier(f"large {i}")),
            author=visitor("v"),
            content_type="text",
            body=bytes(60_000),
            fingerprint=b"f",
        )
        for i in range(20)
    ]
    last = 0
    for event in large:
        last = (await log.append("message", event))[0]
    seqs: list[int] = []
    while True:
        question = q.ListMessages(
            account_id=ACCOUNT,
            conversation_id=conversation_id("v"),
            after_seq=seqs[-1] if seqs else 0,
            at_least=last,
        )
        answer = await asker.answer("messages", question)
        assert len(bytes(answer.result)) < 512 * 1024
        page = await asker.ask("messages", question, q.MessagePage)
        seqs += [row.seq for row in page.rows]
        if not page.more:
            break
    assert seqs == list(range(1, 21))


@pytest.mark.usefixtures("store")
async def test_messages_are_read_backwards_too(log: TestLog, asker: Asker) -> None:
    """The last page first, each page in ascending order."""
    last = (await log.append("message", *(posted("v", f"m{i}") for i in range(10))))[-1]
    question = q.ListMessages(
        account_id=ACCOUNT,
        conversation_id=conversation_id("v"),
        before_seq=9,
        limit=3,
        at_least=last,
    )
    page = await asker.ask("messages", question, q.MessagePage)
    assert ([row.seq for row in page.rows], page.more) == ([6, 7, 8], True)


@pytest.mark.usefixtures("store")
async def test_receipts_reach_both_sides(log: TestLog, asker: Asker) -> None:
    """What the agent's devices hold and what was read is told by position; unread counts follow what was read."""
    positions = await log.append("message", *(posted("v", f"m{i}") for i in range(3)))
    await log.append("routing", assigned("v", "ann"))
    answers = await log.append(
        "message", posted("v", "a1", author=staff("ann")), posted("v", "a2", author=staff("ann"))
    )
    last = (await log.append("receipt", received_by(staff("ann"), "d1", answers[0])))[0]
    row = await conversation(asker, at_least=last, viewer=ANN)
    assert (row.unread, row.receipts[0].received, row.receipts[0].read) == (3, answers[0], 0)
    last = (
        await log.append(
            "receipt",
            read_by(staff("ann"), "v", positions[1]),
            read_by(visitor("v"), "v", answers[0]),
        )
    )[-1]
    assert (await conversation(asker, at_least=last, viewer=ANN)).unread == 1
    assert (await conversation(asker, at_least=last, viewer=contact_id("v"))).unread == 1
    page = await inbox(asker, contact_id("v"), at_least=last)
    found = {(x.recipient.kind, x.received, x.read) for x in page.receipts}
    assert found == {("agent", answers[0], positions[1]), ("visitor", answers[0], answers[0])}
    assert page.unread == 1
    late = await log.append("receipt", received_by(staff("ann"), "d2", positions[0]))
    assert (await conversation(asker, at_least=late[0])).receipts[0].received == answers[0]


@pytest.mark.usefixtures("store")
async def test_a_used_message_id_is_a_repeat_or_a_clash(log: TestLog, asker: Asker) -> None:
    """The same fingerprint is shown once; another one is kept beside it, with the id that opens its text."""
    first = (await log.append("message", posted("v", "m")))[0]
    last = (await log.append("message", posted("v", "m"), posted("v", "m", fingerprint=b"other")))[
        -1
    ]
    question = q.ListMessages(
        account_id=ACCOUNT, conversation_id=conversation_id("v"), at_least=last
    )
    page = await asker.ask("messages", question, q.MessagePage)
    assert [(row.seq, row.position, row.id_clash, row.clash_of) for row in page.rows] == [
        (1, first, False, None),
        (2, last, True, MessageId(identifier("message m"))),
    ]
    looked = q.LookUpMessageId(
        account_id=ACCOUNT, message_id=MessageId(identifier("message m")), at_least=last
    )
    assert (await asker.ask("message_id", looked, q.MessageIdRow)).position == first


@pytest.mark.usefixtures("store")
async def test_edits_and_retractions_change_the_text_and_nothing_else(
    log: TestLog, asker: Asker
) -> None:
    """The higher revision is shown, a retraction empties it, and both come as entries."""
    message_id = MessageId(identifier("message m"))
    edits = [
        e.MessageEdited(
            account_id=ACCOUNT,
            conversation_id=conversation_id("v"),
            message_id=message_id,
            revision=n,
            author=visitor("v"),
            body=text,
        )
        for n, text in ((2, b"two"), (1, b"one"))
    ]
    position = (await log.append("message", posted("v", "m")))[0]
    last = (await log.append("message", *edits))[-1]
    asked = q.GetMessage(account_id=ACCOUNT, message_id=message_id, at_least=last)
    row = await asker.ask("message", asked, q.MessageRow)
    assert (row.body, row.revision, row.seq, row.position) == (b"two", 2, 1, position)
    gone = e.MessageRetracted(
        account_id=ACCOUNT,
        conversation_id=conversation_id("v"),
        message_id=message_id,
        author=visitor("v"),
    )
    last = (await log.append("message", gone, gone))[-1]
    page = await inbox(asker, contact_id("v"), at_least=last)
    assert [x.kind for x in page.entries] == ["message", "message_edited", "message_retracted"]
    assert {(x.message.body, x.message.retracted) for x in page.entries if x.message} == {
        (b"", True)
    }


@pytest.mark.usefixtures("store")
async def test_a_merged_contact_goes_on_in_one_inbox(log: TestLog, asker: Asker) -> None:
    """Conversations move, the new inbox gets what comes, and receipts under the old id count."""
    await log.append("conversation", created("real"))
    await log.append("message", posted("v", "m0"))
    merged = e.ContactMerged(
        account_id=ACCOUNT, contact_id=contact_id("v"), into=contact_id("real")
    )
    await log.append("conversation", merged)
    answer = (await log.append("message", posted("v", "a", author=staff("ann"))))[0]
    last = (await log.append("receipt", received_by(visitor("v"), "d", answer)))[0]
    page = await inbox(asker, contact_id("real"), at_least=last)
    assert [x.kind for x in page.entries] == ["conversation_changed", "message"]
    assert [(x.recipient.id, x.received) for x in page.receipts] == [(contact_id("real"), answer)]
    listed = q.ListConversations(account_id=ACCOUNT, contact_id=contact_id("v"))
    found = await asker.ask("conversations", listed, q.ConversationPage)
    assert [row.contact_id for row in found.rows] == [contact_id("real")]
    row = await asker.ask(
        "contact", q.GetContact(account_id=ACCOUNT, contact_id=contact_id("v")), q.ContactRow
    )
    assert row.merged_into == contact_id("real")


@pytest.mark.usefixtures("store")
async def test_lists_page_by_cursor_and_filter(log: TestLog, asker: Asker) -> None:
    """Every conversation comes once, last change first; filters are and-ed; the longest wait can lead. What is unassigned
    is what is counted so: what waits in a queue, not what was put away."""
    names = [f"w{i}" for i in range(7)]
    for name in names:
        await log.append("conversation", created(name), started(name))
        await log.append("message", posted(name, f"of {name}"))
    await log.append("routing", assigned("w1", "ann"))
    last = (await log.append("routing", queued("w2")))[0]

    async def every(**filters: object) -> list[str]:
        found: list[str] = []
        after = ""
        while True:
            question = q.ListConversations(
                account_id=ACCOUNT,
                limit=2,
                after=after,
                at_least=last,
                **filters,  # type: ignore[arg-type]
            )
            page = await asker.ask("conversations", question, q.ConversationPage)
            found += [row.conversation_id for row in page.rows]
            after = page.next
            if not after:
                return found

    def ids(*wanted: str) -> list[str]:
        return [conversation_id(name) for name in wanted]

    assert await every() == ids("w2", "w1", "w6", "w5", "w4", "w3", "w0", "v")
    assert await every(agent_id=ANN) == ids("w1")
    assert await every(is_unassigned=True, order="waiting") == ids(
        "w0", "w2", "w3", "w4", "w5", "w6"
    )
    assert await every(statuses=("open",), viewer_id=ANN, is_unread=True) == ids("w1")
    assert await every(labels=("nothing",)) == []
    counts = await asker.ask("counts", q.GetCounts(account_id=ACCOUNT, viewer_id=ANN), q.Counts)
    rows = {x.status: (x.conversations, x.team_unread, x.is_held) for x in counts.rows}
    assert rows == {"queued": (6, 6, False), "open": (1, 1, True), "replied": (1, 0, False)}
    assert [(x.status, x.conversations, x.unread) for x in counts.mine] == [("open", 1, 1)]
    assert await every(is_team_unread=True) == ids("w2", "w1", "w6", "w5", "w4", "w3", "w0")
    put_away = snoozed("w2", "ann", seen_up_to=last, until_ns=2**62)
    last = (await log.append("conversation", put_away))[0]
    assert await every(is_unassigned=True, order="waiting") == ids("w0", "w3", "w4", "w5", "w6")


@pytest.mark.usefixtures("store")
async def test_unread_is_counted_for_the_team_and_for_the_one_who_asks(
    log: TestLog, asker: Asker
) -> None:
    """Whoever of the desk reads clears it for the team, an answer clears it for everybody, and a new message makes it
    unread again; counting what filters let through finds the same, and what counts nothing is not there."""
    position = (await log.append("message", posted("v", "m0")))[0]
    position = (await log.append("routing", assigned("v", "ann")))[0]

    async def unread(viewer: str, at_least: int) -> tuple[int, int]:
        among = q.ListConversations(account_id=ACCOUNT, channel="web")
        found = set()
        for question in (
            q.GetCounts(account_id=ACCOUNT, viewer_id=viewer, at_least=at_least),
            q.GetCounts(account_id=ACCOUNT, viewer_id=viewer, at_least=at_least, among=among),
        ):
            counts = await asker.ask("counts", question, q.Counts)
            assert sum(row.conversations for row in counts.rows) == 1
            assert not counts.is_cut
            found.add(
                (
                    sum(row.team_unread for row in counts.rows),
                    sum(row.unread for row in counts.mine),
                )
            )
        assert len(found) == 1
        return found.pop()

    assert await unread(ANN, position) == (1, 1)
    position = (await log.append("receipt", read_by(staff("bob"), "v", position)))[0]
    assert await unread(ANN, position) == (0, 1)
    assert await unread(BOB, position) == (0, 0)
    position = (await log.append("receipt", read_by(staff("ann"), "v", position)))[0]
    assert await unread(ANN, position) == (0, 0)
    position = (await log.append("message", posted("v", "m1")))[0]
    assert await unread(ANN, position) == (1, 1)
    answer = posted("v", "m2", author=staff("ann"), seen=position)
    position = (await log.append("message", answer))[0]
    assert await unread(ANN, position) == (0, 0)


@pytest.mark.usefixtures("store")
async def test_agents_list_what_they_may_open(log: TestLog, asker: Asker) -> None:
    """What another team has is listed to whoever holds it, and apart to whoever held it last; what no team has, or one had
    that was removed, by its inbox."""
    names = ("theirs", "held", "left", "loose", "elsewhere", "orphan")
    for name in names:
        inbox_id = InboxId(identifier("foreign inbox")) if name == "elsewhere" else INBOX
        await log.append("conversation", created(name), started(name, inbox_id=inbox_id))
    routed = [
        msgspec.structs.replace(event, team_id=TeamId(identifier("other")))
        for event in (
            assigned("theirs", "bob"),
            assigned("held", "ann"),
            assigned("left", "ann"),
            queued("left"),
        )
    ]
    gone = TeamId(identifier("gone"))
    routed.append(msgspec.structs.replace(assigned("orphan", "bob"), team_id=gone))
    last = (await log.append("routing", *routed))[-1]
    question = q.ListConversations(
        account_id=ACCOUNT,
        viewer_id=ANN,
        teams=(TEAM,),
        present_teams=(TEAM, TeamId(identifier("other"))),
        foreign_inboxes=(InboxId(identifier("foreign inbox")),),
        at_least=last,
    )
    page = await asker.ask("conversations", question, q.ConversationPage)
    found = {row.conversation_id for row in page.rows}
    assert found == {conversation_id(name) for name in ("held", "loose", "orphan", "v")}
    left = q.ListConversations(account_id=ACCOUNT, previous_agent_id=ANN, at_least=last)
    page = await asker.ask("conversations", left, q.ConversationPage)
    assert [row.conversation_id for row in page.rows] == [conversation_id("left")]
    question = msgspec.structs.replace(question, team_id=TEAM, team_inboxes=(INBOX,))
    page = await asker.ask("conversations", question, q.ConversationPage)
    found = {row.conversation_id for row in page.rows}
    assert found == {conversation_id(name) for name in ("loose", "orphan", "v")}


@pytest.mark.usefixtures("store")
async def test_notes_and_history_are_for_who_asks_for_them(log: TestLog, asker: Asker) -> None:
    """A repeated append of a note is one note; the history holds every event of the conversation."""
    await log.append("routing", assigned("v", "ann"))
    last = (await log.append("conversation", noted("v", "n"), noted("v", "n")))[-1]
    ids = {"account_id": ACCOUNT, "conversation_id": conversation_id("v"), "at_least": last}
    notes = await asker.ask("notes", q.ListNotes(**ids), q.NotePage)  # type: ignore[arg-type]
    assert len(notes.rows) == 1
    history = await asker.ask("history", q.GetHistory(**ids), q.History)  # type: ignore[arg-type]
    assert [row.position for row in history.rows] == [2, 3, 4, 5]
    assert [x.kind for x in (await inbox(asker, ANN, at_least=last)).entries] == [
        "conversation_assigned",
        "note",
    ]
    kinds = {x.kind for x in (await inbox(asker, contact_id("v"), at_least=last)).entries}
    assert "note" not in kinds


@pytest.mark.usefixtures("store")
async def test_heads_name_the_inboxes_that_moved(log: TestLog, asker: Asker) -> None:
    """One question tells a gateway which inboxes to read after a silence."""
    first = (await log.append("message", posted("v", "m0")))[0]
    last = (await log.append("routing", assigned("v", "ann")))[0]
    asked = q.ReadHeads(bucket=bucket_of(ACCOUNT), since=first, at_least=last)
    heads = await asker.ask("heads", asked, q.Heads)
    assert heads.heads == {ANN: last, contact_id("v"): last}
    other = q.ReadHeads(bucket=(bucket_of(ACCOUNT) + 1) % 16, since=0, at_least=last)
    assert (await asker.ask("heads", other, q.Heads)).heads == {}


@pytest.mark.usefixtures("store")
async def test_a_foreign_account_finds_nothing(log: TestLog, asker: Asker) -> None:
    """An id of another account is not found, its inbox is empty, its list has no rows."""
    last = (await log.append("message", posted("v", "m")))[0]
    owner, message = contact_id("v"), MessageId(identifier("message m"))
    questions = {
        "conversation": q.GetConversation(account_id=FOREIGN, conversation_id=conversation_id("v")),
        "messages": q.ListMessages(account_id=FOREIGN, conversation_id=conversation_id("v")),
        "notes": q.ListNotes(account_id=FOREIGN, conversation_id=conversation_id("v")),
        "history": q.GetHistory(account_id=FOREIGN, conversation_id=conversation_id("v")),
        "message": q.GetMessage(account_id=FOREIGN, message_id=message),
        "message_id": q.LookUpMessageId(account_id=FOREIGN, message_id=message),
        "contact": q.GetContact(account_id=FOREIGN, contact_id=ContactId(owner)),
    }
    await asker.until_stored(last)
    for name, question in questions.items():
        assert (await asker.answer(name, question)).status == "not_found", name
    page = await asker.ask("inbox", q.ReadInbox(account_id=FOREIGN, owner_id=owner), q.InboxPage)
    assert (page.entries, page.head, page.unread) == ((), 0, 0)


@pytest.mark.usefixtures("store")
async def test_bad_questions_are_invalid_and_harm_nobody(log: TestLog, asker: Asker) -> None:
    """Foreign cursors, ids that are none get an answer; the store goes on."""
    bad = {
        "conversations": q.ListConversations(account_id=ACCOUNT, after="no cursor of ours"),
        "conversation": q.GetConversation(
            account_id=ACCOUNT, conversation_id=ConversationId("'; DROP TABLE messages; --")
        ),
        "message": q.GetMessage(account_id=ACCOUNT, message_id=MessageId("a\0b")),
    }
    last = (await log.append("message", posted("v", "m")))[0]
    await asker.until_stored(last)
    for name, question in bad.items():
        assert (await asker.answer(name, question)).status == "invalid", name
    assert (await conversation(asker, at_least=last)).last_seq == 1


async def test_a_store_that_is_behind_says_so(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """A question about a position that is not stored in time is "behind", never an older answer."""
    async with store_here(around):
        last = (await log.append("conversation", created("v"), started("v")))[-1]
        await asker.until_stored(last)
        asked = q.GetConversation(
            account_id=ACCOUNT, conversation_id=conversation_id("v"), at_least=last + 1
        )
        answer = await asker.answer("conversation", asked)
        assert (answer.status, answer.checkpoint) == ("behind", last)
