"""The way of a message through sessions: accepted, delivered, in order, once."""

from __future__ import annotations

from shared import clock
from tests.support.gateway_world import Desk


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
