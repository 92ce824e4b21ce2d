"""The way of a message through sessions: accepted, delivered, in order, once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from shared import clock, codec, events
from tests.support.gateway_world import Desk
from tests.support.log import whole_log


async def test_a_message_reaches_the_other_devices(desk: Desk) -> None:
    """What a visitor was told is durable is shown on their other device and on the holder's, with its text."""
    contact_id, conversation_id = await desk.conversation()
    await desk.assign(conversation_id, desk.ann)
    writing = await desk.visitor(contact_id)
    reading = await desk.visitor(contact_id)
    agent = await desk.agent(desk.ann)
    answer = await writing.post(conversation_id, "你好, is anybody there?")
    assert answer["op"] == "ok", answer
    for device in (writing, reading, agent):
        assert await device.until_texts(1) == ["你好, is anybody there?"]
        entry = device.entries()[-1]
        assert entry["position"] == answer["position"]
    assert agent.entries()[-1]["alert"]
    assert not writing.entries()[-1]["alert"]
    reply = await agent.post(conversation_id, "Yes.", message_id=clock.new_id())
    assert reply["op"] == "ok", reply
    assert (await writing.until_texts(2))[-1] == "Yes."
    assert writing.entries()[-1]["message"]["author"]["name"] == "Ann"


async def test_own_words_that_came_back_make_no_receipt(desk: Desk) -> None:
    """A visitor's device says "received" of what its person wrote, which concerns nobody; its first word after it came,
    and every one that covers an answer, goes to the log."""
    contact_id, conversation_id = await desk.conversation()
    visitor, agent = await desk.visitor(contact_id), await desk.agent(desk.ann)
    await desk.assign(conversation_id, desk.ann)
    asked: list[int] = []
    for number in range(3):
        asked.append((await visitor.post(conversation_id, f"{number}"))["position"])
        await visitor.until_texts(number + 1)
        await visitor.say(op="received", up_to=asked[-1])
        # Said later and collected with it at the latest: the visitor's word would be in the log now.
        await agent.until_texts(number + 1)
        await agent.say(op="received", up_to=asked[-1])
        await visitor.until(partial(_tells_received, up_to=asked[-1]))
    answered = (await agent.post(conversation_id, "!", seen_up_to=asked[-1]))["position"]
    await visitor.until_texts(4)
    await visitor.say(op="received", up_to=answered)
    await agent.until(partial(_tells_received, up_to=answered))
    told = [
        each.up_to
        for delivery in await whole_log(desk.bus, desk.world.around.shard)
        for each in _receipts_of(codec.decode_event(delivery.payload))
        if each.recipient.id == contact_id
    ]
    assert told == [asked[0], answered]


def _receipts_of(event: events.Event) -> Iterable[events.Received]:
    if isinstance(event, events.ReceivedTogether):
        return event.each()
    return (event,) if isinstance(event, events.Received) else ()


def _tells_received(frame: dict[str, Any], up_to: int) -> bool:
    return frame.get("op") == "receipts" and any(
        each["received"] == up_to for each in frame["receipts"]
    )
