"""The positioned reader: the log from a checkpoint on, in order, without holes, for ever.

Lifecycle: make it with the caller's checkpoint, iterate `batches()`, save the last position with the
state it belongs to. The consumer at the server is a cursor that is thrown away whenever in doubt.
Never: a hole handed over; another log taken for ours; an end of the log claimed without evidence; a
time that goes back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence

import msgspec
import structlog

from shared.bus import metrics
from shared.bus.api import ApiFailed
from shared.bus.backoff import Backoff
from shared.bus.connection import Bus
from shared.bus.cursor import Cursor, CursorSettings
from shared.bus.delivery import Delivery, digest
from shared.bus.streams import StreamState, stream_name, stream_state
from shared.crashpoints import crashpoint
from shared.errors import NightdeskError, Unavailable
from shared.planted import planted

log = structlog.get_logger(__name__)


class LogHole(NightdeskError):
    """Positions are missing between `after` and `found`, and a fresh consumer shows it again: stop."""

    def __init__(self, after: int, found: int) -> None:
        super().__init__("log_hole", f"nothing between positions {after} and {found}")
        self.after = after
        self.found = found


class LogReplaced(NightdeskError):
    """The log at the checkpoint is not the one that was read before: stop, restore."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__("log_replaced", f"another log at position {position}: {reason}")
        self.position = position


class RangePurged(NightdeskError):
    """The stream begins at `first`, beyond the checkpoint: read the range before it from `events`."""

    def __init__(self, position: int, first: int) -> None:
        super().__init__("range_purged", f"positions {position + 1} to {first - 1} are purged")
        self.position = position
        self.first = first


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint: the last position already handled (0: none) and the digest of its entry, if known."""

    position: int = 0
    digest: bytes | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What is handed over at once, perhaps nothing.

    `at_end`: this was all there is, so timers may be judged by `now_ns`, the log server's clock;
    otherwise `now_ns` is the time of the last entry read.
    """

    deliveries: list[Delivery]
    at_end: bool
    now_ns: int


class ReaderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times and sizes of a reader; `idle_s` is how often it yields an empty batch.

    `shrunk_s`: for how long a log may seem to end before what was read. On R3 a new leader, or one that does not know
    yet that it is none any more, tells an older end for a moment; a log that was replaced goes on telling it.
    """

    batch_entries: int = 1000
    idle_s: float = 0.5
    silence_s: float = 3.0
    clock_refresh_s: float = 10.0
    late_s: float = 1.0
    retry_first_s: float = 0.05
    retry_most_s: float = 2.0
    shrunk_s: float = 10.0
    cursor: CursorSettings = CursorSettings()


class _Clock:
    """The log server's clock, carried on by the monotonic one between looks at it."""

    def __init__(self) -> None:
        self._server_ns = 0
        self._taken_at = -1e9
        self._set_at = time.monotonic()
        self.latest_ns = 0

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._taken_at

    def set(self, server_ns: int) -> None:
        self._server_ns = server_ns
        self._taken_at = self._set_at = time.monotonic()

    def reset(self) -> None:
        self._taken_at = -1e9

    def estimate_ns(self) -> int:
        """About now, however old the last look is: to tell how far behind a reader is, never to judge by."""
        return self._server_ns + round((time.monotonic() - self._set_at) * 1e9)

    def now_ns(self) -> int:
        self.reach(self._server_ns + round(self.age_s * 1e9))
        return self.latest_ns

    def reach(self, at_ns: int) -> None:
        self.latest_ns = max(self.latest_ns, at_ns)


