"""Cursors and catching up: what follows a good one comes once and in order, a bad one is told so."""

from __future__ import annotations

import socket

import pytest

from services.gateway.cursors import Cursors
from shared import clock, events
from shared.ids import MessageId
from tests.support.gateway_world import Desk, device_id
from tests.support.log import until


async def test_a_returning_device_gets_what_it_missed_once(desk: Desk) -> None:
    """Entries that were stored while a device was away follow its cursor, in order, chained, none twice."""
    contact_id, conversation_id = await desk.conversation()
    away = await desk.visitor(contact_id)
    first = await away.post(conversation_id, "0")
    await away.until_texts(1)
    cursor = away.cursor
    await away.leave()
    writing = await desk.visitor(contact_id)
    for number in range(1, 30):
        await writing.post(conversation_id, str(number))
    back = await desk.device()
    welcome = await back.hello(desk.visitor_token(contact_id), resume=cursor)
    assert welcome["recovered"] is True
    await writing.post(conversation_id, "30")
    assert await back.until_texts(30) == [str(n) for n in range(1, 31)]
    entries = back.entries()
    assert entries[0]["prev"] == first["position"]
    assert [e["prev"] for e in entries[1:]] == [e["position"] for e in entries[:-1]]


async def test_a_fresh_device_starts_now(desk: Desk) -> None:
    """Without a cursor nothing old comes, the cursor of the welcome is now, and nothing after it is missed."""
    contact_id, conversation_id = await desk.conversation()
    writing = await desk.visitor(contact_id)
    await writing.post(conversation_id, "old")
    await writing.until_texts(1)
    fresh = await desk.device()
    welcome = await fresh.hello(desk.visitor_token(contact_id))
    assert welcome["recovered"] is False
    await writing.post(conversation_id, "new")
    assert await fresh.until_texts(1) == ["new"]
    again = await desk.device()
    resumed = await again.hello(desk.visitor_token(contact_id), resume=welcome["cursor"])
    assert resumed["recovered"] is True
    assert await again.until_texts(1) == ["new"]


@pytest.mark.parametrize("kind", ["garbage", "forged", "epoch", "inbox", "future", "edited"])
async def test_a_cursor_that_fits_nothing_is_told_so(desk: Desk, kind: str) -> None:
    """Recovered is false for every cursor but an own one of this epoch, and the session works from now on."""
    contact_id, conversation_id = await desk.conversation()
    writing = await desk.visitor(contact_id)
    await writing.post(conversation_id, "one")
    await writing.until_texts(1)
    cursors = Cursors(desk.world.master.derive("cursor"))
    known = cursors.decode(writing.cursor)
    assert known is not None
    bad = {
        "garbage": "a" * 100,
        "forged": Cursors(b"x" * 32).encode(contact_id, known.epoch, 0),
        "epoch": cursors.encode(contact_id, clock.new_id(), 0),
        "inbox": cursors.encode(clock.new_id(), known.epoch, 0),
        "future": cursors.encode(contact_id, known.epoch, 2**50),
        "edited": ("B" if writing.cursor[0] == "A" else "A") + writing.cursor[1:],
    }[kind]
    device = await desk.device()
    welcome = await device.hello(desk.visitor_token(contact_id), resume=bad)
    assert welcome["recovered"] is False
    await writing.post(conversation_id, "two")
    assert await device.until_texts(1) == ["two"]


async def test_a_long_absence_drains_within_the_window(desk: Desk) -> None:
    """A device is given no more than its window holds and the rest as it acknowledges, in order to the end."""
    contact_id, conversation_id = await desk.conversation()
    device = await desk.device()
    welcome = await device.hello(desk.visitor_token(contact_id))
    await device.leave()
    agent = await desk.agent(desk.ann)
    for number in range(550):
        answer = await agent.post(conversation_id, str(number))
        assert answer["op"] == "ok", answer
    back = await desk.device()
    await back.hello(desk.visitor_token(contact_id), resume=welcome["cursor"])
    await back.until_texts(500)
    with pytest.raises(TimeoutError):
        await back.until_texts(501, timeout_s=0.5)
    while len(back.texts()) < 550:
        count = len(back.texts())
        await back.say(op="received", up_to=back.entries()[-1]["position"])
        await back.until_texts(count + 1)
    assert back.texts() == [str(n) for n in range(550)]


async def test_an_assignment_brings_the_backlog(desk: Desk) -> None:
    """An agent who is given a conversation gets the messages that lie in it, then the live ones."""
    contact_id, conversation_id = await desk.conversation()
    visitor = await desk.visitor(contact_id)
    for number in range(5):
        await visitor.post(conversation_id, f"night {number}")
    agent = await desk.agent(desk.ann)
    position = await desk.assign(conversation_id, desk.ann)
    assert await agent.until_texts(5) == [f"night {n}" for n in range(5)]
    entry = agent.entries()[-1]
    assert (entry["kind"], entry["position"]) == ("conversation_assigned", position)
    assert (entry["from_seq"], entry["to_seq"], entry["alert"]) == (1, 5, True)
    await visitor.post(conversation_id, "morning")
    assert (await agent.until_texts(6))[-1] == "morning"


