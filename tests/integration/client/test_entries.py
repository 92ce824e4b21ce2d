"""What `entries()` promises, whatever the gateway does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from nightdesk_client import Bookmark, Client, Entry, Item, Options, Reset, SessionRefused, Visitor
from tests.support.scripted_gateway import WAIT_S, ScriptedGateway, entry, message

KNOWN = Options(bookmark=Bookmark(device="d1", cursor="c0", position=10))


def returning(gateway: ScriptedGateway, options: Options = KNOWN) -> Any:
    return Visitor.returning(gateway.url, "t", options=options)


async def take(items: AsyncIterator[Item], count: int) -> list[Item]:
    return [await asyncio.wait_for(anext(items), WAIT_S) for _ in range(count)]


def positions(items: list[Item]) -> list[int]:
    return [item.position for item in items if isinstance(item, Entry)]


def conversation(last_seq: int) -> dict[str, Any]:
    return {
        "conversation_id": "c1",
        "inbox_id": "i",
        "contact_id": "v1",
        "status": "open",
        "last_seq": last_seq,
    }


def listed(gateway: ScriptedGateway, last_seq: int) -> None:
    body = {"data": [conversation(last_seq)], "page": {"next": None}}
    gateway.answer("GET /conversations", (200, body))


async def test_repeats_on_the_wire_are_yielded_once(scripted_gateway: ScriptedGateway) -> None:
    """An entry that comes twice, in a frame or over two connections, reaches the application once."""
    visitor: Client
    async with returning(scripted_gateway) as visitor:
        session = await scripted_gateway.session()
        assert session.hello["resume"] == "c0"
        await session.welcome()
        await session.entries(entry(11, 10), entry(11, 10), entry(12, 11), cursor="c12")
        items = visitor.entries()
        assert positions(await take(items, 2)) == [11, 12]
        await session.close(3008)
        session = await scripted_gateway.session()
        assert session.hello["resume"] == "c12"
        await session.welcome()
        await session.entries(entry(12, 11), entry(13, 12), cursor="c13")
        assert positions(await take(items, 1)) == [13]
        assert visitor.statistics.repeats_dropped == 2


async def test_a_gap_leads_to_a_resume(scripted_gateway: ScriptedGateway) -> None:
    """An entry whose `prev` is not held is not shown; the client asks again from its cursor."""
    async with returning(scripted_gateway) as visitor:
        session = await scripted_gateway.session()
        await session.welcome()
        await session.entries(entry(11, 10), entry(13, 12), cursor="c13")
        again = await scripted_gateway.session()
        assert again.hello["resume"] == "c0"
        await again.welcome()
        await again.entries(entry(11, 10), entry(12, 11), entry(13, 12), cursor="c13")
        assert positions(await take(visitor.entries(), 3)) == [11, 12, 13]


async def test_a_refused_cursor_loses_nothing(scripted_gateway: ScriptedGateway) -> None:
    """After `recovered: false` what was missed comes from the history, and nothing that was shown comes again."""
    async with returning(scripted_gateway) as visitor:
        session = await scripted_gateway.session()
        await session.welcome()
        first = entry(11, 10, message=message(1, position=11))
        await session.entries(first, cursor="c11")
        items = visitor.entries()
        await take(items, 1)
        listed(scripted_gateway, last_seq=3)
        history = [message(1, position=11), message(2, position=15), message(3, position=16)]
        scripted_gateway.answer(
            "GET /conversations/c1/messages", (200, {"data": history, "more": False})
        )
        await session.close(3000)
        session = await scripted_gateway.session()
        await session.welcome(recovered=False, cursor="n20", position=20)
        later = entry(21, 20, message=message(4, position=21))
        await session.entries(entry(16, 15, message=message(3, position=16)), cursor="n20")
        await session.entries(later, cursor="n21")
        reset, *rest = await take(items, 4)
        assert isinstance(reset, Reset)
        assert positions(list(rest)) == [15, 16, 21]


async def test_messages_of_an_assignment_are_yielded_one_by_one(
    scripted_gateway: ScriptedGateway,
) -> None:
    """An assignment brings its messages; those that did not fit are read by REST before anything later."""
    scripted_gateway.answer(
        "GET /conversations/c1/messages",
        (503, {"code": "unavailable"}),
        (200, {"data": [message(3), message(4)], "more": True}),
        (200, {"data": [message(5), message(6)], "more": False}),
    )
    async with returning(scripted_gateway) as visitor:
        session = await scripted_gateway.session()
        await session.welcome()
        assigned = entry(
            20, 10, kind="conversation_assigned", conversation=conversation(6), from_seq=1, to_seq=5
        )
        assigned |= {"messages": [message(1), message(2)], "more": True}
        await session.entries(assigned, entry(21, 20, message=message(7)), cursor="c21")
        items = await take(visitor.entries(), 6)
        # Giving up a wait, or leaving the loop, loses nothing.
        async for item in visitor.entries():
            items.append(item)
            break
    shown = [x.message.seq if isinstance(x, Entry) and x.message else x for x in items]
    assert isinstance(shown[0], Entry)
    assert shown[0].kind == "conversation_assigned"
    assert shown[1:] == [1, 2, 3, 4, 5, 7]


async def test_a_conversation_that_comes_back_is_whole_on_a_device_that_never_had_it(
    scripted_gateway: ScriptedGateway,
) -> None:
    """An agent held it once; the device came later. What the inbox was given then is read, in front of the new part."""
    scripted_gateway.answer(
        "GET /conversations/c1/messages",
        (200, {"data": [message(1), message(2), message(3)], "more": False}),
    )
    async with returning(scripted_gateway) as visitor:
        session = await scripted_gateway.session()
        await session.welcome()
        back = entry(
            20, 10, kind="conversation_assigned", conversation=conversation(4), from_seq=3, to_seq=4
        )
        again = entry(30, 20, kind="conversation_assigned", conversation=conversation(4))
        await session.entries(back | {"messages": [message(3), message(4)]}, again, cursor="c30")
        items = await take(visitor.entries(), 6)
    shown = [x.message.seq if isinstance(x, Entry) and x.message else 0 for x in items]
    assert shown == [0, 1, 2, 3, 4, 0]
    assert len(scripted_gateway.calls) == 1


async def test_acknowledges_what_the_application_took(scripted_gateway: ScriptedGateway) -> None:
    """`received` names what was taken and nothing that only waits; it is said again after a loss."""
    async with returning(scripted_gateway) as visitor:
        session = await scripted_gateway.session()
        await session.welcome()
        await session.entries(entry(11, 10), entry(12, 11), cursor="c12")
        items = visitor.entries()
        await take(items, 1)
        assert await session.frame() == {"op": "received", "up_to": 11}
        visitor.read("c1", 11)
        assert await session.frame() == {"op": "read", "conversation_id": "c1", "up_to": 11}
        assert visitor.bookmark == Bookmark(device="d1", cursor="c0", position=11)
        await session.close(3001)
        session = await scripted_gateway.session()
        await session.welcome()
        assert await session.frame() == {"op": "received", "up_to": 11}
        assert await session.frame() == {"op": "read", "conversation_id": "c1", "up_to": 11}


async def test_an_answer_tells_what_its_author_had_been_shown(
    scripted_gateway: ScriptedGateway,
) -> None:
    """`seen_up_to` covers what the application took, not what only waits in the queue."""
    async with returning(scripted_gateway) as visitor:
        session = await scripted_gateway.session()
        await session.welcome()
        assigned = entry(20, 10, kind="conversation_assigned", messages=[message(1), message(2)])
        await session.entries(assigned, entry(21, 20, message=message(3)), cursor="c21")
        items, seen = visitor.entries(), []
        for _ in range(4):
            await take(items, 1)
            sending = asyncio.create_task(visitor.send("c1", "answer"))
            while (frame := await session.frame())["op"] != "send":
                pass
            seen.append(frame.get("seen_up_to"))
            await session.say(op="ok", id=frame["id"], position=30)
            await asyncio.wait_for(sending, WAIT_S)
    assert seen == [None, 1, 20, 21]


async def test_a_full_queue_leaves_entries_with_the_server(
    scripted_gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application that does not read costs bounded memory, still gets its oks, and later every entry."""
    monkeypatch.setattr("nightdesk_client.feed.QUEUE_ENTRIES", 8)
    async with returning(scripted_gateway) as visitor:
        session = await scripted_gateway.session()
        await session.welcome()
        for position in range(11, 31):
            await session.entries(entry(position, position - 1), cursor=f"c{position}")
        sending = asyncio.create_task(visitor.send("c1", "hello"))
        frame = await session.frame()
        await session.say(op="ok", id=frame["id"], position=40)
        await asyncio.wait_for(sending, WAIT_S)
        items = visitor.entries()
        taken = await take(items, 4)
        again = await scripted_gateway.session()
        kept = int(again.hello["resume"][1:])
        await again.welcome()
        for position in range(kept + 1, 31):
            await again.entries(entry(position, position - 1), cursor=f"c{position}")
            taken += await take(items, 1) if len(taken) < 20 else []
        taken += await take(items, 20 - len(taken))
    assert kept < 20
    assert positions(taken) == list(range(11, 31))


