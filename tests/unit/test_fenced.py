"""The loop of a fenced writer, with an appender that does what the test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import pytest

from shared import codec, fenced
from shared.bus import Bus, Delivery, FenceLost
from shared.errors import NightdeskError, OutcomeUnknown, Unavailable
from shared.events import AgentOnline, Event, WriterStarted
from shared.fenced import FencedFamily
from shared.subjects import event_subject
from tests.support import desk

SECOND_NS = 1_000_000_000
SUBJECT = event_subject("0", "presence")


class Log:
    """The family in the broker: what was appended, and what the next append comes to."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.fault: NightdeskError | None = None
        self.stores_although_unknown = False

    async def append(
        self, payloads: Sequence[bytes], *, expected: int, on_written: Callable[[], None]
    ) -> list[int]:
        """As `FencedWriter.append`."""
        on_written()
        fault, self.fault = self.fault, None
        if fault is not None and not self.stores_although_unknown:
            raise fault
        if expected != len(self.payloads):
            raise FenceLost("fence_lost", "newer")
        self.payloads += payloads
        if fault is not None:
            raise fault
        return list(range(expected + 1, len(self.payloads) + 1))

    def write(self, event: Event) -> None:
        """Somebody else appends."""
        self.payloads.append(codec.encode_event(event))


class Writer:
    """A family of one process on that log."""

    def __init__(self, log: Log, monkeypatch: pytest.MonkeyPatch, *, name: str = "w1") -> None:
        self.log = log
        self.family = FencedFamily(cast("Bus", object()), "0", "presence", writer=name)
        monkeypatch.setattr(self.family, "_appender", log)
        monkeypatch.setattr(fenced, "last_of", self._last_of)
        self.folded = 0
        self.wanted = 0
        self.now_ns = SECOND_NS

    async def _last_of(self, _bus: Bus, _shard: str, _subject: str) -> Delivery | None:
        return self._delivery(len(self.log.payloads)) if self.log.payloads else None

    def _delivery(self, position: int) -> Delivery:
        payload = self.log.payloads[position - 1]
        return Delivery(position=position, subject=SUBJECT, at_ns=self.now_ns, payload=payload)

    def fold(self) -> None:
        """Fold to the end."""
        while self.folded < len(self.log.payloads):
            self.folded += 1
            self.family.fold(self._delivery(self.folded))

    async def step(self) -> str:
        """One look; there is something to decide until as much is folded as is wanted."""
        return await self.family.step(self._decide, self.now_ns)

    def _decide(self) -> list[Event]:
        decided = sum(b"agent_online" in p for p in self.log.payloads[: self.folded])
        return [_online(self.family.writer)] if decided < self.wanted else []

    async def active(self) -> Writer:
        """Claimed and folded."""
        assert await self.step() == "claimed"
        self.fold()
        return self


def _online(writer: str) -> Event:
    return AgentOnline(
        account_id=desk.ACCOUNT,
        writer=writer,
        agent_id=desk.agent_id("ann"),
        device_id=desk.device_id("phone"),
    )


@pytest.fixture
def log() -> Log:
    """An empty family."""
    return Log()


async def test_it_claims_first_and_decides_only_what_is_folded(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim, then one decision at a time: nothing is decided until the last one was read back."""
    writer = await Writer(log, monkeypatch).active()
    assert writer.family.is_active
    writer.wanted = 1
    assert await writer.step() == "written"
    assert await writer.step() == "waiting"
    writer.fold()
    assert await writer.step() == "idle"
    assert len(log.payloads) == 2


async def test_an_unknown_outcome_is_never_decided_twice(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored although nobody said so: found while folding, not appended again."""
    writer = await Writer(log, monkeypatch).active()
    writer.wanted = 1
    log.fault, log.stores_although_unknown = OutcomeUnknown("no answer"), True
    assert await writer.step() == "unknown"
    assert await writer.step() == "waiting"
    writer.fold()
    assert await writer.step() == "idle"
    assert len(log.payloads) == 2


async def test_what_was_not_stored_is_decided_again(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown and not stored, or refused for now: the same decision follows."""
    writer = await Writer(log, monkeypatch).active()
    writer.wanted = 1
    log.fault = OutcomeUnknown("no answer")
    assert await writer.step() == "unknown"
    log.fault = Unavailable("full")
    assert await writer.step() == "unavailable"
    assert await writer.step() == "written"


async def test_who_is_overtaken_stands_by(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rival's event ends the right to write, even before it is folded."""
    writer = await Writer(log, monkeypatch).active()
    writer.wanted = 1
    log.write(WriterStarted(writer="w2"))
    assert await writer.step() == "lost"
    assert await writer.step() == "waiting"
    writer.fold()
    assert await writer.step() == "standby"
    assert not writer.family.is_active
    assert len(log.payloads) == 2


async def test_a_standby_claims_what_is_overdue_by_a_second(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the other one makes progress it waits; a decision that stays undone for a second it takes over."""
    writer = await Writer(log, monkeypatch).active()
    log.write(WriterStarted(writer="w2"))
    writer.fold()
    writer.wanted = 2
    assert await writer.step() == "standby"
    writer.now_ns += SECOND_NS * 9 // 10
    log.write(_online("w2"))
    writer.fold()
    assert await writer.step() == "standby"
    writer.now_ns += SECOND_NS * 9 // 10
    assert await writer.step() == "standby"
    writer.now_ns += SECOND_NS * 2 // 10
    assert await writer.step() == "standby", "looked at four times a second"
    writer.now_ns += SECOND_NS * 2 // 10
    assert await writer.step() == "claimed"


async def test_a_claim_is_repeated_daily(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a purge never takes the family's last event away."""
    writer = await Writer(log, monkeypatch).active()
    writer.now_ns += 23 * 3600 * SECOND_NS
    assert await writer.step() == "idle"
    writer.now_ns += 2 * 3600 * SECOND_NS
    assert await writer.step() == "claimed"