async def test_a_huge_backlog_stays_within_frames(desk: Desk) -> None:
    """Messages that don't fit into a frame of 64 KiB are left to REST, and the entry says so."""
    contact_id, conversation_id = await desk.conversation()
    visitor = await desk.visitor(contact_id)
    for _ in range(8):
        await visitor.post(conversation_id, "长" * 8_000)
    agent = await desk.agent(desk.ann)
    await desk.assign(conversation_id, desk.ann)
    frame = await agent.op("entries")
    entry = frame["entries"][-1]
    assert entry["more"]
    assert (entry["from_seq"], entry["to_seq"]) == (1, 8)
    assert [m["seq"] for m in entry["messages"]] == list(range(1, len(entry["messages"]) + 1))


async def test_receipts_go_both_ways(desk: Desk) -> None:
    """The visitor learns how far the agent got, the agent how far the visitor got; unread is counted."""
    contact_id, conversation_id = await desk.conversation()
    await desk.assign(conversation_id, desk.ann)
    visitor, agent = await desk.visitor(contact_id), await desk.agent(desk.ann)
    asked = (await visitor.post(conversation_id, "?"))["position"]
    await agent.until_texts(1)
    await agent.say(op="received", up_to=asked)
    await agent.say(op="read", conversation_id=conversation_id, up_to=asked)
    await visitor.until(
        lambda f: (
            f.get("op") == "receipts"
            and any(r["by"]["id"] == desk.ann and r["read"] >= asked for r in f["receipts"])
        )
    )
    cursor = visitor.cursor
    await visitor.leave()
    answered = (await agent.post(conversation_id, "!", seen_up_to=asked))["position"]
    back = await desk.device()
    await desk.agent(desk.ann)
    await until(lambda: len(agent.texts()) == 2)
    welcome = await back.hello(desk.visitor_token(contact_id), resume=cursor)
    assert welcome["unread"] == 1
    await back.until_texts(1)
    await back.say(op="received", up_to=answered)
    await back.say(op="read", conversation_id=conversation_id, up_to=answered)
    await agent.until(
        lambda f: (
            f.get("op") == "receipts"
            and any(
                r["by"]["id"] == contact_id and min(r["read"], r["received"]) >= answered
                for r in f["receipts"]
            )
        )
    )


async def test_typing_is_shown_to_the_other_side(desk: Desk) -> None:
    """Who types is seen by the other side's devices, not by the own one."""
    contact_id, conversation_id = await desk.conversation()
    await desk.assign(conversation_id, desk.ann)
    visitor, agent = await desk.visitor(contact_id), await desk.agent(desk.ann)
    await visitor.post(conversation_id, "hm")
    await agent.until_texts(1)
    await visitor.say(op="typing", conversation_id=conversation_id)
    shown = await agent.op("typing")
    assert (shown["by"]["id"], shown["is_typing"]) == (contact_id, True)
    await agent.say(op="typing", conversation_id=conversation_id)
    assert (await visitor.op("typing"))["by"]["name"] == "Ann"


async def test_only_the_primary_device_alerts(desk: Desk) -> None:
    """Both devices of an agent get the message, only the holder of the lock makes itself heard."""
    contact_id, conversation_id = await desk.conversation()
    await desk.assign(conversation_id, desk.ann)
    loud_id, quiet_id = device_id(), device_id()
    loud = await desk.agent(desk.ann, device=loud_id)
    quiet = await desk.agent(desk.ann, device=quiet_id)
    visitor = await desk.visitor(contact_id)
    await desk.append(
        "presence",
        events.PrimaryDeviceChanged(
            account_id=desk.account_id, writer="t", agent_id=desk.ann, device_id=loud_id, fence=1
        ),
    )
    await visitor.post(conversation_id, "ring")
    await loud.until_texts(1)
    await quiet.until_texts(1)
    assert loud.entries()[-1]["alert"]
    assert not quiet.entries()[-1]["alert"]
    await desk.append(
        "presence",
        events.PrimaryDeviceChanged(
            account_id=desk.account_id, writer="t", agent_id=desk.ann, device_id=quiet_id, fence=2
        ),
    )
    assert (await quiet.op("alert"))["position"] == quiet.entries()[-1]["position"]


async def test_agents_hear_of_changed_lists(desk: Desk) -> None:
    """A conversation that nobody holds changes lists; agents are told to fetch them again."""
    agent = await desk.agent(desk.bob)
    contact_id, conversation_id = await desk.conversation()
    visitor = await desk.visitor(contact_id)
    await visitor.post(conversation_id, "anybody?")
    assert (await agent.op("changed"))["position"] > 0


