"""Two agents, one conversation: who answers second learns it at once, and may ask not to."""

from __future__ import annotations

import asyncio

from shared.ids import ConversationId
from tests.support.gateway_world import Desk, Device, Frame


async def looking(device: Device, conversation_id: str) -> Device:
    """The device, with the conversation open."""
    await device.say(op="looking", conversation_id=conversation_id)
    await device.op("looking")
    return device


async def moved(device: Device, text: str) -> Frame:
    """What the device is told of a message in a conversation that its agent does not hold."""
    frame = await device.until(
        lambda f: f.get("op") == "moved" and (f["message"] or {}).get("text") == text
    )
    return dict(frame["message"])


async def test_an_answer_that_crossed_is_marked_on_both_screens(desk: Desk) -> None:
    """Both who hold and who only look see the other's answer as it lands, and which of the two crossed."""
    contact_id, conversation_id = await desk.conversation()
    await desk.assign(conversation_id, desk.ann)
    ann = await looking(await desk.agent(desk.ann), conversation_id)
    bob = await looking(await desk.agent(desk.bob), conversation_id)
    visitor = await desk.visitor(contact_id)
    asked = (await visitor.post(conversation_id, "When?"))["position"]
    await ann.until_texts(1)
    assert (await moved(bob, "When?"))["author"]["kind"] == "visitor"
    await ann.post(conversation_id, "Monday", seen_up_to=asked)
    assert (await moved(bob, "Monday"))["crossed"] is False
    await bob.post(conversation_id, "Tuesday", seen_up_to=asked)
    assert (await moved(bob, "Tuesday"))["crossed"] is True
    assert await ann.until_texts(3) == ["When?", "Monday", "Tuesday"]
    marks = [e["message"]["crossed"] for e in ann.entries() if e["kind"] == "message"]
    assert marks[-2:] == [False, True]
    assert not any(f.get("op") == "moved" for f in ann.frames), "the holder has entries"
    assert await visitor.until_texts(3) == ["When?", "Monday", "Tuesday"]
    assert not any(e["message"]["crossed"] for e in visitor.entries())


async def test_a_strict_answer_is_refused_instead(desk: Desk) -> None:
    """With `only_if_seen` nothing is posted while something unseen of others stands there."""
    contact_id, conversation_id = await desk.conversation()
    await desk.assign(conversation_id, desk.ann)
    ann, bob = await desk.agent(desk.ann), await desk.agent(desk.bob)
    visitor = await desk.visitor(contact_id)
    asked = (await visitor.post(conversation_id, "When?"))["position"]
    # Nobody can have been shown what the store did not have.
    await visitor.until_texts(1)
    given = (await ann.post(conversation_id, "Monday", seen_up_to=asked, only_if_seen=True))[
        "position"
    ]
    refused = await bob.post(conversation_id, "Tuesday", seen_up_to=asked, only_if_seen=True)
    assert (refused["op"], refused["code"], refused["retry"]) == ("err", "crossed", False)
    again = await visitor.post(conversation_id, "And where?")
    await visitor.until_texts(3)
    refused = await bob.post(conversation_id, "Here", seen_up_to=given, only_if_seen=True)
    assert refused["code"] == "crossed"
    answered = await bob.post(
        conversation_id, "Here", seen_up_to=again["position"], only_if_seen=True
    )
    assert answered["op"] == "ok"
    own = await bob.post(conversation_id, "Today", seen_up_to=again["position"], only_if_seen=True)
    assert own["op"] == "ok"
    assert await visitor.until_texts(5) == ["When?", "Monday", "And where?", "Here", "Today"]
    for device, more in ((visitor, {"seen_up_to": asked}), (bob, {})):
        wrong = await device.post(conversation_id, "x", only_if_seen=True, **more)
        assert wrong["code"] == "invalid"


async def test_of_many_strict_answers_at_once_one_is_posted(desk: Desk) -> None:
    """At one gateway exactly one of two agents who answer in the same moment is told yes."""

    async def race(conversation_id: ConversationId, asked: int) -> list[str]:
        answers = await asyncio.gather(
            *(
                device.post(conversation_id, "mine", seen_up_to=asked, only_if_seen=True)
                for device in (ann, bob)
            )
        )
        return sorted(answer.get("code", "ok") for answer in answers)

    ann, bob = await desk.agent(desk.ann), await desk.agent(desk.bob)
    for _ in range(5):
        contact_id, conversation_id = await desk.conversation()
        visitor = await desk.visitor(contact_id)
        asked = (await visitor.post(conversation_id, "?"))["position"]
        await visitor.until_texts(1)
        assert await race(conversation_id, asked) == ["crossed", "ok"]
        await visitor.leave()
