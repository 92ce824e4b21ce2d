"""The inbox where answers to appends arrive: one raw subscription per writer, a token per attempt.

Never: a wait that a lost connection leaves hanging. On loss every open attempt is told `None`, which
means that its outcome is unknown.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from nats.aio.subscription import Subscription

from shared.bus.connection import Bus
from shared.bus.wire import PubAck, parse_ack

OnAck = Callable[[PubAck | None], None]


class AckInbox:
    """Hands each answer to the attempt that asked for it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[bytes, OnAck] = {}
        self._subscription: Subscription | None = None
        self._prefix = ""
        self._count = 0

    async def open(self) -> None:
        """Subscribe; may be called again."""
        if self._subscription is None:
            self._prefix = f"_INBOX.{secrets.token_hex(11)}."
            self._subscription = await self._bus.client.subscribe_raw(
                self._prefix + "*", self._sink
            )
            self._bus.on_loss(self._lost)

    async def close(self) -> None:
        """Unsubscribe; attempts that are still open are told that their outcome is unknown."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            self._bus.off_loss(self._lost)
            self._lost()
            await self._bus.client.unsubscribe_raw(subscription)

    def expect(self, on_ack: OnAck) -> str:
        """A reply subject for one attempt; `on_ack` is called once, or not at all if nothing comes."""
        self._count += 1
        reply = f"{self._prefix}{self._count}"
        self._waiting[reply.encode()] = on_ack
        return reply

    def forget(self, reply: str) -> None:
        """No longer wait for this attempt's answer."""
        self._waiting.pop(reply.encode(), None)

    def _sink(self, subject: bytes, _reply: bytes, payload: bytes, headers: bytes) -> None:
        on_ack = self._waiting.pop(bytes(subject), None)
        if on_ack is not None:
            on_ack(parse_ack(payload, headers or b""))

    def _lost(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for on_ack in waiting.values():
            on_ack(None)
