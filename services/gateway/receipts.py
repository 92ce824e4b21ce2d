"""Receipts on their way to the log: the highest position per device or conversation, collected for a moment.

A receipt may be lost with the process before it was flushed; the device says it again after its next resume. Nothing
depends on its being prompt but lease and display."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from services.gateway import metrics
from services.gateway.admission import Admission
from services.gateway.tokens import Principal
from shared.errors import Malformed, NightdeskError
from shared.events import Event, Read, Receipt, Received, ReceivedTogether
from shared.ids import AccountId, ConversationId, DeviceId, Position

_MOST_PENDING = 200_000
_MOST_AT_ONCE = 2_000
_MOST_TOGETHER = 250
"""Devices in one event: what reads it does so in one go."""
_Key = tuple[str, ...]
"""Whose it is, and the device, or "read" and the conversation: a client makes up its device's id."""


class Receipts:
    """`run` in a task; `flush` once more before the gateway stops."""

    def __init__(self, admission: Admission, *, flush_s: float) -> None:
        self._admission = admission
        self._flush_s = flush_s
        self._pending: dict[_Key, Received | Read] = {}
        self._arrived = asyncio.Event()

    def received(self, principal: Principal, device_id: DeviceId, up_to: Position) -> None:
        """A device holds everything up to `up_to`."""
        event = Received(
            account_id=principal.account_id,
            recipient=principal.author,
            device_id=device_id,
            up_to=up_to,
        )
        self._add((principal.id, device_id), event)

    def read(self, principal: Principal, conversation_id: ConversationId, up_to: Position) -> None:
        """The person has seen the conversation up to `up_to`."""
        event = Read(
            account_id=principal.account_id,
            conversation_id=conversation_id,
            recipient=principal.author,
            up_to=up_to,
        )
        self._add((principal.id, "read", conversation_id), event)

    def _add(self, key: _Key, event: Received | Read) -> None:
        before = self._pending.get(key)
        if before is not None:
            if before.up_to >= event.up_to:
                return
        elif len(self._pending) >= _MOST_PENDING:
            metrics.RECEIPTS.labels("dropped").inc()
            return
        self._pending[key] = event
        self._arrived.set()

    async def run(self) -> None:
        """Flush a little after the first receipt came, until cancelled."""
        while True:
            await self._arrived.wait()
            await asyncio.sleep(self._flush_s)
            self._arrived.clear()
            await self.flush()

    async def flush(self) -> None:
        """Append what is pending. What the log refuses, or does not answer for, is kept for the next time."""
        while self._pending:
            keys = list(self._pending)[:_MOST_AT_ONCE]
            taken = {key: self._pending.pop(key) for key in keys}
            groups = {_name(group): group for group in _grouped(taken)}
            events = {name: _event([taken[key] for key in group]) for name, group in groups.items()}
            outcomes = await self._admission.append_each("receipt", events)
            failed = [key for name in groups if _is_open(outcomes[name]) for key in groups[name]]
            metrics.RECEIPTS.labels("ok").inc(len(taken) - len(failed))
            for key in failed:
                self._add(key, taken[key])
            if failed:
                metrics.RECEIPTS.labels("again").inc(len(failed))
                return


def _grouped(taken: Mapping[_Key, Received | Read]) -> Iterator[list[_Key]]:
    """What goes as one event: the devices of an account together, whatever somebody read alone."""
    open_groups: dict[AccountId, list[_Key]] = {}
    for key, event in taken.items():
        if isinstance(event, Read):
            yield [key]
            continue
        group = open_groups.setdefault(event.account_id, [])
        group.append(key)
        if len(group) == _MOST_TOGETHER:
            yield open_groups.pop(event.account_id)
    yield from open_groups.values()


def _name(group: Sequence[_Key]) -> str:
    return " ".join(group[0])


def _event(said: Sequence[Received | Read]) -> Event:
    first = said[0]
    if len(said) == 1:
        return first
    receipts = [
        Receipt(recipient=each.recipient, device_id=each.device_id, up_to=each.up_to)
        for each in said
        if isinstance(each, Received)
    ]
    return ReceivedTogether(account_id=first.account_id, receipts=tuple(receipts))


def _is_open(outcome: Position | NightdeskError) -> bool:
    """Whether it must be tried again; a repeat is harmless, the highest position counts."""
    return isinstance(outcome, NightdeskError) and not isinstance(outcome, Malformed)
