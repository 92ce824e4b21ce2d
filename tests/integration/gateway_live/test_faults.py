"""Frames and tokens that are wrong: each is refused in its documented way and hurts nobody else."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import uuid
from collections.abc import Sequence

import aiohttp
import jwt
import pytest

from shared import clock, events
from tests.support.gateway_world import Desk, Device, open_desk, open_twin
from tests.support.log import PATIENCE_S

_LIVES_S = (3, 6, 12, 24, 48)
"""Of tokens that run out during a test, in seconds; the first is enough unless the machine is slow."""


async def stranger(desk: Desk, frame: str | bytes) -> int | None:
    """The close code for a first frame."""
    device = await desk.device()
    if isinstance(frame, str):
        await device.socket.send_str(frame)
    else:
        await device.socket.send_bytes(frame)
    return await device.closed()


@pytest.mark.parametrize(
    "frame",
    [
        "no json",
        "[]",
        "null",
        '"hello"',
        "{",
        '{"op":"hello"}',
        '{"op":"send","id":1}',
        '{"op":"received","up_to":1}',
        '{"op":"hello","token":"x","device":"no-uuid"}',
        '{"op":"hello","token":"x","device":"{0}","more":1}',
        '{"op":["hello"]}',
        "[" * 30_000,
        '{"op":' * 10_000,
        b"\x00\x01\x02",
    ],
)
async def test_a_first_frame_that_is_no_hello_closes(desk: Desk, frame: str | bytes) -> None:
    """What is no frame of ours ends the connection with 3500, however it is made."""
    assert await stranger(desk, frame) == 3500


async def test_bytes_that_are_not_utf8_close(desk: Desk) -> None:
    """A text frame of broken UTF-8 is refused with our code."""
    device = await desk.device()
    writer = device.socket._writer
    await writer.send_frame(b'{"op":"\xff\xfe"}', aiohttp.WSMsgType.TEXT)
    assert await device.closed() == 3500


async def test_a_frame_above_the_limit_closes(desk: Desk) -> None:
    """More than 64 KiB is refused with 3503 and read no further."""
    assert await stranger(desk, '{"op":"hello","token":"' + "x" * 70_000 + '"}') == 3503


async def test_silence_before_hello_closes(desk: Desk) -> None:
    """Who says nothing, or half a frame, is sent away after 5 s."""
    silent, half = await desk.device(), await desk.device()
    assert half.socket._writer.transport is not None
    half.socket._writer.transport.write(b"\x81\xfe\x10\x00abcd half a frame")
    assert await silent.closed() == 3502
    assert await half.closed() == 3502


async def test_tokens_that_are_not_ours_are_refused(desk: Desk) -> None:
    """Forged, expired, foreign, unsigned and edited tokens all end with 3501."""
    good = desk.agent_token(desk.ann)
    head, body, sign = good.split(".")
    edited = base64.urlsafe_b64encode(
        base64.urlsafe_b64decode(body + "==").replace(desk.ann.encode(), desk.bob.encode())
    ).decode()
    bad = [
        "",
        "x.y.z",
        good[:-2],
        f"{head}.{edited.rstrip('=')}.{sign}",
        desk.agent_token(desk.ann, key=os.urandom(32)),
        desk.agent_token(desk.ann, life_s=-5),
        desk.agent_token(str(uuid.uuid4())),
        desk.agent_token(desk.ann, shard="other"),
        desk.agent_token(desk.ann, aud="other"),
        desk.agent_token(desk.ann, acc=str(uuid.uuid4())),
        desk.token(sub=desk.ann, kind="admin"),
        desk.token(sub=str(uuid.uuid4()), kind="visitor", ibx=str(uuid.uuid4())),
        desk.token(sub=str(uuid.uuid4()), kind="visitor"),
        jwt.encode({"sub": desk.ann, "kind": "agent"}, "", algorithm="none"),
        "ndk_0011223344556677_secret",
        "\u00e9\u4f60",
        "a" * 5_000,
    ]
    for token in bad:
        device = await desk.device()
        await device.say(op="hello", token=token, device=clock.new_id())
        assert await device.closed() == 3501, token[:40]


async def test_a_web_origin_must_be_listed(desk: Desk) -> None:
    """A browser on a site that the inbox does not list can't open a visitor's session; a listed one can."""
    async with open_desk(desk.world, origins=("https://shop.example",)) as strict:
        foreign = await strict.device(origin="https://evil.example")
        token = strict.visitor_token(clock.new_id())
        await foreign.say(op="hello", token=token, device=clock.new_id())
        assert await foreign.closed() == 3506
        own = await strict.device(origin="https://shop.example")
        assert (await own.hello(token))["you"]["kind"] == "visitor"


async def test_the_same_device_replaces_its_older_connection(desk: Desk) -> None:
    """A device has one session: the newer hello wins, another device stays."""
    device_id = clock.new_id()
    first = await desk.agent(desk.ann, device=device_id)
    other = await desk.agent(desk.ann)
    second = await desk.agent(desk.ann, device=device_id)
    assert await first.closed() == 3504
    assert second.close_code is None
    assert other.close_code is None


async def _with_short_token(
    desk: Desk, device_id: str, *, lives_s: Sequence[int] = _LIVES_S
) -> tuple[Device, float]:
    """A welcomed device whose token runs out soon, and when: later on a machine that is too slow for a short one."""
    for life_s in lives_s:
        device = await desk.device()
        ends_s = clock.now_ns() // 1_000_000_000 + life_s
        token = desk.agent_token(desk.ann, life_s=life_s)
        await device.say(op="hello", token=token, device=device_id)
        await device.first()
        if any(frame.get("op") == "welcome" for frame in device.frames):
            return device, ends_s
    raise AssertionError("a hello takes longer than any of these tokens lives")


async def test_an_expired_token_ends_the_session(desk: Desk) -> None:
    """A session does not outlive its token while a fresh one can be had."""
    device, _ = await _with_short_token(desk, clock.new_id())
    assert await device.closed() == 3009


async def test_refused_frames_are_answered_and_too_many_close(desk: Desk) -> None:
    """A frame that does not fit is answered with its id and what would fit; who goes on with them is closed with 3505."""
    device = await desk.agent(desk.ann)
    await device.say(op="dance", id=77)
    refused = await device.answer(77)
    assert (refused["op"], refused["code"], refused["retry"]) == ("err", "unknown_op", False)
    assert "hello, looking, read, received, send, typing" in refused["message"]
    await device.say(op="send", id=78, conversation_id="x", message_id="y", text="z")
    assert (await device.answer(78))["code"] == "bad_id"
    await device.say(op="send", id=79, text="z")
    assert (await device.answer(79))["code"] == "invalid"
    await device.say(op="send", id=-1, conversation_id="x", message_id="y", text="z")
    assert "from 0 to 9007199254740991" in (await device.answer(-1))["message"]
    for odd in ("80", 8.5, True, [80]):
        await device.say(op="send", id=odd, conversation_id="x", message_id="y", text="z")
        told = await device.until(lambda frame: "`$.id`" in frame.get("message", ""))
        assert (told["op"], told["code"], told["id"]) == ("err", "invalid", None)
        device.frames.remove(told)
    await device.say(op="received", up_to=2**40)
    beyond = await device.until(lambda frame: "up_to" in frame.get("message", ""))
    assert f"from 0 to {device.frames[0]['position']}" in beyond["message"]
    for number in range(100, 130):
        await device.say(op="dance", id=number)
    assert await device.closed() == 3505


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "invalid"),
        ("nul \x00 byte", "invalid"),
        ("escape \x1b[0m", "invalid"),
        ("x" * 8_001, "too_large"),
    ],
)
async def test_texts_that_are_no_text_are_refused(desk: Desk, text: str, code: str) -> None:
    """Empty, binary and oversized texts never reach the log."""
    contact_id, conversation_id = await desk.conversation()
    device = await desk.visitor(contact_id)
    answer = await device.post(conversation_id, text)
    assert (answer["op"], answer["code"]) == ("err", code)


async def test_half_a_surrogate_pair_is_refused(desk: Desk) -> None:
    """A lone surrogate can't be stored as UTF-8, so it is refused and the session goes on."""
    contact_id, conversation_id = await desk.conversation()
    device = await desk.visitor(contact_id)
    await device.socket.send_str(
        f'{{"op":"send","id":9,"conversation_id":"{conversation_id}",'
        f'"message_id":"{clock.new_id()}","text":"\\ud800"}}'
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            answer = await device.answer(9)
    except AssertionError:
        assert device.close_code == 3500
        return
    assert answer["op"] == "err"


async def test_conversations_of_others_do_not_exist(desk: Desk) -> None:
    """Another visitor's and another account's conversation answer alike, to posts, reads and typing."""
    _, conversation_id = await desk.conversation()
    contact_id, _ = await desk.conversation()
    foreign: list[Device] = [await desk.visitor(contact_id)]
    async with open_desk(desk.world) as other:
        foreign.append(await other.agent(other.ann))
        for device in foreign:
            for target in (conversation_id, clock.new_id()):
                answer = await device.post(target, "hello?")
                assert (answer["op"], answer["code"]) == ("err", "not_found")
            await device.say(op="read", conversation_id=conversation_id, up_to=1)
            await device.until(lambda f: f.get("op") == "err" and f.get("id") is None)


async def test_who_reads_what_is_not_theirs_is_slowed_down(desk: Desk) -> None:
    """Each unknown id costs the store a question, so such frames count against the visitor's limit, also when a good
    one in between keeps the session open; reading one's own conversation costs nothing."""
    contact_id, conversation_id = await desk.conversation()
    # Ten at once and one a second: a slow machine doesn't grant them all before it has read them.
    with open_twin(desk.world, settings={"NIGHTDESK_GATEWAY_VISITOR_PER_S": "1"}) as twin:
        desk.world = twin
        visitor = await desk.visitor(contact_id)
        for _ in range(50):
            await visitor.say(op="read", conversation_id=conversation_id, up_to=1)
        for _ in range(100):
            await visitor.say(op="read", conversation_id=clock.new_id(), up_to=1)
            await visitor.say(op="read", conversation_id=conversation_id, up_to=1)
        first = await visitor.op("err")
        assert first["code"] == "not_found"
        await visitor.until(lambda frame: frame.get("code") == "rate_limited")


async def test_an_acknowledgement_of_the_future_is_refused(desk: Desk) -> None:
    """A device can't acknowledge what it was never given; a lease would be met by a lie."""
    device = await desk.agent(desk.ann)
    await device.say(op="received", up_to=2**62)
    assert (await device.op("err"))["code"] == "invalid"


async def test_pings_of_the_protocol_are_answered(desk: Desk) -> None:
    """A client that lives on WebSocket pings is heard and answered."""
    device = await desk.agent(desk.ann)
    socket = device.socket

    await device.stop_reading()
    socket._autoping = False
    await socket.ping(b"are you there")
    message = await socket.receive(timeout=PATIENCE_S)
    assert (message.type, bytes(message.data)) == (aiohttp.WSMsgType.PONG, b"are you there")


async def test_hello_may_be_said_again(desk: Desk) -> None:
    """A fresh token on an open session takes the place of the old one, which then may run out."""
    device_id = clock.new_id()
    device, ends_s = await _said_twice(desk, device_id)
    with pytest.raises(TimeoutError):
        await device.closed(timeout_s=ends_s + 2.5 - clock.now_ns() / 1e9)
    assert [f["recovered"] for f in device.frames if f.get("op") == "welcome"] == [False, True]


async def _said_twice(desk: Desk, device_id: str) -> tuple[Device, float]:
    """A device that has said hello again in time, and when its first token runs out."""
    for life_s in _LIVES_S:
        device, ends_s = await _with_short_token(desk, device_id, lives_s=(life_s, *_LIVES_S))
        await device.say(
            op="hello", token=desk.agent_token(desk.ann), device=device_id, resume=device.cursor
        )
        # On a machine that takes seconds for this the old token has run out: again with a longer one.
        with contextlib.suppress(AssertionError):
            await device.until(lambda f: f.get("op") == "welcome" and f["recovered"] is True)
        if device.close_code is None and clock.now_ns() / 1e9 < ends_s:
            return device, ends_s
    raise AssertionError("two hellos take longer than any of these tokens lives")


async def test_a_removed_agent_is_sent_away(desk: Desk) -> None:
    """The session of an agent who is removed ends at once."""
    device = await desk.agent(desk.bob)
    await desk.append(
        "account",
        events.AgentRemoved(account_id=desk.account_id, writer="test", agent_id=desk.bob),
    )
    assert await device.closed() == 3501
