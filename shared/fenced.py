"""Fold, then claim, then append: how the one writer of a fenced family works, and how another takes over.

The broker is the only judge: an append names the last event of the family that was folded, and a writer that has
not folded a rival's event is refused. A writer claims when it has reached the log's end for the first time (so a
restart is back at once), stands by as soon as it folds somebody else's event, and claims again when a decision
that it would have made is overdue.
Never: a position that was asked for as the expected one; a decision before the own last append is folded; a
decision after an unknown outcome before the family is folded to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import msgspec
import structlog

from shared import codec
from shared.bus import Bus, Delivery, FenceBusy, FencedWriter, FenceLost, last_of
from shared.crashpoints import crashpoint
from shared.errors import Malformed, OutcomeUnknown, Unavailable
from shared.events import Event, PresenceEvent, RoutingEvent, WriterStarted
from shared.ids import Position
from shared.planted import planted
from shared.subjects import Family, event_subject

log = structlog.get_logger(__name__)

_CLAIM_AGAIN_NS = 24 * 3600 * 1_000_000_000
_STANDBY_LOOKS_NS = 250_000_000

_FencedEvent = PresenceEvent | RoutingEvent | WriterStarted

Step = Literal["idle", "standby", "waiting", "written", "claimed", "lost", "unknown", "unavailable"]


class Tail(msgspec.Struct, kw_only=True):
    """Folded from the family: its last event, who wrote it, and when that writer last claimed (log time)."""

    position: Position = 0
    writer: str = ""
    claimed_ns: int = 0


def _nothing_more(_events: Sequence[Event], _payloads: Sequence[bytes]) -> None:
    """A writer that does nothing while it waits."""


class FencedFamily:
    """One process's part in writing one family of one shard."""

    def __init__(
        self,
        bus: Bus,
        shard: str,
        family: Family,
        *,
        writer: str,
        overdue_s: float = 1.0,
    ) -> None:
        self.subject = event_subject(shard, family)
        self.writer = writer
        self.tail = Tail()
        self.on_flight: Callable[[Sequence[Event], Sequence[bytes]], None] = _nothing_more
        """Called with events, and their bytes, that are on their way to the log, while its answer is waited for. What is decided there
        may be given to a later `step`, when what is on its way was folded."""
        self._bus = bus
        self._shard = shard
        self._appender = FencedWriter(bus, shard, self.subject)
        self._overdue_ns = int(overdue_s * 1e9)
        self._barrier: Position = 0
        self._must_ask = True
        self._has_claimed = False
        self._overdue: tuple[Position, int] | None = None
        self._looked_ns = 0

    @property
    def is_active(self) -> bool:
        """Whether the last folded event of the family is this writer's."""
        return self.tail.writer == self.writer

    def fold(self, delivery: Delivery, event: Event | None = None) -> None:
        """Take note of one delivery; those of other families are ignored. `event` spares reading the envelope."""
        if delivery.subject != self.subject:
            return
        self.tail.position = delivery.position
        if isinstance(event, _FencedEvent):
            writer, is_claim = event.writer, isinstance(event, WriterStarted)
        else:
            try:
                envelope = codec.decode_envelope(delivery.payload)
            except Malformed:
                return
            writer, is_claim = envelope.writer, envelope.type == "writer_started"
        if is_claim or writer != self.tail.writer:
            self.tail.claimed_ns = delivery.at_ns
        if writer != self.tail.writer:
            log.info("writer_changed", family_subject=self.subject, is_mine=writer == self.writer)
            self.tail.writer = writer

    async def step(self, decide: Callable[[], Sequence[Event]], now_ns: int) -> Step:
        """Once at the log's end: decide and append, or stand by. `now_ns` is the log's time.

        Nothing is decided ("waiting") until what was appended or met by a refusal has been folded.
        """
        if self._must_ask and not await self._ask():
            return "unavailable"
        if self.tail.position < self._barrier:
            return "waiting"
        if self.is_active:
            events = decide()
            if events:
                return await self.append(events)
            is_old = now_ns - self.tail.claimed_ns > _CLAIM_AGAIN_NS
            return await self._claim() if is_old else "idle"
        if not self._has_claimed:
            return await self._claim()
        return await self._stand_by(decide, now_ns)

    async def append(self, events: Sequence[Event]) -> Step:
        """Append all or none, fenced by what was folded."""
        payloads = [codec.encode_event(event) for event in events]
        try:
            crashpoint("fenced.append")
            expected = self.tail.position
            if planted("expected_asked") and await self._ask():
                expected = self._barrier
            positions = await self._appender.append(
                payloads, expected=expected, on_written=partial(self.on_flight, events, payloads)
            )
            crashpoint("fenced.appended")
        except (FenceLost, FenceBusy) as err:
            self._must_ask = True
            log.info("append_fenced", family_subject=self.subject, code=err.code)
            return "lost"
        except OutcomeUnknown:
            self._must_ask = True
            log.warning("append_unknown", family_subject=self.subject)
            return "unknown"
        except Unavailable as err:
            log.warning("append_unavailable", family_subject=self.subject, code=err.code)
            return "unavailable"
        self._barrier = positions[-1]
        return "written"

    async def close(self) -> None:
        """Give the appender's inbox back."""
        await self._appender.close()

    async def _ask(self) -> bool:
        """Find out how far the family goes. It is only a mark to fold up to, never an expected position."""
        try:
            crashpoint("fenced.ask")
            last = await last_of(self._bus, self._shard, self.subject)
        except Unavailable:
            return False
        self._barrier = last.position if last is not None else 0
        self._must_ask = False
        return True

    async def _claim(self) -> Step:
        outcome = await self.append([WriterStarted(writer=self.writer)])
        self._has_claimed = self._has_claimed or outcome in {"written", "lost"}
        self._overdue = None
        return "claimed" if outcome == "written" else outcome

    async def _stand_by(self, decide: Callable[[], Sequence[Event]], now_ns: int) -> Step:
        if 0 <= now_ns - self._looked_ns < _STANDBY_LOOKS_NS:
            return "standby"
        self._looked_ns = now_ns
        if not decide():
            self._overdue = None
        elif self._overdue is None or self._overdue[0] != self.tail.position:
            self._overdue = (self.tail.position, now_ns)
        elif now_ns - self._overdue[1] >= self._overdue_ns:
            log.warning("claiming_overdue", family_subject=self.subject)
            return await self._claim()
        return "standby"


class Act:
    """Runs `family.step` whenever something was folded or heard, and at least every `tick_s`."""

    def __init__(self, family: FencedFamily, *, tick_s: float = 0.25) -> None:
        self._family = family
        self._tick_s = tick_s
        self._woken = asyncio.Event()
        self.now_ns: int | None = None
        """The log's time at its end, None while there is something left to fold. Set by the folding task."""

    def wake(self) -> None:
        """Something changed: look now."""
        self._woken.set()

    async def run(
        self, decide: Callable[[int], Sequence[Event]], note: Callable[[Step], None]
    ) -> None:
        """Until cancelled. `note` is told every outcome (metrics)."""
        while True:
            self._woken.clear()
            step: Step = "waiting"
            now_ns = self.now_ns
            if now_ns is not None:
                at_ns = now_ns
                step = await self._family.step(lambda at_ns=at_ns: decide(at_ns), at_ns)  # type: ignore[misc]
                note(step)
            if step not in {"written", "claimed"}:
                await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._tick_s):
                await self._woken.wait()
        except TimeoutError:
            pass
