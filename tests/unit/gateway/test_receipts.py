"""Receipts on their way to the log: the highest position counts, and what can't be written now is written later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from msgspec import structs

from services.gateway.receipts import Receipts
from services.gateway.tokens import Principal
from shared.errors import Malformed, NightdeskError, OutcomeUnknown, Unavailable
from shared.events import Read, ReceiptEvent, Received, ReceivedTogether
from shared.ids import AccountId, ConversationId, DeviceId, Position

ANN = Principal(kind="agent", id="ann", account_id=AccountId("a"), role="agent")
PHONE, LAPTOP = DeviceId("phone"), DeviceId("laptop")
CASE = ConversationId("c")


class Log:
    """Stands for the way to the log: answers everything with `failure` while there is one, and keeps what it took."""

    def __init__(self) -> None:
        self.failure: NightdeskError | None = None
        self.events: list[ReceiptEvent] = []

    async def append_each(
        self, _family: str, events: Mapping[str, ReceiptEvent]
    ) -> dict[str, Position | NightdeskError]:
        self.events += events.values()
        return {key: self.failure or Position(1) for key in events}

    def positions(self) -> list[Position]:
        """Asked for since the last time."""
        events, self.events = self.events, []
        return [each.up_to for event in events for each in _said(event)]


def _said(event: ReceiptEvent) -> Iterable[Received | Read]:
    return event.each() if isinstance(event, ReceivedTogether) else (event,)


def receipts() -> tuple[Receipts, Log]:
    """Nothing is flushed by itself."""
    log: Any = Log()
    return Receipts(log, flush_s=60.0), log


async def test_the_highest_position_is_written() -> None:
    """An acknowledgement that comes late takes nothing back, and devices and conversations are counted apart."""
    pending, log = receipts()
    for up_to in (5, 9, 7):
        pending.received(ANN, PHONE, Position(up_to))
    pending.received(ANN, LAPTOP, Position(3))
    pending.read(ANN, CASE, Position(4))
    await pending.flush()
    assert sorted(log.positions()) == [3, 4, 9]
    await pending.flush()
    assert log.positions() == []


@pytest.mark.parametrize("failure", [Unavailable("away"), OutcomeUnknown("nobody answered")])
async def test_what_the_log_does_not_take_is_written_later(failure: NightdeskError) -> None:
    """It is kept, with what came meanwhile if that is higher."""
    pending, log = receipts()
    log.failure = failure
    pending.received(ANN, PHONE, Position(5))
    pending.received(ANN, LAPTOP, Position(6))
    await pending.flush()
    pending.received(ANN, PHONE, Position(4))
    pending.received(ANN, LAPTOP, Position(7))
    log.failure = None
    log.positions()
    await pending.flush()
    assert sorted(log.positions()) == [5, 7]


async def test_what_can_never_be_written_is_let_go() -> None:
    """Otherwise it would be tried again with every flush, for ever."""
    pending, log = receipts()
    log.failure = Malformed("no event")
    pending.received(ANN, PHONE, Position(5))
    await pending.flush()
    log.positions()
    await pending.flush()
    assert log.positions() == []


async def test_devices_of_an_account_go_together() -> None:
    """A thousand devices of two accounts are a handful of events, each of one account and with everybody's highest
    position; what was read goes by itself, and so does who has no company."""
    pending, log = receipts()
    agents = [
        structs.replace(ANN, id=f"agent{number}", account_id=AccountId("ab"[number % 2]))
        for number in range(1_000)
    ]
    for number, agent in enumerate(agents):
        for up_to in (5, number + 10, 7):
            pending.received(agent, PHONE, Position(up_to))
    await pending.flush()
    assert [type(event) for event in log.events] == [ReceivedTogether] * 4
    assert sorted(
        (each.account_id, each.recipient.id, each.device_id, each.up_to)
        for event in log.events
        if isinstance(event, ReceivedTogether)
        for each in event.each()
    ) == sorted((x.account_id, x.id, PHONE, number + 10) for number, x in enumerate(agents))
    log.positions()
    pending.received(ANN, PHONE, Position(5_000))
    pending.read(ANN, CASE, Position(5_000))
    await pending.flush()
    assert {type(event) for event in log.events} == {Received, Read}
