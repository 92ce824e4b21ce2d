"""Devices that connect, say who they are, and never read a byte again, or so slowly that they never catch up: what such
clients do to a gateway.

Bare sockets, because a client library reads. Their receive buffers are as small as the system allows.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
from urllib.parse import urlsplit

import msgspec

from nightdesk_client import new_id

_SMALL_BYTES = 2048
_SIP_BYTES = 64
_SIP_EVERY_S = 0.5
_TIMEOUT_S = 5.0
_TEXT = 0x81
_MASKED = 0x80
_LONG = 126
_NO_MASK = b"\0\0\0\0"


class DeafDevice:
    """`open`, then nothing (`is_slow`: then a few bytes now and then); `close`."""

    def __init__(self, gateway: str, token: str, *, is_slow: bool = False) -> None:
        parts = urlsplit(gateway)
        assert parts.hostname is not None
        assert parts.port is not None
        self._place = (parts.hostname, parts.port)
        self._token = token
        self._is_slow = is_slow
        self._socket: socket.socket | None = None
        self._sipping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect and say hello. Raises OSError."""
        loop = asyncio.get_running_loop()
        made = socket.socket()
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BYTES)
        self._socket = made
        async with asyncio.timeout(_TIMEOUT_S):
            await loop.sock_connect(made, self._place)
            await loop.sock_sendall(made, self._upgrade() + self._hello())
        if self._is_slow:
            self._sipping = asyncio.create_task(self._sip(made), name="slow device")

    async def close(self) -> None:
        """Gone without a word."""
        if self._sipping is not None:
            self._sipping.cancel()
            await asyncio.wait([self._sipping], timeout=_TIMEOUT_S)
        if self._socket is not None:
            self._socket.close()

    async def _sip(self, made: socket.socket) -> None:
        """Until the gateway has had enough of it, which is its right."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            is_open = True
            while is_open:
                await asyncio.sleep(_SIP_EVERY_S)
                is_open = bool(await loop.sock_recv(made, _SIP_BYTES))

    def _upgrade(self) -> bytes:
        host, port = self._place
        key = base64.b64encode(os.urandom(16)).decode()
        return (
            f"GET /ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: nightdesk.v1\r\n\r\n"
        ).encode()

    def _hello(self) -> bytes:
        body = msgspec.json.encode({"op": "hello", "token": self._token, "device": new_id()})
        size = bytes([_MASKED | _LONG]) + len(body).to_bytes(2, "big")
        return bytes([_TEXT]) + size + _NO_MASK + body
