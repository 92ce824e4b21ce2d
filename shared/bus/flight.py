"""One commit on its way: sent, and sent again with the same bytes, until its outcome is definite.

Never: a yes that is not our stream's acknowledgement of exactly our entries; a no after an attempt whose
outcome is unknown.
"""

from __future__ import annotations

import asyncio
import enum
import secrets
import time
from collections.abc import Callable, Sequence

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
from shared.labelled import labelled
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


Told = Callable[[Positions | Exception], None]
"""Called in the event loop with where the entries stand, or with why they do not; must not wait."""


class Submission:
    """Entries that one caller submitted together, and whom to tell. A caller is told by a call and not by a future: a
    future costs its object, a handle and a turn of the loop for every message."""

    __slots__ = ("_told", "entries", "keys", "size_bytes")

    def __init__(self, entries: Sequence[Entry], told: Told) -> None:
        self.entries = tuple(entries)
        self._told = told
        self.keys = frozenset([entry.key for entry in self.entries])
        self.size_bytes = sum([len(entry.payload) + _FRAME_BYTES for entry in self.entries])

    def tell(self, outcome: Positions | Exception) -> None:
        """Tell the caller. A bug of theirs must not keep the others from being told."""
        try:
            self._told(outcome)
        except Exception:
            log.exception("append_teller_failed")


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


class FirstAnswers:
    """Waits for the answers to some first attempts."""

    def __init__(self, count: int) -> None:
        self._open = count
        self._all = asyncio.Event()

    def one(self) -> None:
        """An answer came."""
        self._open -= 1
        if not self._open:
            self._all.set()

    async def wait(self, timeout_s: float) -> None:
        """Until all came, or the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._all.wait()
        except TimeoutError:
            return


class Flight:
    """A single entry as a plain publish, or several as one atomic batch. `launch` makes the first attempt, `settle` goes
    on from there as long as it takes, `end` comes last, whatever happened."""

    def __init__(self, submissions: Sequence[Submission], stream: str) -> None:
        self.submissions = submissions
        self.entries = [entry for each in submissions for entry in each.entries]
        self.found_full = False
        self.is_over = False
        self._stream = stream
        self._replies: list[str] = []
        self._positions: list[int] | None = None
        self._stored_by = 0
        self._is_unknown = False
        self._on_answer: Callable[[], None] = _nothing
        self._answer: PubAck | None = None

    @property
    def form(self) -> str:
        """How it travels, for metrics and logs."""
        return "plain" if len(self.entries) == 1 else "batch"

    def launch(self, acks: AckInbox, on_answer: Callable[[], None]) -> bytes:
        """Begin an attempt: the frames to be written now. `on_answer` is called when something was said to it."""
        self._answer = None
        self._on_answer = on_answer
        number = len(self._replies)
        reply = acks.expect(lambda ack: self._take(number, ack))
        self._replies.append(reply)
        return self._frames(reply)

    async def settle(self, bus: Bus, acks: AckInbox, settings: CommitSettings) -> None:
        """After the first attempt, if there was one: send until the outcome is definite, then tell those who wait."""
        give_up_at = time.monotonic() + settings.refuse_after_s
        backoff = Backoff(settings.retry_first_s, settings.retry_most_s)
        outcome = self._judge() if self._replies else _Outcome.AGAIN
        while outcome is not _Outcome.STORED:
            self._is_unknown = self._is_unknown or outcome is _Outcome.UNKNOWN
            is_over = outcome is _Outcome.REFUSED or time.monotonic() >= give_up_at
            if is_over and not self._is_unknown:
                self._refuse()
                return
            await self._pause(backoff.next_s())
            outcome = await self._attempt(bus, acks, settings)
        if not self.is_over:
            self._resolve()

    def end(self, acks: AckInbox) -> None:
        """However it ended, nobody is left waiting."""
        if not self.is_over:
            self._abandon()
        for reply in self._replies:
            acks.forget(reply)

    async def _attempt(self, bus: Bus, acks: AckInbox, settings: CommitSettings) -> _Outcome:
        if self._positions is not None:
            return _Outcome.STORED
        if not await bus.wait_connected(settings.retry_most_s):
            return _Outcome.AGAIN
        answered = asyncio.Event()
        frames = self.launch(acks, answered.set)
        write_frames(bus, frames)
        await _wait(answered, settings.ack_timeout_s)
        return self._judge()

    def _frames(self, reply: str) -> bytes:
        if len(self.entries) == 1:
            return plain_frame(self.entries[0].subject, reply, self.entries[0].payload)
        pairs = [(entry.subject, entry.payload) for entry in self.entries]
        return batch_frames(pairs, batch_id=secrets.token_hex(8), reply=reply)

    async def _pause(self, pause_s: float) -> None:
        """Wait before the next attempt; a late yes to an earlier one ends the wait."""
        if self._positions is None:
            answered = asyncio.Event()
            self._on_answer = answered.set
            await _wait(answered, pause_s)

    def _take(self, number: int, ack: PubAck | None) -> None:
        """A yes to any attempt settles the flight; anything else counts only for the current one."""
        positions = None if ack is None else ack.positions(self._stream, len(self.entries))
        if positions is not None and self._positions is None:
            self._positions = positions
            self._stored_by = number
            labelled(metrics.ATTEMPTS, self.form, _Outcome.STORED.value).inc()
            self._resolve()
        elif number == len(self._replies) - 1:
            self._answer = ack
        else:
            return
        self._on_answer()

    def _judge(self) -> _Outcome:
        """What came of the last attempt."""
        if self._positions is not None:
            return _Outcome.STORED
        outcome = self._judge_answer()
        labelled(metrics.ATTEMPTS, self.form, outcome.value).inc()
        if outcome is _Outcome.UNKNOWN:
            log.warning("append_unanswered", form=self.form, entries=len(self.entries))
        return outcome

    def _judge_answer(self) -> _Outcome:
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
        self.is_over = True
        crashpoint("commit.stored")
        positions = self._positions or []
        start = 0
        for each in self.submissions:
            end = start + len(each.entries)
            found = Positions(positions[start:end])
            found.may_repeat = self._is_unknown and self._stored_by > 0
            each.tell(found)
            start = end
        metrics.APPENDED.labels("stored").inc(start)

    def _refuse(self) -> None:
        self.is_over = True
        for each in self.submissions:
            each.tell(_refusal(self._answer))
        metrics.APPENDED.labels("refused").inc(len(self.entries))

    def _abandon(self) -> None:
        self.is_over = True
        for each in self.submissions:
            if self._replies:
                each.tell(OutcomeUnknown("the process stops before the log has answered"))
            else:
                each.tell(Unavailable("the process stops", code="stopped"))
        metrics.APPENDED.labels("unknown").inc(len(self.entries))


def write_frames(bus: Bus, frames: bytes) -> None:
    """Give an attempt to the log."""
    crashpoint("commit.write")
    bus.client.write(frames)
    crashpoint("commit.written")


def _nothing() -> None:
    """Nobody waits for an answer yet."""


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return


def _refusal(answer: PubAck | None) -> Unavailable | Malformed:
    error = None if answer is None else answer.error
    if error is None:
        return Unavailable("the log can't be reached", code="disconnected")
    if error.err_code == MESSAGE_TOO_LARGE:
        return Malformed("larger than the log takes", code="too_large")
    if error.err_code == NO_SPACE:
        return Unavailable("the log is full", code="log_full", retry_after_s=10)
    return Unavailable(f"the log refused ({error.err_code})", code="log_refused")
