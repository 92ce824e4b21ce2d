"""One open connection: who it is, where it stands in its inbox, what waits to leave it.

Lifecycle: made at the upgrade, identified by `hello`, watched by the wheel, closed with one of our codes.
What is sent within one turn of the event loop leaves in one write: a write of a few hundred bytes costs as much as
making its frame.
Never: a wait for its client; more than the queue limit kept for it (overflow closes it with 3008 and the client
resumes from its cursor, so nothing is lost by it)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Literal

import msgspec

from services.gateway import metrics
from services.gateway.sessions.socket import close_frame, pong_frame, text_frame
from services.gateway.sessions.window import Window
from services.gateway.tokens import Principal
from shared import clock
from shared.commands import Connection
from shared.ids import DeviceId, Position

Mode = Literal["deaf", "reading", "held", "live"]
"""deaf: its place is not known; reading: the store is read for it; held: it must acknowledge first; live."""

_TRANSPORT_FULL_BYTES = 65_536
_ABORT_AFTER_S = 2.0


class OutgoingLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What may wait for one client and for all of them together."""

    frames: int = 1_000
    bytes: int = 1_048_576
    all_bytes: int = 268_435_456


class Outgoing:
    """What all sessions share when they send: the limits, and who is blocked by a slow reader."""

    def __init__(self, limits: OutgoingLimits) -> None:
        self.limits = limits
        self.blocked: set[Session] = set()
        self.closing: set[Session] = set()
        self.queued_bytes = 0
        self._due: list[Session] = []
        self._lingering: list[Session] = []

    def soon(self, session: Session) -> None:
        """Write what the session has to say at the end of this turn of the loop."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self.write)
        self._due.append(session)

    def later(self, session: Session) -> None:
        """Write it with what comes next for the session, at the latest at the next `flush`."""
        self._lingering.append(session)

    def write(self) -> None:
        """Write what is due now."""
        due, self._due = self._due, []
        for session in due:
            session.write()

    def flush(self) -> None:
        """Go on with sessions whose client has read something, cut those that don't answer our goodbye; called a
        few times a second."""
        lingering, self._lingering = self._lingering, []
        for session in lingering:
            session.write()
        for session in tuple(self.blocked):
            session.flush()
        now_s = asyncio.get_running_loop().time()
        for session in tuple(self.closing):
            session.cut_if_due(now_s)
        metrics.BLOCKED.set(len(self.blocked))


class Session:
    """A device's connection. Everything here runs in the event loop and returns at once."""

    __slots__ = (
        "_is_due",
        "_outgoing",
        "_queue",
        "_queued_bytes",
        "_transport",
        "_unwritten",
        "close_code",
        "closing_at_s",
        "connection",
        "device_id",
        "epoch",
        "faults",
        "heard_at_s",
        "hello_ns",
        "in_flight",
        "mode",
        "number",
        "opened_at_s",
        "origin",
        "position",
        "principal",
        "receipts_since",
        "room",
        "said_at_s",
        "typed_at_s",
        "wanted",
        "window",
    )

    def __init__(
        self, number: int, transport: asyncio.Transport, outgoing: Outgoing, *, now_s: float
    ) -> None:
        self.number = number
        self.principal: Principal | None = None
        self.device_id = DeviceId("")
        self.connection: Connection | None = None
        self.origin: str | None = None
        self.mode: Mode = "deaf"
        self.epoch = ""
        self.position: Position = 0
        self.wanted: Position = 0
        self.receipts_since: Position | None = None
        self.window: Window | None = None
        self.in_flight = 0
        self.room: asyncio.Future[None] | None = None
        self.faults = 0
        self.opened_at_s = now_s
        self.heard_at_s = now_s
        self.hello_ns = 0
        self.said_at_s = now_s
        self.typed_at_s = 0.0
        self.close_code = 0
        self.closing_at_s = 0.0
        self._transport: asyncio.Transport | None = transport
        self._outgoing = outgoing
        self._queue: deque[bytes] | None = None
        self._queued_bytes = 0
        self._unwritten: list[bytes] | None = None
        self._is_due = False

    @property
    def owner_id(self) -> str:
        """The inbox: a contact's or an agent's."""
        return "" if self.principal is None else self.principal.id

    def miss_receipts(self, since: Position) -> None:
        """Receipts after a position may have been missed: the next page is to bring them."""
        before = self.receipts_since
        self.receipts_since = since if before is None else min(since, before)

    @property
    def is_closing(self) -> bool:
        """Whether a close code was sent, or the connection is gone."""
        return bool(self.close_code) or self._transport is None

    def send(self, payload: bytes, *, may_linger: bool = False) -> None:
        """Hand a text frame to the client at the end of this turn of the loop, or queue it behind what it has not read
        yet. One that `may_linger` goes with the next, or within a tenth of a second."""
        transport = self._transport
        if transport is None or self.close_code or transport.is_closing():
            return
        frame = text_frame(payload)
        if self._queue is not None:
            self._enqueue(frame)
            return
        if self._unwritten is None:
            self._unwritten = [frame]
            if may_linger:
                self._outgoing.later(self)
        else:
            self._unwritten.append(frame)
        if not may_linger and not self._is_due:
            self._is_due = True
            self._outgoing.soon(self)

    def write(self) -> None:
        """Write what was sent since the last time; queue it if the client reads too slowly."""
        frames, transport = self._unwritten, self._transport
        self._unwritten, self._is_due = None, False
        if frames is None or transport is None or transport.is_closing():
            return
        self.said_at_s = clock.monotonic_s()
        room = _TRANSPORT_FULL_BYTES - transport.get_write_buffer_size()
        if room > 0 and sum(map(len, frames)) <= room:
            transport.write(frames[0] if len(frames) == 1 else b"".join(frames))
            return
        for frame in frames:
            if self._queue is None and transport.get_write_buffer_size() < _TRANSPORT_FULL_BYTES:
                transport.write(frame)
            elif not self.close_code:
                self._enqueue(frame)

    def pong(self, payload: bytes) -> None:
        """Answer a ping of the protocol, unless the client is not reading anyway."""
        transport = self._transport
        if transport is None or self.close_code or transport.is_closing():
            return
        if transport.get_write_buffer_size() < _TRANSPORT_FULL_BYTES:
            transport.write(pong_frame(payload))

    def _enqueue(self, frame: bytes) -> None:
        outgoing = self._outgoing
        if self._queue is None:
            self._queue = deque()
            outgoing.blocked.add(self)
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        outgoing.queued_bytes += len(frame)
        limits = outgoing.limits
        if (
            len(self._queue) > limits.frames
            or self._queued_bytes > limits.bytes
            or outgoing.queued_bytes > limits.all_bytes
        ):
            self.close(3008)

    def flush(self) -> None:
        """Write what waits, as far as the client takes it."""
        transport, queue = self._transport, self._queue
        if queue is None or transport is None or transport.is_closing():
            self._drop_queue()
            return
        while queue and transport.get_write_buffer_size() < _TRANSPORT_FULL_BYTES:
            frame = queue.popleft()
            self._queued_bytes -= len(frame)
            self._outgoing.queued_bytes -= len(frame)
            transport.write(frame)
            self.said_at_s = clock.monotonic_s()
        if not queue:
            self._drop_queue()

    def close(self, code: int) -> None:
        """Say goodbye with one of our codes. The connection is cut if the client does not answer in time."""
        if self.is_closing or self._transport is None:
            return
        self.write()
        self.close_code = code
        self.closing_at_s = asyncio.get_running_loop().time()
        self._drop_queue()
        self._outgoing.closing.add(self)
        metrics.CLOSED.labels(str(code)).inc()
        if not self._transport.is_closing():
            self._transport.write(close_frame(code))

    def bid_farewell(self, code: bytes) -> None:
        """The client closes, or answers our close: say the same and end the connection."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not self.close_code:
            self.write()
            transport.write(b"\x88\x02" + (code if len(code) == 2 else b"\x03\xe8"))
        transport.close()

    def cut_if_due(self, now_s: float) -> None:
        """Cut a connection whose client never answered our goodbye."""
        if self._transport is not None and now_s - self.closing_at_s >= _ABORT_AFTER_S:
            self._transport.abort()

    def gone(self) -> None:
        """The connection ended."""
        if self._transport is not None and self.close_code:
            self._transport.close()
        self._transport = None
        self._outgoing.closing.discard(self)
        self._drop_queue()

    def _drop_queue(self) -> None:
        self._outgoing.queued_bytes -= self._queued_bytes
        self._queued_bytes = 0
        self._queue = None
        self._unwritten = None
        self._outgoing.blocked.discard(self)
