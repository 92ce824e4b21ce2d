"""The one live connection of a device: connects, says hello, resumes, and comes back after every loss.

Never gives up by itself: only a close code of 3500–3999 or a token that can't be renewed ends it.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Callable

import aiohttp
import msgspec

from nightdesk_client import wire
from nightdesk_client.backoff import Backoff
from nightdesk_client.errors import SessionRefused, SignedOut, Unreachable
from nightdesk_client.feed import Feed
from nightdesk_client.outgoing import Outgoing
from nightdesk_client.tokens import TokenSource

CLIENT = "nightdesk-client-python/0.1"
MAX_FRAME_BYTES = 4 * 1024 * 1024
_CONNECT_S = 10.0
_WELCOME_S = 10.0
_SILENCE_S = 10.0
_WRITE_S = 20.0
_ASK_AGAIN_S = (2.0, 8.0)
_MAX_GAPS = 3
_LOSSES = (aiohttp.ClientError, TimeoutError, OSError, Unreachable, msgspec.DecodeError)
_ENDS = frozenset(
    {
        aiohttp.WSMsgType.CLOSE,
        aiohttp.WSMsgType.CLOSING,
        aiohttp.WSMsgType.CLOSED,
        aiohttp.WSMsgType.ERROR,
    }
)


class _Lost(Exception):
    """This connection is over; come back after `after_s` (None: as the back-off says)."""

    def __init__(self, after_s: float | None = None) -> None:
        super().__init__()
        self.after_s = after_s


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where to connect, and as which device."""

    url: str
    device: str
    origin: str | None = None