async def test_a_repeat_after_a_cut_gets_the_first_answer(desk: Desk) -> None:
    """A message whose connection broke before the answer is sent again under its id and stands once in the log."""
    contact_id, conversation_id = await desk.conversation()
    message_id = clock.new_id()
    device = await desk.visitor(contact_id)
    await device.say(
        op="send", id=1, conversation_id=conversation_id, message_id=message_id, text="cut"
    )
    transport = device.socket._writer.transport
    raw = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    transport.abort()
    again = await desk.visitor(contact_id)
    one = await again.post(conversation_id, "cut", message_id=message_id, resend=True)
    two = await again.post(conversation_id, "cut", message_id=message_id, resend=True)
    three = await again.post(conversation_id, "cut", message_id=message_id)
    assert one["op"] == "ok", one
    assert one["position"] == two["position"] == three["position"]
    after = await again.post(conversation_id, "after")
    reader = await desk.device()
    await again.until_texts(1)
    await until(lambda: any(at == after["position"] for at, _ in desk.log.events()))
    stored = [
        event.message_id
        for _, event in desk.log.events(events.MessagePosted)
        if isinstance(event, events.MessagePosted)
    ]
    assert stored.count(MessageId(message_id)) == 1
    await reader.leave()


async def test_an_id_is_one_message(desk: Desk) -> None:
    """The same id with another text, sender or conversation is refused; the first one stays."""
    contact_id, conversation_id = await desk.conversation()
    device = await desk.visitor(contact_id)
    message_id = clock.new_id()
    first = await device.post(conversation_id, "first", message_id=message_id)
    for resend in (False, True):
        answer = await device.post(conversation_id, "other", message_id=message_id, resend=resend)
        assert (answer["op"], answer["code"], answer["retry"]) == ("err", "id_conflict", False)
    same = await device.post(conversation_id, "first", message_id=message_id)
    assert same["position"] == first["position"]


async def test_an_old_id_is_looked_up_though_nobody_says_resend(desk: Desk) -> None:
    """A phone that sends again after a day is recognised by the age of its id, even by a gateway that forgot it."""
    contact_id, conversation_id = await desk.conversation()
    old_id = "01900000-0000-7000-8000-" + clock.new_id()[-12:]
    ring_text = "from yesterday"
    device = await desk.visitor(contact_id)
    first = await device.post(conversation_id, ring_text, message_id=old_id)
    again = await device.post(conversation_id, ring_text, message_id=old_id)
    assert first["position"] == again["position"]


async def test_pipelined_messages_keep_their_order(desk: Desk) -> None:
    """A client may send without waiting; what one device sends into a conversation is stored in that order."""
    contact_id, conversation_id = await desk.conversation()
    device = await desk.visitor(contact_id)
    for number in range(150):
        await device.say(
            op="send",
            id=number,
            conversation_id=conversation_id,
            message_id=clock.new_id(),
            text=str(number),
        )
    assert await device.until_texts(150) == [str(n) for n in range(150)]
    assert [e["message"]["seq"] for e in device.entries()] == list(range(1, 151))


async def test_seen_up_to_left_out_means_everything_stored(desk: Desk) -> None:
    """An answer without `seen_up_to` answers what was stored when it came; the future can't be claimed."""
    contact_id, conversation_id = await desk.conversation()
    await desk.assign(conversation_id, desk.ann)
    visitor, agent = await desk.visitor(contact_id), await desk.agent(desk.ann)
    asked = (await visitor.post(conversation_id, "?"))["position"]
    await agent.until_texts(1)
    plain = await agent.post(conversation_id, "plain")
    claimed = await agent.post(conversation_id, "claimed", seen_up_to=2**40)
    await until(lambda: any(p == claimed["position"] for p, _ in desk.log.events()))
    found = dict(desk.log.events(events.MessagePosted))
    first, second = found[plain["position"]], found[claimed["position"]]
    assert isinstance(first, events.MessagePosted)
    assert isinstance(second, events.MessagePosted)
    assert asked <= first.seen_up_to < plain["position"]
    assert second.seen_up_to < claimed["position"]


async def test_a_merged_contact_may_still_empty_its_outbox(desk: Desk) -> None:
    """What an anonymous device had not sent when its visitor was identified is accepted afterwards."""
    contact_id, conversation_id = await desk.conversation()
    into_id, _ = await desk.conversation()
    device = await desk.visitor(contact_id)
    await device.post(conversation_id, "before")
    await desk.append(
        "conversation",
        events.ContactMerged(account_id=desk.account_id, contact_id=contact_id, into=into_id),
    )
    identified = await desk.visitor(into_id)
    answer = await identified.post(conversation_id, "as myself")
    assert answer["op"] == "ok", answer
    late = await device.post(conversation_id, "late")
    assert late["op"] == "ok", late
    assert "late" in await identified.until_texts(2)
