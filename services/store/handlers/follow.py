"""Leads or stands by. The leader folds the log batch by batch; a standby watches the checkpoint and takes it over
when its holder was silent for a lease.

Never: two that write (compare-and-set, first statement of every transaction); an event skipped (a hole, another
log or a purged range end the process); a commit whose outcome is unknown taken for a no (the checkpoint tells).
"""

from __future__ import annotations

import asyncio
import contextlib

from services.store import metrics
from services.store.handlers.batch import Fenced, Poisoned, Repeated, Writer
from services.store.handlers.hints import Hints
from services.store.handlers.lead import Lead, Session
from services.store.handlers.place import Place
from services.store.handlers.poison import Poison
from services.store.handlers.progress import Progress
from shared import log
from shared.bus import (
    CursorSettings,
    LogHole,
    LogReplaced,
    RangePurged,
    Reader,
    ReaderSettings,
    Start,
)
from shared.clock import new_id
from shared.crashpoints import crashpoint
from shared.database import (
    Checkpoint,
    Connection,
    connect,
    give_up_lead,
    lost_as_unavailable,
    read_checkpoint,
    take_lead,
)
from shared.errors import Refused, Unavailable

_READ_ENTRIES = 1000
_PULL_ENTRIES = 4000
"""In one pull request; two are kept in flight, so that the log's server is never waited for."""
_RETRY_FIRST_S = 0.05
_RETRY_MOST_S = 2.0
_WATCH_S = 0.25
_WATCH_CLOSELY_S = 0.02


class Follower:
    """One process's part in following the log of a shard."""

    def __init__(self, place: Place, *, progress: Progress, hints: Hints) -> None:
        self._place = place
        self._shard = place.shard
        self._url = place.database_url
        self._progress = progress
        self._hints = hints
        self._leader = new_id()
        config = place.config
        self._poison = Poison(batch_entries=config.batch_entries, limit=config.poison_limit)

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`. Raises `Refused` when going on would skip or falsify events."""
        wait_s = _RETRY_FIRST_S
        while not stopping.is_set():
            try:
                await self._turn(stopping)
                wait_s = _RETRY_FIRST_S
            except Fenced:
                metrics.FENCED.inc()
                log.get().warning("lead_lost", shard=self._shard)
            except Repeated as found:
                metrics.RETRIED.inc()
                self._poison.look_for_ids(found.last)
            except Poisoned as fault:
                metrics.HALVED.inc()
                self._poison.halve(fault)
            except Unavailable as err:
                metrics.RETRIED.inc()
                log.get().warning("store_waits", reason=err.message)
                await _pause(stopping, wait_s)
                wait_s = min(wait_s * 2, _RETRY_MOST_S)
            except (LogHole, LogReplaced, RangePurged) as err:
                raise Refused(f"the log can't be followed: {err.message}", code=err.code) from err
            finally:
                self._progress.is_leading = False
                metrics.LEADING.set(0)

    async def _turn(self, stopping: asyncio.Event) -> None:
        crashpoint("store.turn")
        connection = await connect(
            self._url, name="store writer", statement_timeout_s=self._place.config.commit_timeout_s
        )
        try:
            checkpoint = await self._stand_by(connection, stopping)
            if checkpoint is not None:
                await self._lead(connection, checkpoint, stopping)
        finally:
            await connection.close()

    async def _stand_by(self, connection: Connection, stopping: asyncio.Event) -> Checkpoint | None:
        """Watch the checkpoint until it is ours; None when stopping."""
        is_told = False
        while not stopping.is_set():
            with lost_as_unavailable("reading the checkpoint"):
                crashpoint("store.standby.look")
                found = await read_checkpoint(connection, self._shard)
                self._progress.set(found.position, found.epoch)
                taken = None
                if not found.is_fresh or found.leader == self._leader:
                    crashpoint("store.lead.take")
                    taken = await take_lead(connection, self._shard, self._leader)
            if taken is not None:
                return taken
            if not is_told:
                log.get().info("standing_by", shard=self._shard, position=found.position)
                is_told = True
            await _pause(stopping, _WATCH_CLOSELY_S if self._progress.waiting else _WATCH_S)
        return None

    async def _lead(
        self, connection: Connection, checkpoint: Checkpoint, stopping: asyncio.Event
    ) -> None:
        crashpoint("store.lead.taken")
        loader = await connect(self._url, name="store loader")
        try:
            log.get().info("leading", shard=self._shard, position=checkpoint.position)
            metrics.LEADING.set(1)
            self._progress.set(checkpoint.position, checkpoint.epoch)
            self._progress.is_leading = True
            self._hints.begin(checkpoint.position, checkpoint.epoch)
            writer = Writer(connection, self._shard, self._leader)
            term = Lead(
                self._place,
                Session(writer=writer, loader=loader),
                progress=self._progress,
                hints=self._hints,
                poison=self._poison,
            )
            await term.run(self._reader(checkpoint), stopping)
            with lost_as_unavailable("giving up the lead"):
                crashpoint("store.lead.give_up")
                await give_up_lead(connection, self._shard, self._leader)
        finally:
            await loader.close()

    def _reader(self, checkpoint: Checkpoint) -> Reader:
        start = Start(position=checkpoint.position, digest=checkpoint.digest)
        settings = ReaderSettings(
            batch_entries=min(_READ_ENTRIES, self._place.config.batch_entries),
            cursor=CursorSettings(pull_entries=_PULL_ENTRIES),
        )
        return Reader(self._place.bus, self._shard, start, settings)


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    """Wait, but not when the process is asked to stop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