async def test_a_bookmark_goes_on_where_the_application_stood(
    scripted_gateway: ScriptedGateway,
) -> None:
    """A bookmark kept in the middle of a frame shows the rest of it after a restart, and nothing twice."""
    async with returning(scripted_gateway) as visitor:
        session = await scripted_gateway.session()
        await session.welcome()
        await session.entries(entry(11, 10), entry(12, 11), cursor="c12")
        await take(visitor.entries(), 1)
        middle = visitor.bookmark
        await take(visitor.entries(), 1)
        assert visitor.bookmark == Bookmark(device="d1", cursor="c12", position=12)
    async with returning(scripted_gateway, Options(bookmark=middle)) as visitor:
        session = await scripted_gateway.session()
        assert session.hello["resume"] == "c0"
        await session.welcome()
        await session.entries(entry(11, 10), entry(12, 11), cursor="c12")
        assert positions(await take(visitor.entries(), 1)) == [12]


async def test_a_reload_may_run_ahead_of_the_inbox(scripted_gateway: ScriptedGateway) -> None:
    """A message that a reload showed is not shown again when the inbox comes to it, not even after a restart."""
    listed(scripted_gateway, last_seq=1)
    ahead = message(1, position=25)
    scripted_gateway.answer(
        "GET /conversations/c1/messages", (200, {"data": [ahead], "more": False})
    )
    async with returning(scripted_gateway, Options()) as visitor:
        session = await scripted_gateway.session()
        await session.welcome(recovered=False, cursor="n20", position=20)
        _, shown = await take(visitor.entries(), 2)
        bookmark = visitor.bookmark
    assert positions([shown]) == [25]
    async with returning(scripted_gateway, Options(bookmark=bookmark)) as visitor:
        session = await scripted_gateway.session()
        assert session.hello["resume"] == "n20"
        await session.welcome()
        await session.entries(entry(25, 20, message=ahead), entry(26, 25), cursor="n26")
        assert positions(await take(visitor.entries(), 1)) == [26]
        assert visitor.bookmark.ahead == {}