class Live:
    """`run` until it raises. `opened` is set while a session stands."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        place: Place,
        tokens: TokenSource,
        *,
        feed: Feed,
        outgoing: Outgoing,
    ) -> None:
        self._http = http
        self._place = place
        self._tokens = tokens
        self._feed = feed
        self._outgoing = outgoing
        self._backoff = Backoff()
        self._ws: aiohttp.ClientWebSocketResponse | None = None
        self._gaps = 0
        self._is_renewed = False
        self._is_cut_after_send = False
        self._bye_s: float | None = None
        self.on_signal: Callable[[wire.Signal], None] = lambda _signal: None
        self.opened = asyncio.Event()
        self.welcome: wire.Welcome | None = None

    async def run(self) -> None:
        """Connect again and again. Raises `SessionRefused` or `SignedOut`."""
        while True:
            after_s: float | None = None
            is_crowded = False
            try:
                await self._session()
            except _Lost as lost:
                after_s = lost.after_s
            except _LOSSES as err:
                is_crowded = isinstance(err, TimeoutError)
            finally:
                self.opened.clear()
                self._ws = None
                self._outgoing.on_lost()
            if self._bye_s is not None:
                after_s, self._bye_s = self._bye_s + random.uniform(0, 1), None  # noqa: S311
            if after_s is None:
                after_s = self._backoff.next_s(is_crowded=is_crowded)
            await asyncio.sleep(after_s)

    async def flush(self, *, timeout_s: float) -> None:
        """Write what is ready to be written (acknowledgements, read marks) before the client goes."""
        ws = self._ws
        if ws is None or not self.opened.is_set():
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._write_all(ws)
        except _LOSSES:
            # It was a courtesy; whatever matters is said again on the next connection.
            return

    def cut(self, *, after_next_send: bool = False) -> None:
        """Break the transport as a dead network does, at once or right after the next message was written and
        before its confirmation can be read. For drills and tests."""
        if after_next_send:
            self._is_cut_after_send = True
            return
        if self._ws is not None:
            _break_transport(self._ws)

    async def _session(self) -> None:
        token = await self._tokens.current()
        connecting = self._http.ws_connect(
            self._place.url,
            protocols=(wire.SUBPROTOCOL,),
            origin=self._place.origin,
            max_msg_size=MAX_FRAME_BYTES,
            timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
        )
        async with asyncio.timeout(_CONNECT_S):
            ws = await connecting
        try:
            await self._greet(ws, token)
            await self._talk(ws)
        finally:
            await ws.close()
        await self._closed(ws, token)

    async def _greet(self, ws: aiohttp.ClientWebSocketResponse, token: str) -> None:
        hello = wire.Hello(
            token=token, device=self._place.device, resume=self._feed.cursor, client=CLIENT
        )
        asked_s = time.time()
        await ws.send_str(wire.encode_frame(hello))
        welcome = await self._await_welcome(ws, token)
        self._outgoing.alarm.synchronise(welcome.at, asked_s=asked_s)
        self._welcomed(welcome)
        self._ws = ws
        self._is_renewed = False
        self._feed.statistics.connections += 1
        self.opened.set()

    async def _await_welcome(self, ws: aiohttp.ClientWebSocketResponse, token: str) -> wire.Welcome:
        deadline = time.monotonic() + _WELCOME_S
        while True:
            message = await ws.receive(timeout=max(deadline - time.monotonic(), 0.01))
            if message.type in _ENDS:
                await self._closed(ws, token)
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            frame = wire.decode_frame(message.data)
            if isinstance(frame, wire.Welcome):
                return frame

    def _welcomed(self, welcome: wire.Welcome) -> None:
        self.welcome = welcome
        if welcome.recovered:
            self._feed.resumed()
        elif welcome.recovered is False:
            self._gaps = 0
            self._outgoing.restart()
            self._feed.restart(welcome)

    async def _talk(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        if self.welcome is None:
            return
        again = None
        if self.welcome.recovered is None:
            # The server can't tell yet what we missed: sending works meanwhile, and we ask again soon.
            delay_s = random.uniform(*_ASK_AGAIN_S)  # noqa: S311 - jitter, not a secret
            again = asyncio.get_running_loop().call_later(delay_s, _break_transport, ws)
        writer = asyncio.create_task(self._write(ws), name="nightdesk-writer")
        try:
            await self._read(ws, silence_s=self.welcome.ping_s + _SILENCE_S)
        finally:
            if again is not None:
                again.cancel()
            writer.cancel()
            await asyncio.wait([writer], timeout=1.0)

    async def _read(self, ws: aiohttp.ClientWebSocketResponse, *, silence_s: float) -> None:
        while True:
            message = await ws.receive(timeout=silence_s)
            if message.type in _ENDS:
                return
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            frame = wire.decode_frame(message.data)
            if frame is None:
                await _say(ws, "{}")
            else:
                await self._handle(frame)

    async def _handle(self, frame: wire.Frame) -> None:
        match frame:
            case wire.Ok():
                self._backoff.reset()
                await self._outgoing.sender.on_ok(frame)
            case wire.Err():
                await self._outgoing.sender.on_err(frame)
            case wire.Entries():
                self._take_in(frame)
            case wire.Bye():
                self._bye_s = frame.retry_after_ms / 1000
            case wire.Alert():
                self._outgoing.told(frame)
            case wire.Welcome():
                pass
            case _:
                self.on_signal(frame)

    def _take_in(self, frame: wire.Entries) -> None:
        if self._feed.offer(frame):
            # Only a session that carried something counts as success: one that is welcomed and closed at once,
            # again and again, must not be tried every second for ever.
            self._backoff.reset()
            self._gaps = 0
            return
        self._gaps += 1
        if self._gaps > _MAX_GAPS:
            # Resuming does not mend the chain: begin anew, the history tells what is missing.
            self._feed.forget_cursor()
        raise _Lost(after_s=0.0 if self._gaps == 1 else None)

    async def _write(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        try:
            while True:
                self._outgoing.wake.clear()
                await self._write_all(ws)
                await self._outgoing.wake.wait()
        except (aiohttp.ClientError, TimeoutError, OSError):
            _break_transport(ws)

    async def _write_all(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        while (frame := self._outgoing.next_frame()) is not None:
            await _say(ws, wire.encode_frame(frame))
            if self._is_cut_after_send and isinstance(frame, wire.Send):
                self._is_cut_after_send = False
                _break_transport(ws)

    async def _closed(self, ws: aiohttp.ClientWebSocketResponse, token: str) -> None:
        code = ws.close_code or 1006
        if code == wire.CLOSE_TOKEN_EXPIRED:
            await self._tokens.renew(token)
            raise _Lost(after_s=random.uniform(0, 1))  # noqa: S311 - jitter, not a secret
        if code == wire.CLOSE_UNAUTHORIZED and not self._is_renewed:
            self._is_renewed = True
            await self._tokens.renew(token)
            raise _Lost
        if code == wire.CLOSE_UNAUTHORIZED:
            raise SignedOut("the token is not accepted")
        if code in wire.CLOSE_DONT_RETURN:
            reason = getattr(ws, "close_reason", None)
            raise SessionRefused(code, str(reason or "the server refuses this session"))
        raise _Lost


async def _say(ws: aiohttp.ClientWebSocketResponse, text: str) -> None:
    # Not wait_for: before Python 3.12 it can swallow a cancellation that arrives as the write ends.
    async with asyncio.timeout(_WRITE_S):
        await ws.send_str(text)


def _break_transport(ws: aiohttp.ClientWebSocketResponse) -> None:
    connection = ws.get_extra_info("socket")
    if connection is None:
        return
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # Already broken, which is what was wanted.
        return
