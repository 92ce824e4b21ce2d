"""A device as cheap as can be, so that the generator leaves the processor to what is measured: WebSocket frames
written and parsed by hand, no task and no timer each. Never used for anything but load: it trusts its server."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from bench.site import Site

_HOSTS = 16
_OPENING_AT_ONCE = 64
_OPEN_S = 30.0
_UNWELCOMED = 128
_MASK = b"\0\0\0\0"
"""A mask of zeros is legal and leaves the payload as it is."""


class Heard(msgspec.Struct, frozen=True, gc=False):
    """What a device looks at in every frame but `entries`."""

    op: str = ""
    id: int = 0
    position: int | None = 0
    recovered: bool | None = None
    cursor: str | None = None
    code: str = ""
    retry: bool = False


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message as the client decodes it."""

    conversation_id: str
    message_id: str
    position: int
    seq: int
    text: str | None = None


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An inbox entry as the client decodes it."""

    position: int
    kind: str
    prev: int = 0
    message: Message | None = None
    messages: list[Message] = []


class Entries(msgspec.Struct, frozen=True, gc=False):
    """An `entries` frame."""

    entries: list[Entry]
    cursor: str
    current: bool


heard_of = msgspec.json.Decoder(Heard).decode
entries_of = msgspec.json.Decoder(Entries).decode
ENTRIES = b'{"op":"entries"'

OnFrame = Callable[["Device", bytes], None]


class Device(asyncio.Protocol):
    """One connection. `on_frame` gets every text frame; `number` is the caller's."""

    __slots__ = ("_buffer", "_is_upgraded", "closed", "number", "on_frame", "opened", "transport")

    def __init__(self, number: int, on_frame: OnFrame) -> None:
        self.number = number
        self.on_frame = on_frame
        self.transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        self.closed = 0
        self._buffer = b""
        self._is_upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: nightdesk.v1\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, whoever wanted it."""
        self.closed = self.closed or 1006
        self.transport = None
        if self.opened is not None and not self.opened.done():
            self.opened.set_exception(ConnectionError("closed before it was open"))
        del exc

    def data_received(self, data: bytes) -> None:
        """Whole frames out of what came."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        if not self._is_upgraded:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            self._upgrade(head)
        at, end = 0, len(data)
        while end - at >= 2:
            size, start = data[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if start + size > end:
                break
            if data[at] == 0x81:
                self.on_frame(self, data[start : start + size])
            elif data[at] == 0x88:
                self._bid_farewell(data[start : start + size])
            at = start + size
        if at < end:
            self._buffer = data[at:]

    def _upgrade(self, head: bytes) -> None:
        self._is_upgraded = True
        opened, self.opened = self.opened, None
        assert opened is not None
        if head.startswith(b"HTTP/1.1 101"):
            opened.set_result(None)
        else:
            opened.set_exception(ConnectionError(head[:60].decode("ascii", "replace")))

    def _bid_farewell(self, body: bytes) -> None:
        self.closed = int.from_bytes(body[:2], "big")
        if self.transport is not None:
            self.transport.write(b"\x88\x82" + _MASK + body[:2])
            self.transport.close()

    def send(self, payload: bytes) -> None:
        """A text frame."""
        size = len(payload)
        if self.transport is None:
            return
        if size < 126:
            head = b"\x81" + (0x80 | size).to_bytes(1, "big")
        else:
            head = b"\x81\xfe" + size.to_bytes(2, "big")
        self.transport.write(head + _MASK + payload)

    def cut(self) -> None:
        """End it without a word."""
        if self.transport is not None:
            self.transport.abort()


class Opener:
    """Opens devices, from several loopback addresses because one has too few ports."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._hosts = itertools.cycle(f"127.0.0.{n}" for n in range(1, _HOSTS + 1))
        self._places = asyncio.Semaphore(_OPENING_AT_ONCE)

    async def open(self, number: int, on_frame: OnFrame) -> Device:
        """One device, upgraded; it has not said hello."""
        async with self._places, asyncio.timeout(_OPEN_S):
            loop = asyncio.get_running_loop()
            _, device = await loop.create_connection(
                lambda: Device(number, on_frame),
                "127.0.0.1",
                self._port,
                local_addr=(next(self._hosts), 0),
            )
            if device.opened is not None:
                await device.opened
            return device


class Crowd:
    """Many devices that have said hello. What they hear later goes to `on_frame`."""

    def __init__(self, site: Site, on_frame: OnFrame) -> None:
        self.on_frame = on_frame
        self.devices: list[Device] = []
        self.cursors: list[str] = []
        self._opener = Opener(site.gateway_port)
        self._waiting = 0
        self._unwelcomed = asyncio.Semaphore(_UNWELCOMED)
        self._welcomed = asyncio.Event()

    async def open(self, tokens: Sequence[str]) -> None:
        """A device for each token, welcomed."""
        first = len(self.devices)
        self._waiting = len(tokens)
        self._welcomed.clear()
        self.cursors += [""] * len(tokens)
        opened = [self._open_one(first + n, token) for n, token in enumerate(tokens)]
        self.devices += await asyncio.gather(*opened)
        async with asyncio.timeout(_OPEN_S + len(tokens) / 200):
            await self._welcomed.wait()

    async def _open_one(self, number: int, token: str) -> Device:
        # Each hello asks the store; more than it answers in time would be sent away again.
        await self._unwelcomed.acquire()
        device = await self._opener.open(number, self._hear_welcome)
        device.send(hello(token, device_id(number)))
        return device

    def _hear_welcome(self, device: Device, payload: bytes) -> None:
        heard = heard_of(payload)
        if heard.op != "welcome":
            return
        self.cursors[device.number] = heard.cursor or ""
        device.on_frame = self.on_frame
        self._unwelcomed.release()
        self._waiting -= 1
        if not self._waiting:
            self._welcomed.set()

    def leave(self) -> None:
        """Close every connection."""
        for device in self.devices:
            device.cut()


def device_id(number: int) -> str:
    """The device id of a number; the same each time."""
    return f"00000000-0000-4000-8000-{number:012x}"


def hello(token: str, device: str, resume: str | None = None) -> bytes:
    """The first frame."""
    frame = {"op": "hello", "token": token, "device": device, "resume": resume}
    return msgspec.json.encode(frame)
