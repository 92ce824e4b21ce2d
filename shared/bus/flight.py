"""One commit on its way: sent, and sent again with the same bytes, until its outcome is definite.

Never: a yes that is not our stream's acknowledgement of exactly our entries; a no after an attempt whose
outcome is unknown.
"""

from __future__ import annotations

import asyncio
import enum
import secrets
import time
from collections.abc import Sequence

import msgspec
import structlog

from shared.bus import metrics
from shared.bus.acks import AckInbox
from shared.bus.backoff import Backoff
from shared.bus.connection import Bus
from shared.bus.wire import (
    BATCH_LOST,
    HEADER_ALLOWANCE_BYTES,
    MESSAGE_TOO_LARGE,
    NO_SPACE,
    PubAck,
    batch_frames,
    plain_frame,
)
from shared.crashpoints import crashpoint
from shared.errors import Malformed, OutcomeUnknown, Unavailable
from shared.planted import planted

log = structlog.get_logger(__name__)

_FRAME_BYTES = HEADER_ALLOWANCE_BYTES // 4
"""What subject and batch headers add to an entry, roughly."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What is to be appended. Entries of one `key` (a conversation's id) never overtake each other."""

    subject: str
    payload: bytes
    key: str


class Positions(list[int]):
    """Where entries stand, in order. `may_repeat`: an earlier attempt of theirs had no known outcome, so the same
    entries may stand further ahead in the log, too, and readers count the first."""

    may_repeat = False


class Submission:
    """Entries that one caller submitted together, and the future it waits on."""

    __slots__ = ("entries", "future", "keys", "size_bytes")

    def __init__(self, entries: Sequence[Entry], future: asyncio.Future[Positions]) -> None:
        self.entries = tuple(entries)
        self.future = future
        self.keys = frozenset([entry.key for entry in self.entries])
        self.size_bytes = sum([len(entry.payload) + _FRAME_BYTES for entry in self.entries])

    def fail(self, error: Exception) -> None:
        """Tell the caller, unless it has gone."""
        if not self.future.done():
            self.future.set_exception(error)


class CommitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and times of group commit; `small_group_entries` is where a batch begins to pay (R1).

    `ack_timeout_s`: for one answer. `refuse_after_s`: how long a definite no, or a lost connection, is
    tried again before the caller is told. `fill_refuse`: part of the stream's size limit beyond which
    nothing is taken, so that routing, presence and retention can still write.
    """

    max_entries: int = 1000
    max_bytes: int = 4 * 1024**2
    max_payload_bytes: int = 1024**2 - HEADER_ALLOWANCE_BYTES
    small_group_entries: int = 8
    groups_in_flight: int = 1
    queue_entries: int = 50_000
    queue_bytes: int = 64 * 1024**2
    ack_timeout_s: float = 3.0
    refuse_after_s: float = 3.0
    retry_first_s: float = 0.02
    retry_most_s: float = 1.0
    fill_refuse: float = 0.9
    fill_check_s: float = 1.0


class _Outcome(enum.Enum):
    STORED = "stored"
    REFUSED = "refused"
    AGAIN = "again"
    UNKNOWN = "unknown"


class Flight:
    """A single entry as a plain publish, or several as one atomic batch."""

    def __init__(self, submissions: Sequence[Submission], stream: str) -> None:
        self.submissions = submissions
        self.entries = [entry for each in submissions for entry in each.entries]
        self.found_full = False
        self._stream = stream
        self._replies: list[str] = []
        self._positions: list[int] | None = None
        self._stored_by = 0
        self._is_unknown = False
        self._is_over = False
        self._answered = asyncio.Event()
        self._answer: PubAck | None = None

    @property
    def form(self) -> str:
        """How it travels, for metrics and logs."""
        return "plain" if len(self.entries) == 1 else "batch"

    async def settle(self, bus: Bus, acks: AckInbox, settings: CommitSettings) -> None:
        """Send until the outcome is definite, then tell those who wait."""
        give_up_at = time.monotonic() + settings.refuse_after_s
        backoff = Backoff(settings.retry_first_s, settings.retry_most_s)
        try:
            while (outcome := await self._attempt(bus, acks, settings)) is not _Outcome.STORED:
                self._is_unknown = self._is_unknown or outcome is _Outcome.UNKNOWN
                is_over = outcome is _Outcome.REFUSED or time.monotonic() >= give_up_at
                if is_over and not self._is_unknown:
                    self._refuse()
                    return
                await self._pause(backoff.next_s())
            crashpoint("commit.stored")
            self._resolve()
        finally:
            self._abandon()
            for reply in self._replies:
                acks.forget(reply)

    async def _attempt(self, bus: Bus, acks: AckInbox, settings: CommitSettings) -> _Outcome:
        if self._positions is not None:
            return _Outcome.STORED
        if not await bus.wait_connected(settings.retry_most_s):
            return _Outcome.AGAIN
        self._answered.clear()
        self._answer = None
        number = len(self._replies)
        reply = acks.expect(lambda ack: self._take(number, ack))
        self._replies.append(reply)
        crashpoint("commit.write")
        bus.client.write(self._frames(reply))
        crashpoint("commit.written")
        await self._wait(settings.ack_timeout_s)
        outcome = self._judge()
        metrics.ATTEMPTS.labels(self.form, outcome.value).inc()
        if outcome is _Outcome.UNKNOWN:
            log.warning("append_unanswered", form=self.form, entries=len(self.entries))
        return outcome

    def _frames(self, reply: str) -> bytes:
        if len(self.entries) == 1:
            return plain_frame(self.entries[0].subject, reply, self.entries[0].payload)
        pairs = [(entry.subject, entry.payload) for entry in self.entries]
        return batch_frames(pairs, batch_id=secrets.token_hex(8), reply=reply)

    async def _pause(self, pause_s: float) -> None:
        """Wait before the next attempt; a late yes to an earlier one ends the wait."""
        if self._positions is None:
            self._answered.clear()
            await self._wait(pause_s)

    async def _wait(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._answered.wait()
        except TimeoutError:
            return

    def _take(self, number: int, ack: PubAck | None) -> None:
        """A yes to any attempt settles the flight; anything else counts only for the current one."""
        positions = None if ack is None else ack.positions(self._stream, len(self.entries))
        if positions is not None and self._positions is None:
            self._positions = positions
            self._stored_by = number
        elif number == len(self._replies) - 1:
            self._answer = ack
        else:
            return
        self._answered.set()

    def _judge(self) -> _Outcome:
        if self._positions is not None:
            return _Outcome.STORED
        error = None if self._answer is None else self._answer.error
        if error is None and planted("timeout_is_yes"):
            self._positions = [0] * len(self.entries)
            return _Outcome.STORED
        if error is None:
            return _Outcome.UNKNOWN
        if error.err_code == NO_SPACE:
            self.found_full = True
            return _Outcome.REFUSED
        if error.err_code in BATCH_LOST or error.code == 503:
            return _Outcome.AGAIN
        log.error("append_refused", err_code=error.err_code, form=self.form)
        return _Outcome.REFUSED

    def _resolve(self) -> None:
        positions = self._positions or []
        start = 0
        for each in self.submissions:
            end = start + len(each.entries)
            if not each.future.done():
                found = Positions(positions[start:end])
                found.may_repeat = self._is_unknown and self._stored_by > 0
                each.future.set_result(found)
            start = end
        metrics.APPENDED.labels("stored").inc(start)
        self._is_over = True

    def _refuse(self) -> None:
        for each in self.submissions:
            each.fail(_refusal(self._answer))
        metrics.APPENDED.labels("refused").inc(len(self.entries))
        self._is_over = True

    def _abandon(self) -> None:
        """However `settle` ends, nobody is left waiting."""
        if self._is_over:
            return
        for each in self.submissions:
            if self._replies:
                each.fail(OutcomeUnknown("the process stops before the log has answered"))
            else:
                each.fail(Unavailable("the process stops", code="stopped"))
        metrics.APPENDED.labels("unknown").inc(len(self.entries))


def _refusal(answer: PubAck | None) -> Unavailable | Malformed:
    error = None if answer is None else answer.error
    if error is None:
        return Unavailable("the log can't be reached", code="disconnected")
    if error.err_code == MESSAGE_TOO_LARGE:
        return Malformed("larger than the log takes", code="too_large")
    if error.err_code == NO_SPACE:
        return Unavailable("the log is full", code="log_full", retry_after_s=10)
    return Unavailable(f"the log refused ({error.err_code})", code="log_refused")
