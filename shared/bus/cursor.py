"""One ephemeral consumer and its pull requests: a cursor over the log that may be thrown away any time.

Lifecycle: `open`, then `wait` and `take` until `lost` says why it is of no use any more, then `close`.
Never: acknowledgements (an fsync each), `max_deliver` (skips silently), more in memory than was asked for.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
from nats.aio.subscription import Subscription

from shared.bus.api import ask_again
from shared.bus.connection import Bus
from shared.bus.delivery import Delivery
from shared.bus.wire import header_number, plain_frame, status_of
from shared.crashpoints import crashpoint

_HEARTBEAT = 100
_GONE = frozenset({404, 408})
_SHORT_ACK_TOKENS = 9
_INACTIVE_NS = 60 * 1_000_000_000


class CursorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of the pull requests, of which two are kept in flight."""

    pull_entries: int = 1000
    pull_bytes: int = 8 * 1024**2
    pull_expires_s: float = 30.0
    heartbeat_s: float = 1.0


class _Delivered(msgspec.Struct, frozen=True):
    consumer_seq: int = 0


class _Info(msgspec.Struct, frozen=True):
    num_pending: int = 0
    delivered: _Delivered = _Delivered()


class Cursor:
    """Deliveries of one consumer, in order, until it is lost."""

    def __init__(self, bus: Bus, stream: str, settings: CursorSettings) -> None:
        self._bus = bus
        self._stream = stream
        self._settings = settings
        self._name = f"reader-{secrets.token_hex(8)}"
        self._inbox = f"_INBOX.{secrets.token_hex(11)}"
        self._pull_body = msgspec.json.encode(
            {
                "batch": settings.pull_entries,
                "max_bytes": settings.pull_bytes,
                "expires": round(settings.pull_expires_s * 1e9),
                "idle_heartbeat": round(settings.heartbeat_s * 1e9),
            }
        )
        self._subscription: Subscription | None = None
        self._buffer: deque[tuple[bytes, bytes, bytes, bytes]] = deque()
        self._arrived = asyncio.Event()
        self._subjects: dict[bytes, str] = {}
        self._asked = 0
        self._sequence = 0
        self._beats_ahead = 0
        self._reconnects = bus.reconnects
        self.heard_at = time.monotonic()
        self.pending = 0
        self.lost: str | None = None

    @property
    def buffered(self) -> int:
        """Deliveries and control messages that wait to be taken."""
        return len(self._buffer)

    @property
    def is_cut(self) -> bool:
        """Whether the connection was lost since this cursor was made; what comes now may have gaps."""
        return self._reconnects != self._bus.reconnects or not self._bus.is_connected

    async def open(self, start: int, subjects: Sequence[str]) -> None:
        """Make the consumer at position `start`. ApiFailed, Unavailable: it was not made."""
        crashpoint("cursor.subscribe")
        self._subscription = await self._bus.client.subscribe_raw(self._inbox, self._sink)
        config: dict[str, Any] = {
            "name": self._name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": start,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": _INACTIVE_NS,
        }
        if subjects:
            config["filter_subjects"] = list(subjects)
        crashpoint("cursor.create")
        # The same name and settings again change nothing.
        raw = await ask_again(
            self._bus,
            f"CONSUMER.CREATE.{self._stream}.{self._name}",
            {"stream_name": self._stream, "action": "create", "config": config},
        )
        self.pending = msgspec.json.decode(raw, type=_Info).num_pending
        self.heard_at = time.monotonic()
        self.ask()

    async def close(self) -> None:
        """Unsubscribe and let the server forget the consumer; the server would do so by itself."""
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        crashpoint("cursor.close")
        await self._bus.client.unsubscribe_raw(subscription)
        if self._bus.is_connected:
            subject = f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._name}"
            self._bus.client.write(plain_frame(subject, "", b""))

    def ask(self) -> None:
        """Keep two pull requests' worth of deliveries on their way."""
        batch = self._settings.pull_entries
        while self._asked + len(self._buffer) <= batch and self._bus.is_connected:
            self._asked += batch
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"
            self._bus.client.write(plain_frame(subject, self._inbox, self._pull_body))

    async def wait(self, timeout_s: float) -> None:
        """Wait until something arrived or `timeout_s` is over."""
        if self._buffer:
            return
        self._arrived.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        except TimeoutError:
            return

    async def is_drained(self) -> bool:
        """Ask the server whether everything it has for this consumer has been taken here."""
        crashpoint("cursor.info")
        raw = await ask_again(self._bus, f"CONSUMER.INFO.{self._stream}.{self._name}")
        info = msgspec.json.decode(raw, type=_Info)
        return info.num_pending == 0 and info.delivered.consumer_seq == self._sequence

    def take(self, limit: int) -> list[Delivery]:
        """Up to `limit` deliveries; stops for good, with `lost` set, where the consumer's numbers jump."""
        taken: list[Delivery] = []
        buffer, subjects = self._buffer, self._subjects
        while buffer and len(taken) < limit and self.lost is None:
            raw_subject, reply, payload, headers = buffer.popleft()
            tokens = reply.split(b".")
            if len(tokens) < _SHORT_ACK_TOKENS:
                self._control(headers)
                continue
            first = 5 if len(tokens) == _SHORT_ACK_TOKENS else 7
            if int(tokens[first + 1]) != self._sequence + 1:
                self.lost = "jump"
                break
            self._sequence += 1
            self._asked -= 1
            self.pending = int(tokens[first + 3])
            subject = subjects.get(raw_subject)
            if subject is None:
                subject = subjects[raw_subject] = raw_subject.decode()
            taken.append(Delivery(int(tokens[first]), subject, int(tokens[first + 2]), payload))
        if taken:
            self._beats_ahead = 0
        return taken

    def _sink(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        self._buffer.append((subject, reply, payload, headers or b""))
        self.heard_at = time.monotonic()
        self._arrived.set()

    def _control(self, headers: bytes) -> None:
        status = status_of(headers)
        unused = header_number(headers, b"Nats-Pending-Messages")
        if status == _HEARTBEAT:
            self._beat(headers)
        elif status in _GONE or unused is not None:
            self._asked = max(0, self._asked - (unused or 0))
        else:
            self.lost = f"status_{status}"

    def _beat(self, headers: bytes) -> None:
        """A heartbeat names the last delivery; twice ahead of what came means that one got lost."""
        last = header_number(headers, b"Nats-Last-Consumer")
        if last is None or last <= self._sequence:
            self._beats_ahead = 0
            return
        self._beats_ahead += 1
        if self._beats_ahead > 1:
            self.lost = "missed"
