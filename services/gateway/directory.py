"""The configuration, live: folds the account family of the log and appends to it, fenced by the broker.

A change is validated against the family folded to its end and appended only if nothing newer lies there; if it
does, the change is validated again. After an unknown outcome our own events are looked for, by their writer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from services.gateway.versions import Versions
from shared.bus import (
    Bus,
    Delivery,
    FenceBusy,
    FencedWriter,
    FenceLost,
    RangePurged,
    Reader,
    ReaderSettings,
    Start,
    last_of,
)
from shared.codec import decode_event, encode_event
from shared.crashpoints import crashpoint
from shared.database import Pool, borrow
from shared.directory import Account, Directory, evolve, signed
from shared.errors import Malformed, OutcomeUnknown, Rejected, Unavailable
from shared.events import AccountEvent, Event, WriterStarted
from shared.ids import AccountId, Position
from shared.subjects import event_subject

log = structlog.get_logger(__name__)

Build = Callable[[Directory, str], Sequence[AccountEvent]]
"""Validates a change against the folded state and returns its events, each with the given `writer`; raises
`Rejected`. May be called more than once for one change."""

_ATTEMPTS = 4
_FOLD_TIMEOUT_S = 5.0


class LiveDirectory:
    """`state` is always the fold of everything read so far, `versions` those of the routing documents. `run` in a task; `ready` before it is used."""

    def __init__(self, bus: Bus, shard: str, pool: Pool, *, writer: str) -> None:
        self.state = Directory()
        self.versions = Versions()
        self._bus = bus
        self._shard = shard
        self._pool = pool
        self._subject = event_subject(shard, "account")
        self._writer = writer
        self._fenced = FencedWriter(bus, shard, self._subject)
        self._changes = 0
        self._turn = asyncio.Lock()
        self._moved = asyncio.Condition()
        self._is_ready = asyncio.Event()
        self._writers: dict[str, list[Position]] = {}
        self._listeners: list[Callable[[AccountEvent, Position], None]] = []

    @property
    def is_ready(self) -> bool:
        """Whether the family was folded to its end once."""
        return self._is_ready.is_set()

    async def ready(self) -> None:
        """Wait until the family was folded to its end once."""
        await self._is_ready.wait()

    def on_event(self, listener: Callable[[AccountEvent, Position], None]) -> None:
        """Have `listener` called after each event was folded."""
        self._listeners.append(listener)

    def account(self, account_id: AccountId) -> Account:
        """The account. Raises `Rejected("not_found")`."""
        found = self.state.accounts.get(account_id)
        if found is None:
            raise Rejected("not_found", "there is no such account")
        return found

    async def run(self) -> None:
        """Fold until cancelled. LogHole, LogReplaced: this is not the log that was folded; the process must stop."""
        while True:
            try:
                await self._follow()
            except RangePurged as err:
                await self._read_stored(err.first)

    async def save(self, build: Build, *, by: str = "") -> list[Position]:
        """Change the configuration, because `by` wants it; returns after the change is durable and folded here.

        Rejected: from `build`, or "conflict" when others kept changing it. Unavailable: not done. OutcomeUnknown.
        """
        async with self._turn:
            for _ in range(_ATTEMPTS):
                await self._fold_to_end()
                self._changes += 1
                writer = f"{self._writer}/{self._changes}"
                events = [signed(event, by) for event in build(self.state, writer)]
                if not events:
                    return []
                positions = await self._append(events, writer)
                if positions is not None:
                    return positions
        raise Rejected("conflict", "the configuration was changed by others at the same time")

    async def _append(self, events: Sequence[AccountEvent], writer: str) -> list[Position] | None:
        """Positions, or None when somebody else was first."""
        payloads = [encode_event(event) for event in events]
        try:
            crashpoint("gateway.account.append")
            positions = await self._fenced.append(payloads, expected=self.state.position)
            crashpoint("gateway.account.appended")
        except (FenceLost, FenceBusy):
            return None
        except OutcomeUnknown:
            await self._fold_to_end()
            found = self._writers.get(writer)
            if not found:
                raise
            return found
        await self._folded_to(positions[-1])
        return positions

    async def _fold_to_end(self) -> None:
        crashpoint("gateway.account.ask")
        last = await last_of(self._bus, self._shard, self._subject)
        await self._folded_to(0 if last is None else last.position)

    async def _folded_to(self, position: Position) -> None:
        try:
            async with asyncio.timeout(_FOLD_TIMEOUT_S), self._moved:
                await self._moved.wait_for(lambda: self.state.position >= position)
        except TimeoutError as err:
            raise Unavailable("the configuration could not be read to its end") from err

    async def _follow(self) -> None:
        start = Start(position=self.state.position)
        settings = ReaderSettings(idle_s=0.25)
        reader = Reader(self._bus, self._shard, start, settings, subjects=[self._subject])
        async for batch in reader.batches():
            for delivery in batch.deliveries:
                self._fold(delivery)
            if batch.deliveries:
                async with self._moved:
                    self._moved.notify_all()
            if batch.at_end and not self._is_ready.is_set():
                log.info("directory_ready", accounts=len(self.state.accounts))
                self._is_ready.set()

    async def _read_stored(self, before: Position) -> None:
        """The part of the family that was purged from the stream, from the store's long memory."""
        async with borrow(self._pool) as connection:
            crashpoint("gateway.account.read")
            rows = await connection.execute(
                "SELECT position, subject, at_ns, payload FROM truth.events"
                " WHERE shard = %s AND family = 'account' AND position > %s AND position < %s"
                " ORDER BY position",
                [self._shard, self.state.position, before],
            )
            async for position, subject, at_ns, payload in rows:
                self._fold(
                    Delivery(
                        position=position, subject=subject, at_ns=at_ns, payload=bytes(payload)
                    )
                )
        # Nothing of the family is left before the stream's first entry, so the fold stands just before it.
        self.state.position = max(self.state.position, before - 1)

    def _fold(self, delivery: Delivery) -> None:
        event = _decoded(delivery)
        if not isinstance(event, AccountEvent):
            if not isinstance(event, WriterStarted):
                log.error("account_event_unreadable", position=delivery.position)
            self.state.position = delivery.position
            return
        evolve(self.state, event, delivery.position)
        if self.state.accounts[event.account_id].routing == delivery.position:
            self.versions.note(
                event, delivery.position, at_ns=delivery.at_ns, payload=delivery.payload
            )
        self._remember(event, delivery.position)
        for listener in self._listeners:
            listener(event, delivery.position)

    def _remember(self, event: AccountEvent, position: Position) -> None:
        """Which of our own changes arrived; needed only for the last one, whose outcome may be unknown."""
        if event.writer.startswith(f"{self._writer}/"):
            known = self._writers.get(event.writer, [])
            self._writers = {event.writer: [*known, position]}


def _decoded(delivery: Delivery) -> Event | None:
    """The event; None for one that this release can't read."""
    try:
        return decode_event(delivery.payload)
    except Malformed:
        return None