class Reader:
    """Reads one shard's log from a checkpoint, whole or only some subjects."""

    def __init__(
        self,
        bus: Bus,
        shard: str,
        start: Start,
        settings: ReaderSettings | None = None,
        subjects: Sequence[str] = (),
    ) -> None:
        self._bus = bus
        self._shard = shard
        self._settings = settings or ReaderSettings()
        self._subjects = tuple(subjects)
        self._digest = start.digest
        self._last: Delivery | None = None
        self._cursor: Cursor | None = None
        self._first_in_stream = 0
        self._is_compared = False
        self._suspect: int | None = None
        self._backoff = Backoff(self._settings.retry_first_s, self._settings.retry_most_s)
        self._retry_at = 0.0
        self._clock = _Clock()
        self._looked_at = time.monotonic()
        self._end = 0
        self._shrunk_at: float | None = None
        self.position = start.position

    @property
    def lag(self) -> int:
        """Entries that are not handed over yet, as far as the server has said."""
        return 0 if self._cursor is None else self._cursor.pending + self._cursor.buffered

    @property
    def behind_s(self) -> float:
        """How long ago the last entry that was handed over was written, while there are more; about."""
        if self._last is None or not self.lag:
            return 0.0
        return max(0.0, (self._clock.estimate_ns() - self._last.at_ns) / 1e9)

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield batches for ever, an empty one about every `idle_s` when nothing comes.

        LogHole, LogReplaced, RangePurged: going on would skip entries; the caller must act.
        """
        try:
            while True:
                cursor = await self._ready()
                if cursor is None:
                    yield Batch(deliveries=[], at_end=False, now_ns=self._clock.latest_ns)
                    continue
                await self._wait(cursor)
                deliveries = self._accept(cursor, cursor.take(self._settings.batch_entries))
                is_at_end = await self._is_at_end(cursor)
                now_ns = self._clock.now_ns() if is_at_end else self._clock.latest_ns
                yield Batch(deliveries=deliveries, at_end=is_at_end, now_ns=now_ns)
        finally:
            await self._drop("closed")

    async def _ready(self) -> Cursor | None:
        """The cursor if there is a good one; else try to make one, or wait a while for the next try."""
        cursor = self._cursor
        reason = "start"
        if cursor is not None:
            found = self._doubt(cursor)
            if found is None:
                cursor.ask()
                return cursor
            reason = found
            await self._drop(reason)
        wait_s = self._retry_at - time.monotonic()
        if wait_s > 0 or not self._bus.is_connected:
            await self._pause(wait_s)
            return None
        try:
            return await self._open(reason)
        except (Unavailable, ApiFailed) as err:
            log.warning("reader_cursor_failed", kind=type(err).__name__)
            self._back_off()
            await self._drop("failed")
            return None

    def _doubt(self, cursor: Cursor) -> str | None:
        """Why this cursor can't be trusted any more, if so."""
        if planted("cursor_trusted"):
            return None
        if cursor.lost is not None:
            return cursor.lost
        if cursor.is_cut:
            return "reconnect"
        is_silent = time.monotonic() - cursor.heard_at > self._settings.silence_s
        return "silence" if is_silent and not cursor.buffered else None

    async def _open(self, reason: str) -> Cursor:
        """A fresh consumer at the checkpoint, whose first delivery is compared with what was read."""
        crashpoint("reader.open")
        state = await stream_state(self._bus, self._shard)
        if self._is_shrunk(state):
            raise Unavailable("the stream ends before what was read", code="shrunk")
        if state.first > self.position + 1:
            raise RangePurged(self.position, state.first)
        if planted("reconnect_from_end") and self._last is not None:
            self.position, self._last, self._digest = state.last, None, None
        self._first_in_stream = state.first
        self._end = state.last
        self._clock.set(state.now_ns)
        self._is_compared = self.position < max(1, state.first)
        cursor = self._cursor = Cursor(self._bus, stream_name(self._shard), self._settings.cursor)
        await cursor.open(max(1, self.position), self._subjects)
        metrics.CURSORS.labels(reason if reason in _REASONS else "status").inc()
        if reason != "start":
            log.info("reader_cursor_made", reason=reason, position=self.position)
        return cursor

    def _is_shrunk(self, state: StreamState) -> bool:
        """Whether the log seems to end before what was read. LogReplaced: it has seemed so for too long."""
        if state.last >= self.position:
            self._shrunk_at = None
            return False
        now = time.monotonic()
        if self._shrunk_at is None:
            log.warning("log_seems_shrunk", position=self.position, last=state.last)
            self._shrunk_at = now
        if now - self._shrunk_at >= self._settings.shrunk_s:
            raise LogReplaced(self.position, f"the stream ends at {state.last}")
        return True

    async def _drop(self, reason: str) -> None:
        cursor, self._cursor = self._cursor, None
        self._clock.reset()
        if cursor is not None:
            if reason in ("silence", "jump", "missed"):
                self._back_off()
            await cursor.close()

    def _back_off(self) -> None:
        self._retry_at = time.monotonic() + self._backoff.next_s()

    async def _pause(self, wait_s: float) -> None:
        """Let time pass until the next try, but never longer than `idle_s`."""
        if not self._bus.is_connected:
            await self._bus.wait_connected(self._settings.idle_s)
        else:
            await asyncio.sleep(min(wait_s, self._settings.idle_s))

    async def _wait(self, cursor: Cursor) -> None:
        """Wait for deliveries; waking late (a paused process) makes all that was known stale."""
        if time.monotonic() - self._looked_at > self._settings.idle_s + self._settings.late_s:
            self._clock.reset()
        await cursor.wait(self._settings.idle_s)
        now = time.monotonic()
        if now - self._looked_at > self._settings.idle_s + self._settings.late_s:
            self._clock.reset()
        self._looked_at = now

    def _accept(self, cursor: Cursor, deliveries: list[Delivery]) -> list[Delivery]:
        """Compare the first delivery with the checkpoint, check that nothing is missing."""
        if not deliveries:
            return deliveries
        if not self._is_compared:
            deliveries = self._compare(cursor, deliveries)
        if not self._subjects and deliveries:
            deliveries = self._contiguous(cursor, deliveries)
        if deliveries:
            self._last = deliveries[-1]
            self.position = self._last.position
            self._clock.reach(self._last.at_ns)
            self._backoff.reset()
            metrics.DELIVERED.inc(len(deliveries))
        metrics.LAG.set(self.lag)
        return deliveries

    def _compare(self, cursor: Cursor, deliveries: list[Delivery]) -> list[Delivery]:
        first = deliveries[0]
        known = self._digest if self._last is None else digest(self._last)
        if first.position == self.position:
            if known is not None and digest(first) != known:
                raise LogReplaced(self.position, "the entry differs")
            self._is_compared = True
            return deliveries[1:]
        if not self._subjects:
            self._suspect_hole(cursor, self.position - 1, first.position)
            return []
        if known is not None:
            raise LogReplaced(self.position, "the entry is missing")
        self._is_compared = True
        return deliveries

    def _contiguous(self, cursor: Cursor, deliveries: list[Delivery]) -> list[Delivery]:
        """The part before a jump. Positions only grow, so first and last tell whether there is one."""
        if deliveries[-1].position == self.position + len(deliveries):
            return deliveries
        good = 0
        while deliveries[good].position == self.position + good + 1:
            good += 1
        self._suspect_hole(cursor, self.position + good, deliveries[good].position)
        return deliveries[:good]

    def _suspect_hole(self, cursor: Cursor, after: int, found: int) -> None:
        """The first time a hole is seen it may be the cursor's fault; the second time it is the log's."""
        if self._suspect == after:
            raise LogHole(after, found)
        self._suspect = after
        cursor.lost = "jump"

    async def _is_at_end(self, cursor: Cursor) -> bool:
        """Whether everything in the log was handed over, on evidence that is not stale."""
        if not self._is_idle(cursor) or not self._is_compared:
            return False
        if self._clock.age_s > self._settings.clock_refresh_s and not await self._refresh(cursor):
            return False
        if not self._subjects and self.position < self._end:
            return False
        return self._is_idle(cursor)

    def _is_idle(self, cursor: Cursor) -> bool:
        return not (cursor.pending or cursor.buffered or self._doubt(cursor))

    async def _refresh(self, cursor: Cursor) -> bool:
        """Look at the server's clock and at the end of the log; False if this tells of no end yet."""
        try:
            crashpoint("reader.refresh")
            state = await stream_state(self._bus, self._shard)
            is_drained = state.last <= self.position or not self._subjects
            is_drained = is_drained or await cursor.is_drained()
        except (Unavailable, ApiFailed):
            return False
        if self._is_shrunk(state):
            return False
        if is_drained:
            self._end = state.last
            self._clock.set(state.now_ns)
        return is_drained


_REASONS = frozenset({"start", "reconnect", "silence", "jump", "missed", "failed"})
