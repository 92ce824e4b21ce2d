"""What `send` promises, whatever the gateway does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nightdesk_client import Closed, FileOutbox, Options, SendRefused, Visitor
from tests.support.scripted_gateway import WAIT_S, ScriptedGateway


async def test_returns_only_after_the_durable_ok(scripted_gateway: ScriptedGateway) -> None:
    """`send` is not done before the gateway said "durable", and tells the position."""
    async with Visitor.returning(scripted_gateway.url, "t") as visitor:
        session = await scripted_gateway.session()
        await session.welcome()
        sending = asyncio.create_task(visitor.send("c1", "hello"))
        frame = await session.frame()
        assert not sending.done()
        assert (frame["op"], frame["text"], frame.get("resend")) == ("send", "hello", None)
        await session.say(op="ok", id=frame["id"], position=7, message_id=frame["message_id"])
        sent = await asyncio.wait_for(sending, WAIT_S)
        assert (sent.position, sent.message_id) == (7, frame["message_id"])
        assert visitor.unconfirmed == 0


async def test_sends_again_under_the_same_id_after_a_cut(scripted_gateway: ScriptedGateway) -> None:
    """A connection that dies before the ok leads to the same MessageID, marked as a resend."""
    async with Visitor.returning(scripted_gateway.url, "t") as visitor:
        session = await scripted_gateway.session()
        await session.welcome()
        visitor.cut(after_next_send=True)
        sending = asyncio.create_task(visitor.send("c1", "hello"))
        first = await session.frame()
        again = await scripted_gateway.session()
        await again.welcome()
        second = await again.frame()
        assert second["message_id"] == first["message_id"]
        assert second["resend"] is True
        await again.say(op="ok", id=second["id"], position=7, message_id=second["message_id"])
        assert (await asyncio.wait_for(sending, WAIT_S)).position == 7


async def test_next_message_waits_for_the_one_before(scripted_gateway: ScriptedGateway) -> None:
    """Within a conversation nothing overtakes; other conversations do not wait."""
    async with Visitor.returning(scripted_gateway.url, "t") as visitor:
        session = await scripted_gateway.session()
        await session.welcome()
        sendings = [
            asyncio.create_task(visitor.send(conversation, text))
            for conversation, text in (("c1", "one"), ("c1", "two"), ("c2", "three"))
        ]
        first, other = await session.frame(), await session.frame()
        assert [first["text"], other["text"]] == ["one", "three"]
        await session.say(op="err", id=first["id"], code="unavailable", message="", retry=True)
        again = await session.frame()
        assert (again["text"], again["message_id"]) == ("one", first["message_id"])
        assert session.is_quiet
        await session.say(op="ok", id=again["id"], position=1, message_id=again["message_id"])
        second = await session.frame()
        assert second["text"] == "two"
        await session.say(op="ok", id=second["id"], position=2, message_id=second["message_id"])
        await session.say(op="ok", id=other["id"], position=3, message_id=other["message_id"])
        await asyncio.wait_for(asyncio.gather(*sendings), WAIT_S)


async def test_an_unknown_outcome_is_a_resend(scripted_gateway: ScriptedGateway) -> None:
    """After "unknown" the same id goes out marked as a resend; a definite no is just sent again."""
    async with Visitor.returning(scripted_gateway.url, "t") as visitor:
        session = await scripted_gateway.session()
        await session.welcome()
        sending = asyncio.create_task(visitor.send("c1", "hello"))
        seen = []
        for code in ("unavailable", "unknown", ""):
            frame = await session.frame()
            seen.append(frame.get("resend", False))
            if code:
                await session.say(op="err", id=frame["id"], code=code, message="", retry=True)
            else:
                await session.say(op="ok", id=frame["id"], position=1)
        await asyncio.wait_for(sending, WAIT_S)
        assert seen == [False, False, True]


async def test_a_refusal_is_told_and_the_next_goes_on(scripted_gateway: ScriptedGateway) -> None:
    """A message that can never be accepted raises, leaves the outbox and blocks nobody."""
    async with Visitor.returning(scripted_gateway.url, "t") as visitor:
        session = await scripted_gateway.session()
        await session.welcome()
        refused = asyncio.create_task(visitor.send("c1", "bad"))
        good = asyncio.create_task(visitor.send("c1", "good"))
        frame = await session.frame()
        await session.say(op="err", id=frame["id"], code="too_large", message="no", retry=False)
        with pytest.raises(SendRefused) as caught:
            await asyncio.wait_for(refused, WAIT_S)
        assert caught.value.code == "too_large"
        frame = await session.frame()
        await session.say(op="ok", id=frame["id"], position=1)
        assert (await asyncio.wait_for(good, WAIT_S)).position == 1


async def test_a_file_outbox_outlives_the_client(
    scripted_gateway: ScriptedGateway, tmp_path: Path
) -> None:
    """What was not confirmed when the application ended is sent by its next run, as a resend."""
    path = tmp_path / "outbox"
    async with Visitor.returning(
        scripted_gateway.url, "t", options=Options(outbox=FileOutbox(path))
    ) as visitor:
        session = await scripted_gateway.session()
        await session.welcome()
        sending = asyncio.create_task(visitor.send("c1", "hello"))
        first = await session.frame()
    with pytest.raises(Closed):
        await sending
    async with Visitor.returning(
        scripted_gateway.url, "t", options=Options(outbox=FileOutbox(path))
    ):
        session = await scripted_gateway.session()
        await session.welcome()
        second = await session.frame()
    assert (second["message_id"], second["resend"]) == (first["message_id"], True)
