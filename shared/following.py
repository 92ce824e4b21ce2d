"""Follows a shard's log from a checkpoint for ever. A range that is purged from the stream is read from
`truth.events`, so that a purge never excuses a gap.

Never: a hole passed over. What can't be read in full stops the service with one clear line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import structlog

from shared.bus import (
    Batch,
    Bus,
    Delivery,
    LogHole,
    LogReplaced,
    RangePurged,
    Reader,
    ReaderSettings,
    Start,
)
from shared.crashpoints import crashpoint
from shared.database import connect, lost_as_unavailable
from shared.errors import Refused
from shared.ids import Position
from shared.planted import planted

log = structlog.get_logger(__name__)

_ROWS = 2_000
_TIMEOUT_S = 30.0
_MIDST = "timer_before_log_end"
_MIDST_ENTRIES = 5
_MIDST_S = 0.02
"""With this planted bug the log is read in small pieces, so that there is a midst of it to judge in."""


async def _dawdle() -> None:
    """Only for the planted bug `timer_before_log_end`."""
    if planted(_MIDST):
        await asyncio.sleep(_MIDST_S)


class Following:
    """One reader of a shard's log, whole or some subjects of it."""

    def __init__(
        self,
        bus: Bus,
        shard: str,
        start: Start,
        *,
        database_url: str,
        subjects: Sequence[str] = (),
    ) -> None:
        self._bus = bus
        self._shard = shard
        self._start = start
        self._url = database_url
        self._subjects = list(subjects)
        self._reader = self._open(start)

    @property
    def lag(self) -> int:
        """Entries that are not handed over yet, as far as the server has said."""
        return self._reader.lag

    @property
    def behind_s(self) -> float:
        """How long ago the last of those that were handed over was written, while there are more; about."""
        return self._reader.behind_s

    async def batches(self) -> AsyncIterator[Batch]:
        """As of `Reader.batches`. Raises `Refused` when going on would skip entries, `Unavailable` when a purged
        range can't be read now."""
        while True:
            try:
                async for batch in self._reader.batches():
                    yield batch
                    await _dawdle()
                return
            except RangePurged as err:
                purged = err
            except (LogHole, LogReplaced) as err:
                raise Refused(err.message, code=err.code) from err
            log.info("reading_purged_range", after=purged.position, before=purged.first)
            async for batch in self._purged(purged.position, purged.first):
                yield batch
            self._reader = self._open(Start(position=purged.first - 1))

    def _open(self, start: Start) -> Reader:
        settings = ReaderSettings(batch_entries=_MIDST_ENTRIES) if planted(_MIDST) else None
        return Reader(self._bus, self._shard, start, settings, subjects=self._subjects)

    async def _purged(self, after: Position, before: Position) -> AsyncIterator[Batch]:
        """What lies between in `truth.events`; every position must be there unless only some subjects are wanted."""
        crashpoint("following.connect")
        connection = await connect(self._url, name="purged range", statement_timeout_s=_TIMEOUT_S)
        try:
            while after < before - 1:
                with lost_as_unavailable("reading a purged range"):
                    crashpoint("following.read")
                    cursor = await connection.execute(
                        "SELECT position, subject, at_ns, payload FROM truth.events"
                        " WHERE shard = %s AND position > %s AND position < %s"
                        " AND (%s::text[] = '{}' OR subject = ANY(%s))"
                        " ORDER BY position LIMIT %s",
                        [self._shard, after, before, self._subjects, self._subjects, _ROWS],
                    )
                    rows = await cursor.fetchall()
                deliveries = [
                    Delivery(position=p, subject=s, at_ns=at_ns, payload=bytes(payload))
                    for p, s, at_ns, payload in rows
                ]
                self._check(deliveries, after, before)
                if not deliveries:
                    return
                yield Batch(deliveries=deliveries, at_end=False, now_ns=deliveries[-1].at_ns)
                after = deliveries[-1].position
        finally:
            await connection.close()

    def _check(self, deliveries: list[Delivery], after: Position, before: Position) -> None:
        if self._subjects:
            return
        wanted = min(_ROWS, before - 1 - after)
        if len(deliveries) != wanted or deliveries[-1].position != after + wanted:
            raise Refused(
                f"positions {after + 1} to {before - 1} are purged from the log and not all stored",
                code="log_hole",
            )