async def test_unknown_recovery_is_asked_again(scripted_gateway: ScriptedGateway) -> None:
    """`recovered: null` keeps the cursor and leads to another hello soon."""
    async with returning(scripted_gateway):
        session = await scripted_gateway.session()
        await session.welcome(recovered=None)
        again = await scripted_gateway.session()
        assert again.hello["resume"] == "c0"


@pytest.mark.parametrize("code", [3000, 3001, 3002, 3008, 1000, 1011])
async def test_comes_back_after(scripted_gateway: ScriptedGateway, code: int) -> None:
    """Close codes below 3500 mean: come back, as the same device."""
    async with returning(scripted_gateway):
        session = await scripted_gateway.session()
        await session.welcome()
        await session.close(code)
        assert (await scripted_gateway.session()).hello["device"] == "d1"


@pytest.mark.parametrize("code", [3500, 3502, 3503, 3504, 3505, 3506])
async def test_does_not_come_back_after(scripted_gateway: ScriptedGateway, code: int) -> None:
    """Close codes from 3500 end the client; both `send` and `entries()` raise them."""
    async with returning(scripted_gateway) as visitor:
        session = await scripted_gateway.session()
        await session.welcome()
        await session.close(code)
        with pytest.raises(SessionRefused) as caught:
            await asyncio.wait_for(anext(visitor.entries()), WAIT_S)
        assert caught.value.close_code == code
        with pytest.raises(SessionRefused):
            await visitor.send("c1", "hello")


async def test_unknown_frames_are_passed_over(scripted_gateway: ScriptedGateway) -> None:
    """A newer gateway's frames and fields do not disturb an older client."""
    async with returning(scripted_gateway) as visitor:
        session = await scripted_gateway.session()
        await session.welcome(news=1)
        await session.say(op="news", data=[1])
        await session.entries(entry(11, 10, kind="thing", extra=1), cursor="c11")
        assert positions(await take(visitor.entries(), 1)) == [11]


async def test_says_again_what_it_looks_at(scripted_gateway: ScriptedGateway) -> None:
    """A new connection knows nothing of the old one: what is still open is said again, what was closed is not."""
    async with returning(scripted_gateway) as agent:
        session = await scripted_gateway.session()
        await session.welcome()
        agent.looking("c1")
        assert (await session.frame())["op"] == "looking"
        agent.looking("c2")
        assert (await session.frame())["conversation_id"] == "c2"
        agent.looking("c1", is_looking=False)
        assert (await session.frame())["is_looking"] is False
        agent.cut()
        again = await scripted_gateway.session()
        await again.welcome()
        frame = await again.frame()
        assert (frame["conversation_id"], frame["is_looking"]) == ("c2", True)
        agent.typing("c3")
        assert (await again.frame())["op"] == "typing"
