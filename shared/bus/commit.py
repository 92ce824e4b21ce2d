"""Group commit: what arrives while a commit is in flight goes to the log together, in one commit.

Lifecycle: `run` in a task of the caller for as long as anything may be submitted, `drain` before it is
cancelled. A submission is all or nothing: several entries always travel in one atomic batch.
Never: an entry sent while an earlier one of its key has no definite outcome; a yes that is not our
stream's acknowledgement of exactly our entries; a no after an attempt whose outcome is unknown; a
`Nats-Msg-Id` (a repeated one rejects a whole batch and it swallows other people's entries).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence

import structlog

from shared.bus import metrics
from shared.bus.acks import AckInbox
from shared.bus.connection import Bus
from shared.bus.flight import (
    CommitSettings,
    Entry,
    FirstAnswers,
    Flight,
    Positions,
    Submission,
    Told,
    write_frames,
)
from shared.bus.streams import stream_name, stream_state
from shared.bus.wire import HEADER_ALLOWANCE_BYTES
from shared.crashpoints import crashpoint
from shared.errors import Malformed, OutcomeUnknown, Unavailable

log = structlog.get_logger(__name__)


class GroupCommit:
    """Appends to one shard's log for everything in the process."""

    def __init__(self, bus: Bus, shard: str, settings: CommitSettings | None = None) -> None:
        self._bus = bus
        self._shard = shard
        self._stream = stream_name(shard)
        self._settings = settings or CommitSettings()
        self._acks = AckInbox(bus)
        self._queue: deque[Submission] = deque()
        self._busy_keys: set[str] = set()
        self._arrived = asyncio.Event()
        self._settled = asyncio.Event()
        self._is_draining = False
        self._flying = 0
        self.queued = 0
        self.queued_bytes = 0
        self.inflight = 0
        self.fill = 0.0

    def submit(self, entries: Sequence[Entry]) -> asyncio.Future[Positions]:
        """Queue `entries` and return a future of their `Positions`, in order. Never waits.

        Unavailable, at once: queue full, log nearly full, connection down for long, draining; nothing
        was done. Malformed: an entry or the whole is too large. The future fails with Unavailable
        (a definite no) or, when `run` is cancelled, OutcomeUnknown.
        """
        future: asyncio.Future[Positions] = asyncio.get_running_loop().create_future()

        def told(outcome: Positions | Exception) -> None:
            if future.done():
                return
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
                # Mark it as seen: the caller may have stopped waiting, which is no fault.
                future.exception()
            else:
                future.set_result(outcome)

        if entries:
            self.give(entries, told)
        else:
            future.set_result(Positions())
        return future

    def give(self, entries: Sequence[Entry], told: Told) -> None:
        """Queue `entries`, at least one; `told` is called once with their `Positions` or with what `submit` fails with.
        Raises as `submit`; then it is not called."""
        submission = Submission(entries, told)
        self._check(submission)
        self._queue.append(submission)
        self.queued += len(submission.entries)
        self.queued_bytes += submission.size_bytes
        self._arrived.set()

    async def append(self, entries: Sequence[Entry], *, timeout_s: float) -> Positions:
        """Submit and wait. OutcomeUnknown after `timeout_s`: the entries go on until it is known."""
        future = self.submit(entries)
        done, _ = await asyncio.wait({future}, timeout=timeout_s)
        if not done:
            raise OutcomeUnknown(f"the log has not answered within {timeout_s} s")
        return future.result()

    async def run(self) -> None:
        """Commit until cancelled."""
        try:
            await self._acks.open()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch())
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

    def _check(self, submission: Submission) -> None:
        settings = self._settings
        count = len(submission.entries)
        limit = min(
            settings.max_payload_bytes, self._bus.client.max_payload - HEADER_ALLOWANCE_BYTES
        )
        if max([len(entry.payload) for entry in submission.entries]) > limit:
            raise Malformed(f"an entry is larger than {limit} bytes", code="too_large")
        if count > settings.max_entries or (
            count > 1 and submission.size_bytes > settings.max_bytes
        ):
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

    def _take(self) -> list[Flight]:
        """Take the next group off the queue: a few single entries of different keys, or one batch."""
        settings = self._settings
        is_small = self.queued <= settings.small_group_entries and all(
            len(each.entries) == 1 for each in self._queue
        )
        taken = self._pick(most=settings.max_entries, one_per_key=is_small)
        if not taken:
            return []
        self._leave_queue(taken)
        parts = [[each] for each in taken] if is_small else [taken]
        return [Flight(part, self._stream) for part in parts]

    def _pick(self, *, most: int, one_per_key: bool) -> list[Submission]:
        """The oldest submissions that may go now; what is passed over keeps its place and its order."""
        taken: list[Submission] = []
        passed: list[Submission] = []
        closed_keys = set(self._busy_keys)
        count = size_bytes = 0
        while self._queue:
            each = self._queue[0]
            is_blocked = bool(closed_keys) and not closed_keys.isdisjoint(each.keys)
            if is_blocked:
                passed.append(each)
            else:
                count += len(each.entries)
                size_bytes += each.size_bytes
                if taken and (count > most or size_bytes > self._settings.max_bytes):
                    break
                taken.append(each)
            if one_per_key or is_blocked:
                closed_keys |= each.keys
            self._queue.popleft()
        self._queue.extendleft(reversed(passed))
        return taken

    def _leave_queue(self, taken: Sequence[Submission]) -> None:
        self.queued -= sum(len(each.entries) for each in taken)
        self.queued_bytes -= sum(each.size_bytes for each in taken)
        metrics.QUEUED.set(self.queued)

    async def _fly(self, flights: list[Flight]) -> None:
        keys = {key for flight in flights for each in flight.submissions for key in each.keys}
        count = sum(len(flight.entries) for flight in flights)
        self._busy_keys |= keys
        self._flying += 1
        self.inflight += count
        started = time.monotonic()
        try:
            await self._settle_all(flights)
        finally:
            self._busy_keys -= keys
            self._flying -= 1
            self.inflight -= count
            self._arrived.set()
            self._settled.set()
        metrics.COMMIT_SECONDS.observe(time.monotonic() - started)
        metrics.GROUP_ENTRIES.observe(count)

    async def _settle_all(self, flights: list[Flight]) -> None:
        """Nearly always the log says yes to the first attempt, and whoever waits is told where the answer is read; only
        a flight that needs more gets a task."""
        try:
            await self._send_all(flights)
            rest = [flight for flight in flights if not flight.is_over]
            if rest:
                async with asyncio.TaskGroup() as tasks:
                    for flight in rest:
                        tasks.create_task(self._settle(flight))
        finally:
            for flight in flights:
                flight.end(self._acks)

    async def _send_all(self, flights: list[Flight]) -> None:
        """The first attempts, in one write."""
        if not self._bus.is_connected:
            return
        waits = FirstAnswers(len(flights))
        frames = [flight.launch(self._acks, waits.one) for flight in flights]
        write_frames(self._bus, b"".join(frames))
        await waits.wait(self._settings.ack_timeout_s)

    async def _settle(self, flight: Flight) -> None:
        await flight.settle(self._bus, self._acks, self._settings)
        if flight.found_full:
            self.fill = 1.0

    def _refuse_queued(self, code: str) -> None:
        refused = list(self._queue)
        self._queue.clear()
        self._leave_queue(refused)
        for each in refused:
            each.tell(Unavailable("the log can't be reached", code=code))
            metrics.APPENDED.labels("refused").inc(len(each.entries))
        self._settled.set()

    async def _watch(self) -> None:
        """Keep `fill` fresh; let nobody wait for long behind a group that waits for the connection."""
        while True:
            try:
                crashpoint("commit.watch")
                self.fill = (await stream_state(self._bus, self._shard)).fill
                metrics.FILL.set(self.fill)
            except Unavailable as err:
                log.debug("stream_state_unavailable", code=err.code)
            metrics.QUEUED.set(self.queued)
            if self._bus.disconnected_s > self._settings.refuse_after_s:
                self._refuse_queued("disconnected")
            await asyncio.sleep(self._settings.fill_check_s)
