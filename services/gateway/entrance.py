"""Where connections arrive: WebSockets are served here, byte for byte, everything else goes on to aiohttp.

A connection is one object without task or timer: a device that is idle costs little, and a frame that needs no answer
from elsewhere is carried out where it is read. A frame that must wait gets a task, and those behind it wait for it.
Never: two frames of one connection at the same time; more of them kept than a handful (the client is not read on)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import cast

from aiohttp import web

from services.gateway.handlers import Frame, Handlers, State
from services.gateway.sessions.incoming import CLOSE, PING, TEXT, Fault, Incoming
from services.gateway.sessions.session import Session
from services.gateway.sessions.upgrade import (
    AWAY,
    MOST_HEAD_BYTES,
    may_become_upgrade,
    read_upgrade,
)
from services.gateway.silence import HEAD_TIMEOUT_S
from shared import clock
from shared.runtime import contained, contained_now

_WAITING_MOST = 64
_LEAVES_AT_ONCE_BYTES = 32_768
_END_OF_HEAD = b"\r\n\r\n"


class Entrance:
    """Makes the protocol of each connection; `turn` is called at every tick."""

    def __init__(self, handlers: Handlers) -> None:
        self.handlers = handlers
        self.others: Callable[[], asyncio.Protocol] = asyncio.Protocol
        self.strangers: OrderedDict[Caller, float] = OrderedDict()
        self.tasks: set[asyncio.Task[None]] = set()

    def __call__(self) -> Caller:
        """For a connection that was just accepted."""
        return Caller(self)

    def turn(self) -> None:
        """Hang up on those who opened a connection and did not say in time what they want."""
        now_s = clock.monotonic_s()
        while self.strangers:
            caller, since_s = next(iter(self.strangers.items()))
            if now_s - since_s <= HEAD_TIMEOUT_S:
                return
            caller.hang_up()

    async def take_over(self, request: web.Request) -> web.StreamResponse:
        """A connection on which requests were answered becomes a WebSocket: proxies keep connections and do that."""
        protocol, transport = request.protocol, request.transport
        head = b"\r\n".join(
            [b"GET /ws HTTP/1.1", *(b"%b: %b" % (name, text) for name, text in request.raw_headers)]
        )
        if transport is None or read_upgrade(head) is None:
            raise web.HTTPUpgradeRequired(headers={"Upgrade": "websocket"})
        # aiohttp lets go of it: without a transport it neither answers nor closes.
        protocol.transport = None
        protocol.connection_lost(None)
        caller = self()
        transport.set_protocol(caller)
        caller.connection_made(transport)
        caller.data_received(head + _END_OF_HEAD)
        return web.Response()

    def start(self, work: asyncio.Task[None]) -> None:
        """Keep a task until it is over."""
        self.tasks.add(work)
        work.add_done_callback(self.tasks.discard)


class Caller(asyncio.Protocol):
    """One connection."""

    __slots__ = ("_entrance", "_head", "_incoming", "_session", "_transport", "_waiting")

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._incoming: Incoming | None = None
        self._head = b""
        self._waiting: deque[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        # uvloop's transports are no subclasses of asyncio's.
        transport = cast("asyncio.Transport", transport)
        self._transport = transport
        self._entrance.strangers[self] = clock.monotonic_s()
        # A full frame leaves at once, and the client reads it while the next one is made.
        transport.set_write_buffer_limits(high=_LEAVES_AT_ONCE_BYTES)

    def resume_writing(self) -> None:
        """The client has read on."""
        if self._session is not None:
            self._session.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """They are gone."""
        del exc
        self._entrance.strangers.pop(self, None)
        session, self._session = self._session, None
        self._transport = None
        if session is not None:
            left = self._entrance.handlers.left(session)
            if left is not None:
                self._entrance.start(asyncio.create_task(left))

    def hang_up(self) -> None:
        """End a connection that asked for nothing."""
        self._entrance.strangers.pop(self, None)
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Frames, or the head before them."""
        session, incoming = self._session, self._incoming
        if session is None or incoming is None:
            self._knock(data)
            return
        # Not the loop's own time: to ask for the loop is a system call in Python 3.11.
        session.heard_at_s = clock.monotonic_s()
        whole = incoming.whole(data)
        if whole is not None:
            self._take(session, whole)
            return
        try:
            for opcode, payload in incoming.feed(data):
                if opcode == TEXT:
                    self._take(session, payload)
                elif opcode == PING:
                    session.pong(payload)
                elif opcode == CLOSE:
                    session.bid_farewell(payload[:2])
                    return
        except Fault as fault:
            # What follows is no longer frames: nothing of it is kept.
            self._incoming = Incoming()
            session.close(fault.code)

    def _knock(self, data: bytes) -> None:
        """What do they want?"""
        transport = self._transport
        if transport is None:
            return
        came = self._head + data if self._head else data
        head, is_whole, rest = came.partition(_END_OF_HEAD)
        if not is_whole and may_become_upgrade(came) and len(came) <= MOST_HEAD_BYTES:
            self._head = came
            return
        self._head = b""
        self._entrance.strangers.pop(self, None)
        upgrade = read_upgrade(head) if is_whole else None
        if upgrade is None:
            other = self._entrance.others()
            transport.set_protocol(other)
            other.connection_made(transport)
            other.data_received(came)
        elif self._entrance.handlers.is_draining:
            transport.write(AWAY)
            transport.close()
        else:
            transport.write(upgrade.answer)
            self._incoming = Incoming()
            self._session = self._entrance.handlers.came(transport, origin=upgrade.origin)
            if rest:
                self.data_received(rest)

    def _take(self, session: Session, data: bytes) -> None:
        """Carry a frame out now, or after those that wait."""
        if self._waiting is not None:
            self._waiting.append(data)
            if len(self._waiting) == _WAITING_MOST and self._transport is not None:
                self._transport.pause_reading()
            return
        frame = self._begin(session, data)
        if frame is not None:
            self._waiting = deque()
            self._entrance.start(asyncio.create_task(self._carry_out(session, frame)))

    def _begin(self, session: Session, data: bytes) -> Frame | None:
        """Carry a frame out; it is handed back if it must wait."""
        if session.is_closing:
            return None
        handlers = self._entrance.handlers
        begun = contained_now(handlers.begin, session, data, otherwise=State.BUG)
        if begun is State.BUG:
            session.close(3002)
        return begun if isinstance(begun, Frame) else None

    async def _carry_out(self, session: Session, frame: Frame | None) -> None:
        """This frame and those that came meanwhile."""
        handlers = self._entrance.handlers
        while True:
            if frame is not None and not await contained(handlers.carry_out(session, frame)):
                session.close(3002)
            waiting = self._waiting
            if not waiting or self._transport is None:
                break
            if len(waiting) == _WAITING_MOST:
                self._transport.resume_reading()
            # It came long ago, perhaps, and was kept waiting here: who sent it is not silent.
            session.heard_at_s = clock.monotonic_s()
            frame = self._begin(session, waiting.popleft())
        self._waiting = None
