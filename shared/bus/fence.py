"""The fenced writer: appends to a family only if nothing newer than what was folded lies there.

The broker is the fence: `Nats-Expected-Last-Subject-Sequence` on the first entry. There is no lock and
no lease that a paused process could outlive.
Never: an `expected` that the caller has asked the server for instead of folded; a retry after an
unknown outcome (the caller folds to the end of the log first).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence

from shared.bus import metrics
from shared.bus.acks import AckInbox
from shared.bus.connection import Bus
from shared.bus.streams import stream_name
from shared.bus.wire import (
    BATCH_LOST,
    HEADER_ALLOWANCE_BYTES,
    MESSAGE_TOO_LARGE,
    NO_SPACE,
    SUBJECT_IN_FLIGHT,
    WRONG_LAST_SEQUENCE,
    PubAck,
    batch_frames,
    plain_frame,
)
from shared.errors import Malformed, NightdeskError, OutcomeUnknown, Unavailable
from shared.planted import planted

_MOST_ENTRIES = 1000
_ATTEMPTS = 3


class FenceLost(NightdeskError):
    """Something newer lies in the family (10071): fold to the end; if it is not yours, stand by."""


class FenceBusy(NightdeskError):
    """Something is in flight in the family (10163, 10164), perhaps your own: fold to the end, try again."""


class FencedWriter:
    """Appends to one family of one shard, one append at a time."""

    def __init__(self, bus: Bus, shard: str, subject: str, *, ack_timeout_s: float = 3.0) -> None:
        self._bus = bus
        self._stream = stream_name(shard)
        self._subject = subject
        self._ack_timeout_s = ack_timeout_s
        self._acks = AckInbox(bus)
        self._turn = asyncio.Lock()

    async def append(
        self,
        payloads: Sequence[bytes],
        *,
        expected: int,
        on_written: Callable[[], None] | None = None,
    ) -> list[int]:
        """Append all of `payloads` or none and return their positions.

        `expected`: position of the last event of the family that the caller has folded, 0 for none.
        `on_written` is called once, when the server has most of it and before it answers.
        FenceLost, FenceBusy, Unavailable, Malformed: nothing was stored. OutcomeUnknown: fold to the
        end of the log and look for your own events before anything else is decided.
        """
        self._check(payloads)
        async with self._turn:
            await self._acks.open()
            ack = PubAck()
            for _ in range(_ATTEMPTS):
                ack = await self._attempt(payloads, expected, on_written)
                on_written = None
                positions = ack.positions(self._stream, len(payloads))
                if positions is not None:
                    metrics.FENCED.labels("stored").inc()
                    return positions
                if ack.error is None or ack.error.err_code not in BATCH_LOST:
                    break
        raise _failure(ack)

    async def close(self) -> None:
        """Give the inbox back."""
        await self._acks.close()

    def _check(self, payloads: Sequence[bytes]) -> None:
        limit = self._bus.client.max_payload - HEADER_ALLOWANCE_BYTES
        if not payloads or len(payloads) > _MOST_ENTRIES:
            raise Malformed(f"an append takes 1 to {_MOST_ENTRIES} entries", code="too_large")
        if any(len(payload) > limit for payload in payloads):
            raise Malformed(f"an entry is larger than {limit} bytes", code="too_large")

    async def _attempt(
        self, payloads: Sequence[bytes], expected: int, on_written: Callable[[], None] | None
    ) -> PubAck:
        if not self._bus.is_connected:
            raise Unavailable("not connected to the log", code="disconnected")
        answered: asyncio.Future[PubAck | None] = asyncio.get_running_loop().create_future()
        reply = self._acks.expect(lambda ack: None if answered.done() else answered.set_result(ack))
        header = f"Nats-Expected-Last-Subject-Sequence: {expected}\r\n"
        if planted("missing_fence"):
            header = ""
        if len(payloads) == 1:
            frames = plain_frame(self._subject, reply, payloads[0], header)
        else:
            frames = batch_frames(
                [(self._subject, payload) for payload in payloads],
                batch_id=secrets.token_hex(8),
                reply=reply,
                first_header=header,
            )
        self._bus.client.write(frames)
        try:
            async with asyncio.timeout(self._ack_timeout_s):
                if on_written is not None:
                    await self._bus.client.hand_over()
                    on_written()
                ack = await answered
        except TimeoutError:
            ack = None
        finally:
            self._acks.forget(reply)
        if ack is None:
            metrics.FENCED.labels("unknown").inc()
            raise OutcomeUnknown("the log has not answered a fenced append")
        return ack


def _failure(ack: PubAck) -> NightdeskError:
    error = ack.error
    if error is None:
        metrics.FENCED.labels("unknown").inc()
        return OutcomeUnknown("the log's answer does not fit the fenced append")
    if error.err_code == WRONG_LAST_SEQUENCE:
        metrics.FENCED.labels("lost").inc()
        return FenceLost("fence_lost", "something newer lies in the family")
    if error.err_code in SUBJECT_IN_FLIGHT:
        metrics.FENCED.labels("busy").inc()
        return FenceBusy("fence_busy", "something is in flight in the family")
    metrics.FENCED.labels("refused").inc()
    if error.err_code == MESSAGE_TOO_LARGE:
        return Malformed("larger than the log takes", code="too_large")
    if error.err_code == NO_SPACE:
        return Unavailable("the log is full", code="log_full")
    return Unavailable(f"the log refused ({error.err_code})", code="log_refused")
