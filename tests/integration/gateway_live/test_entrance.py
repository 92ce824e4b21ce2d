"""Connections as they really arrive: kept by proxies, in pieces, with nothing to say, with frames behind a slow one."""

from __future__ import annotations

import asyncio

from services.gateway.silence import HEAD_TIMEOUT_S
from shared import clock
from tests.support.gateway_world import Desk
from tests.support.log import PATIENCE_S

_UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def _frame(text: str) -> bytes:
    payload = text.encode()
    return b"\x81\xfe" + len(payload).to_bytes(2, "big") + b"\0\0\0\0" + payload


def _hello(desk: Desk) -> bytes:
    token = desk.agent_token(desk.ann)
    return _frame(f'{{"op":"hello","token":"{token}","device":"{clock.new_id()}"}}')


async def _connect(desk: Desk) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", desk.world.port)


async def test_a_connection_that_was_used_for_requests_becomes_a_websocket(desk: Desk) -> None:
    """Proxies keep connections and send an upgrade down one that has served requests; the session works like any."""
    reader, writer = await _connect(desk)
    async with asyncio.timeout(PATIENCE_S):
        writer.write(b"GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 401 " in await reader.readline()
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if b"content-length" in line)
        await reader.readexactly(int(length.split(b":")[1]))
        writer.write(_UPGRADE)
        assert b" 101 " in await reader.readline()
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_hello(desk))
        assert b'"op":"welcome"' in await reader.readuntil(b"}")
        writer.write(b"\x88\x82\0\0\0\0\x03\xe8")
        assert (await reader.read()).endswith(b"\x88\x02\x03\xe8")
    writer.close()


async def test_a_head_in_pieces_with_frames_behind_it_is_understood(desk: Desk) -> None:
    """Where TCP cuts a head, and whether the first frames come with it, makes no difference."""
    reader, writer = await _connect(desk)
    async with asyncio.timeout(PATIENCE_S):
        for piece in (_UPGRADE[:5], _UPGRADE[5:60], _UPGRADE[60:] + _hello(desk)):
            writer.write(piece)
            await writer.drain()
        assert b" 101 " in await reader.readline()
        await reader.readuntil(b"\r\n\r\n")
        assert b'"op":"welcome"' in await reader.readuntil(b"}")
    writer.close()


async def test_who_asks_the_address_for_a_page_is_told_to_upgrade(desk: Desk) -> None:
    """An ordinary request is answered, not left hanging."""
    reader, writer = await _connect(desk)
    async with asyncio.timeout(PATIENCE_S):
        writer.write(b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b" 426 " in await reader.readline()
    writer.close()


async def test_whoever_says_nothing_is_hung_up_on(desk: Desk) -> None:
    """Silent connections would use up the descriptors of the process."""
    reader, writer = await _connect(desk)
    async with asyncio.timeout(HEAD_TIMEOUT_S + PATIENCE_S):
        assert await reader.read() == b""
    writer.close()


async def test_frames_behind_one_that_waits_keep_their_order(desk: Desk) -> None:
    """A hello asks the store; what the client sends behind it at once is carried out after it, in order."""
    contact_id, conversation_id = await desk.conversation()
    device = await desk.device()
    await device.say(op="hello", token=desk.visitor_token(contact_id), device=clock.new_id())
    ids = [clock.new_id() for _ in range(100)]
    for number, message_id in enumerate(ids):
        await device.say(
            op="send",
            id=number,
            conversation_id=conversation_id,
            message_id=message_id,
            text=f"{number}",
        )
    positions = [(await device.answer(number))["position"] for number in range(100)]
    assert positions == sorted(positions)
    assert await device.until_texts(100) == [f"{number}" for number in range(100)]
