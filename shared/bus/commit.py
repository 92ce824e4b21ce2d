"""Group commit: what arrives while a commit is in flight goes to the log together, in one commit.

Lifecycle: `run` in a task of the caller for as long as anything may be submitted, `drain` before it is
cancelled. A submission is all or nothing: several entries always travel in one atomic batch.
Never: an entry sent while an earlier one of its key has no definite outcome; a yes that is not our
stream's acknowledgement of exactly our entries; a no after an attempt whose outcome is unknown; a
`Nats-Msg-Id` (a repeated one rejects a whole batch and it swallows other people's entries).
"""

from __future__ import annotations

import asyncio
import enum
import random
import secrets
import time
from collections import deque
from collections.abc import Sequence

import msgspec
import structlog

from shared.bus import metrics
from shared.bus.acks import AckInbox
from shared.bus.connection import Bus
from shared.bus.streams import stream_name, stream_state
from shared.bus.wire import (
    BATCH_LOST,
    HEADER_ALLOWANCE_BYTES,
    MESSAGE_TOO_LARGE,
    NO_RESPONDERS,
    NO_SPACE,
    PubAck,
    batch_frames,
    plain_frame,
)
from shared.errors import Malformed, OutcomeUnknown, Unavailable

log = structlog.get_logger(__name__)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What is to be appended. Entries of one `key` (a conversation's id) never overtake each other."""

    subject: str
    payload: bytes
    key: str


class CommitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and times of group commit; `small_group_entries` is where a batch begins to pay (R1)."""

    max_entries: int = 1000
    max_bytes: int = 4 * 1024**2
    max_payload_bytes: int = 1024**2 - HEADER_ALLOWANCE_BYTES
    small_group_entries: int = 12
    groups_in_flight: int = 1
    queue_entries: int = 50_000
    queue_bytes: int = 64 * 1024**2
    ack_timeout_s: float = 3.0
    refuse_after_s: float = 3.0
    retry_first_s: float = 0.02
    retry_most_s: float = 1.0
    fill_refuse: float = 0.9
    fill_check_s: float = 1.0


class _Submission:
    """Entries that one caller submitted together, and the future it waits on."""

    __slots__ = ("entries", "future", "keys", "size_bytes")

    def __init__(self, entries: Sequence[Entry], future: asyncio.Future[list[int]]) -> None:
        self.entries = tuple(entries)
        self.future = future
        self.keys = frozenset(entry.key for entry in self.entries)
        self.size_bytes = sum(
            len(entry.payload) + HEADER_ALLOWANCE_BYTES // 4 for entry in self.entries
        )


class _Outcome(enum.Enum):
    STORED = "stored"
    REFUSED = "refused"
    AGAIN = "again"
    UNKNOWN = "unknown"


class _Flight:
    """One commit on its way: a single entry as a plain publish, or an atomic batch."""

    def __init__(self, submissions: Sequence[_Submission]) -> None:
        self.submissions = submissions
        self.entries = [entry for each in submissions for entry in each.entries]
        self.replies: list[str] = []
        self.positions: list[int] | None = None
        self.is_unknown = False
        self.answered = asyncio.Event()
        self.answer: PubAck | None = None

    @property
    def form(self) -> str:
        return "plain" if len(self.entries) == 1 else "batch"

    def frames(self, reply: str) -> bytes:
        if len(self.entries) == 1:
            return plain_frame(self.entries[0].subject, reply, self.entries[0].payload)
        pairs = [(entry.subject, entry.payload) for entry in self.entries]
        return batch_frames(pairs, batch_id=secrets.token_hex(8), reply=reply)


class GroupCommit:
    """Appends to one shard's log for everything in the process."""

    def __init__(self, bus: Bus, shard: str, settings: CommitSettings | None = None) -> None:
        self._bus = bus
        self._shard = shard
        self._stream = stream_name(shard)
        self._settings = settings or CommitSettings()
        self._acks = AckInbox(bus)
        self._queue: deque[_Submission] = deque()
        self._busy_keys: set[str] = set()
        self._arrived = asyncio.Event()
        self._settled = asyncio.Event()
        self._is_draining = False
        self._flying = 0
        self.queued = 0
        self.queued_bytes = 0
        self.inflight = 0
        self.fill = 0.0

    def submit(self, entries: Sequence[Entry]) -> asyncio.Future[list[int]]:
        """Queue `entries` and return a future of their positions, in order. Never waits.

        Unavailable, at once: queue full, log nearly full, connection down for long, draining; nothing
        was done. Malformed: an entry or the whole is too large. The future fails with Unavailable
        (a definite no) or, when `run` is cancelled, OutcomeUnknown.
        """
        future: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        submission = _Submission(entries, future)
        self._check(submission)
        if not submission.entries:
            future.set_result([])
            return future
        future.add_done_callback(_retrieve)
        self._queue.append(submission)
        self.queued += len(submission.entries)
        self.queued_bytes += submission.size_bytes
        self._arrived.set()
        return future

    async def append(self, entries: Sequence[Entry], *, timeout_s: float) -> list[int]:
        """Submit and wait. OutcomeUnknown after `timeout_s`: the entries go on until it is known."""
        future = self.submit(entries)
        done, _ = await asyncio.wait({future}, timeout=timeout_s)
        if not done:
            raise OutcomeUnknown(f"the log has not answered within {timeout_s} s")
        return future.result()

    async def run(self) -> None:
        """Commit until cancelled."""
        await self._acks.open()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch_fill())
                for _ in range(self._settings.groups_in_flight):
                    tasks.create_task(self._commit_groups())
        finally:
            self._refuse_queued("stopped")
            await self._acks.close()

    async def drain(self, timeout_s: float) -> bool:
        """Take nothing more and wait for what was taken; False if something is still open."""
        self._is_draining = True
        try:
            async with asyncio.timeout(timeout_s):
                while self._queue or self._flying:
                    self._settled.clear()
                    await self._settled.wait()
        except TimeoutError:
            return False
        return True

    def _check(self, submission: _Submission) -> None:
        settings = self._settings
        count = len(submission.entries)
        limit = min(settings.max_payload_bytes, self._bus.client.max_payload - HEADER_ALLOWANCE_BYTES)
        if any(len(entry.payload) > limit for entry in submission.entries):
            raise Malformed(f"an entry is larger than {limit} bytes", code="too_large")
        if count > settings.max_entries or (count > 1 and submission.size_bytes > settings.max_bytes):
            raise Malformed("too much for one commit", code="too_large")
        if self._is_draining:
            raise Unavailable("this process is stopping", code="draining")
        if self.fill >= settings.fill_refuse:
            raise Unavailable("the log is nearly full", code="log_full", retry_after_s=10)
        if self._bus.disconnected_s > settings.refuse_after_s:
            raise Unavailable("not connected to the log", code="disconnected")
        if (
            self.queued + count > settings.queue_entries
            or self.queued_bytes + submission.size_bytes > settings.queue_bytes
        ):
            raise Unavailable("too much waits for the log", code="overloaded")

    async def _commit_groups(self) -> None:
        while True:
            if not self._bus.is_connected:
                await self._wait_connected()
                continue
            flights = self._take()
            if not flights:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            await self._fly(flights)

    async def _wait_connected(self) -> None:
        if not await self._bus.wait_connected(self._settings.refuse_after_s):
            self._refuse_queued("disconnected")

    def _take(self) -> list[_Flight]:
        """Take the next group off the queue: a few single entries of different keys, or one batch."""
        settings = self._settings
        is_small = self.queued <= settings.small_group_entries and all(
            len(each.entries) == 1 for each in self._queue
        )
        most = settings.small_group_entries if is_small else settings.max_entries
        taken: list[_Submission] = []
        passed: list[_Submission] = []
        closed_keys = set(self._busy_keys)
        count = size_bytes = 0
        while self._queue:
            each = self._queue[0]
            is_free = not self._busy_keys or closed_keys.isdisjoint(each.keys)
            if is_free and is_small:
                is_free = closed_keys.isdisjoint(each.keys)
            if is_free:
                count += len(each.entries)
                size_bytes += each.size_bytes
                if taken and (count > most or size_bytes > settings.max_bytes):
                    break
                taken.append(each)
            else:
                passed.append(each)
            if is_small or not is_free:
                closed_keys.update(each.keys)
            self._queue.popleft()
        self._queue.extendleft(reversed(passed))
        if not taken:
            return []
        self._leave_queue(taken)
        return [_Flight([each]) for each in taken] if is_small else [_Flight(taken)]

    def _leave_queue(self, taken: Sequence[_Submission]) -> None:
        self.queued -= sum(len(each.entries) for each in taken)
        self.queued_bytes -= sum(each.size_bytes for each in taken)
        metrics.QUEUED.set(self.queued)

    async def _fly(self, flights: list[_Flight]) -> None:
        keys = {key for flight in flights for each in flight.submissions for key in each.keys}
        count = sum(len(flight.entries) for flight in flights)
        self._busy_keys |= keys
        self._flying += 1
        self.inflight += count
        started = time.monotonic()
        try:
            if len(flights) == 1:
                await self._settle(flights[0])
            else:
                async with asyncio.TaskGroup() as tasks:
                    for flight in flights:
                        tasks.create_task(self._settle(flight))
        finally:
            self._busy_keys -= keys
            self._flying -= 1
            self.inflight -= count
            self._arrived.set()
            self._settled.set()
        metrics.COMMIT_SECONDS.observe(time.monotonic() - started)
        metrics.GROUP_ENTRIES.observe(count)

    async def _settle(self, flight: _Flight) -> None:
        """Send until the outcome is definite, then tell those who wait."""
        give_up_at = time.monotonic() + self._settings.refuse_after_s
        pause_s = self._settings.retry_first_s
        try:
            while True:
                outcome = await self._attempt(flight)
                if outcome is _Outcome.STORED:
                    self._resolve(flight)
                    return
                if outcome is _Outcome.UNKNOWN:
                    flight.is_unknown = True
                is_over = outcome is _Outcome.REFUSED or time.monotonic() >= give_up_at
                if is_over and not flight.is_unknown:
                    self._refuse(flight, _refusal(flight.answer))
                    return
                await self._pause(flight, random.uniform(pause_s / 2, pause_s))
                pause_s = min(pause_s * 2, self._settings.retry_most_s)
        except asyncio.CancelledError:
            self._abandon(flight)
            raise
        finally:
            for reply in flight.replies:
                self._acks.forget(reply)

    async def _pause(self, flight: _Flight, pause_s: float) -> None:
        """Wait before the next attempt; a late yes to an earlier one ends the wait."""
        flight.answered.clear()
        if flight.positions is not None:
            return
        try:
            async with asyncio.timeout(pause_s):
                await flight.answered.wait()
        except TimeoutError:
            return

    async def _attempt(self, flight: _Flight) -> _Outcome:
        if flight.positions is not None:
            return _Outcome.STORED
        if not self._bus.is_connected:
            await self._bus.wait_connected(self._settings.retry_most_s)
            if not self._bus.is_connected:
                return _Outcome.AGAIN
        flight.answered.clear()
        flight.answer = None
        number = len(flight.replies)
        reply = self._acks.expect(lambda ack: self._take_ack(flight, number, ack))
        flight.replies.append(reply)
        self._bus.client.write(flight.frames(reply))
        try:
            async with asyncio.timeout(self._settings.ack_timeout_s):
                await flight.answered.wait()
        except TimeoutError:
            log.warning("append_unanswered", form=flight.form, entries=len(flight.entries))
        outcome = self._judge(flight)
        metrics.ATTEMPTS.labels(flight.form, outcome.value).inc()
        return outcome

    def _take_ack(self, flight: _Flight, number: int, ack: PubAck | None) -> None:
        """A yes to any attempt settles the flight; anything else counts only for the current one."""
        positions = None if ack is None else ack.positions(self._stream, len(flight.entries))
        if positions is not None and flight.positions is None:
            flight.positions = positions
        elif number == len(flight.replies) - 1:
            flight.answer = ack
        else:
            return
        flight.answered.set()

    def _judge(self, flight: _Flight) -> _Outcome:
        if flight.positions is not None:
            return _Outcome.STORED
        answer = flight.answer
        if answer is None or answer.error is None:
            return _Outcome.UNKNOWN
        error = answer.error
        if error.err_code == NO_SPACE:
            self.fill = 1.0
            return _Outcome.REFUSED
        if error.err_code in BATCH_LOST or error.code == 503 or answer is NO_RESPONDERS:
            return _Outcome.AGAIN
        log.error("append_refused", err_code=error.err_code, form=flight.form)
        return _Outcome.REFUSED

    def _resolve(self, flight: _Flight) -> None:
        positions = flight.positions or []
        start = 0
        for each in flight.submissions:
            end = start + len(each.entries)
            if not each.future.done():
                each.future.set_result(positions[start:end])
            start = end
        metrics.APPENDED.labels("stored").inc(start)

    def _refuse(self, flight: _Flight, error: Unavailable | Malformed) -> None:
        for each in flight.submissions:
            _fail(each, type(error)(error.message, code=error.code))
        metrics.APPENDED.labels("refused").inc(len(flight.entries))

    def _abandon(self, flight: _Flight) -> None:
        for each in flight.submissions:
            _fail(each, OutcomeUnknown("the process stops before the log has answered"))
        metrics.APPENDED.labels("unknown").inc(len(flight.entries))

    def _refuse_queued(self, code: str) -> None:
        refused = list(self._queue)
        self._queue.clear()
        self._leave_queue(refused)
        for each in refused:
            _fail(each, Unavailable("the log can't be reached", code=code))
            metrics.APPENDED.labels("refused").inc(len(each.entries))
        self._settled.set()

    async def _watch_fill(self) -> None:
        while True:
            try:
                self.fill = (await stream_state(self._bus, self._shard)).fill
                metrics.FILL.set(self.fill)
            except Unavailable as err:
                log.debug("stream_state_unavailable", code=err.code)
            await asyncio.sleep(self._settings.fill_check_s)


def _refusal(answer: PubAck | None) -> Unavailable | Malformed:
    error = None if answer is None else answer.error
    if error is None:
        return Unavailable("the log can't be reached", code="disconnected")
    if error.err_code == MESSAGE_TOO_LARGE:
        return Malformed("larger than the log takes", code="too_large")
    if error.err_code == NO_SPACE:
        return Unavailable("the log is full", code="log_full")
    return Unavailable(f"the log refused ({error.err_code})", code="log_refused")


def _fail(submission: _Submission, error: Exception) -> None:
    if not submission.future.done():
        submission.future.set_exception(error)


def _retrieve(future: asyncio.Future[list[int]]) -> None:
    """Mark an exception as seen: the caller may have stopped waiting, which is no fault."""
    if not future.cancelled():
        future.exception()
