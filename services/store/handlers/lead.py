"""One term of leading: the log, folded batch by batch. While a batch commits, the next one is prepared."""

from __future__ import annotations

import asyncio
import contextlib
import time

import msgspec

from services.store import metrics
from services.store.fold import State, forget
from services.store.handlers.batch import Folding, Prepared, Terms, Writer
from services.store.handlers.hints import Hints
from services.store.handlers.place import Place
from services.store.handlers.poison import Poison
from services.store.handlers.progress import Progress
from shared.bus import Batch, Delivery, Reader
from shared.crashpoints import crashpoint
from shared.database import Connection
from shared.ids import Position
from shared.planted import planted

_BEAT_S = 0.8
_FOLDED_FOR_S = 0.5
_REMEMBERED_IDS = 0 if planted("ids_forgotten") else 50_000
"""MessageIDs held after their commit: what is sent twice is usually sent twice within seconds."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """The connections of a term: one that writes, one that reads ahead of it."""

    writer: Writer
    loader: Connection


class Lead:
    """State of the term. Made when the checkpoint is ours, thrown away when it is not or something failed."""

    def __init__(
        self, place: Place, session: Session, *, progress: Progress, hints: Hints, poison: Poison
    ) -> None:
        self._place = place
        self._writer = session.writer
        self._loader = session.loader
        self._progress = progress
        self._hints = hints
        self._poison = poison
        self._state = State()
        self._committed: Position = progress.position
        self._folding: Folding | None = None
        self._is_changing = False
        self._lag = 0
        self._begun_at = 0.0
        self._under_way: asyncio.Task[None] | None = None
        self._done: list[Prepared] = []
        self._beaten_at = time.monotonic()

    async def run(self, reader: Reader, stopping: asyncio.Event) -> None:
        """Until `stopping`; what is under way is finished first, or its failure raised."""
        try:
            async with contextlib.aclosing(reader.batches()) as batches:
                async for batch in batches:
                    if stopping.is_set():
                        break
                    self._lag = reader.lag
                    await self._take(batch)
                    self._tell_lag(reader)
            await self._commit_folded()
            await self._settle()
        finally:
            if self._under_way is not None:
                self._under_way.cancel()
                await asyncio.gather(self._under_way, return_exceptions=True)

    @property
    def _folded(self) -> int:
        return 0 if self._folding is None else self._folding.count

    async def _take(self, batch: Batch) -> None:
        if self._under_way is not None and self._under_way.done():
            await self._settle()
        if batch.deliveries:
            for deliveries in self._poison.cut(batch.deliveries):
                await self._fold(deliveries)
                await self._go_on()
            return
        await self._commit_folded()
        await self._settle()
        await self._beat()

    def _tell_lag(self, reader: Reader) -> None:
        behind_s = reader.behind_s
        metrics.LAG_POSITIONS.set(reader.lag + self._folded)
        metrics.LAG_SECONDS.set(behind_s)
        self._place.share.mind(behind_s)

    async def _go_on(self) -> None:
        """What is small joins the batch behind the commit under way, and goes with it as soon as that is done."""
        folding = self._folding
        if folding is None or not self._is_due():
            return
        if folding.is_small and not self._poison.is_careful:
            self._commit_small()
        else:
            await self._commit_folded()

    def _is_due(self) -> bool:
        """Whether what is folded is to be committed now. What is far behind waits until it is a full batch: a row that
        many events change is then written once, and nobody waits for one event of so many. Never for long: the lease
        is renewed by commits."""
        is_full = self._folded >= self._place.config.batch_entries
        is_late = time.monotonic() > self._begun_at + _FOLDED_FOR_S
        return is_full or not self._is_behind or is_late

    @property
    def _is_behind(self) -> bool:
        return self._lag > self._place.config.behind_entries and not self._poison.is_careful

    async def _fold(self, deliveries: list[Delivery]) -> None:
        if self._folding is None:
            self._begun_at = time.monotonic()
            if self._state.size > self._place.config.cache_rows:
                await self._settle()
                self._state = State()
            for batch in self._done:
                forget(self._state, batch.changes, ids=_REMEMBERED_IDS)
            self._done.clear()
            terms = Terms(
                shard=self._place.shard,
                poison=self._poison.positions,
                asks_for_ids=self._poison.asks_for_ids(deliveries[0].position),
                # One statement can't but compare; the planted bug has to go the longer way.
                statement_entries=0
                if planted("checkpoint_without_compare")
                else self._place.config.statement_entries,
                is_large=self._is_behind,
            )
            self._folding = Folding(self._loader, self._state, terms)
        self._is_changing = True
        await self._folding.add(deliveries)
        self._is_changing = False

    async def _commit_folded(self) -> None:
        """Encode what is folded, wait for the commit under way, begin the next."""
        folding, self._folding = self._folding, None
        if folding is None:
            return
        prepared = await folding.finish()
        await self._settle()
        self._under_way = asyncio.create_task(self._commit(prepared, self._begun_at))

    def _commit_small(self) -> None:
        """The same at once, unless a commit is under way, which does it when it is done. Nothing is awaited between
        taking what is folded and its rows: they show the state as it is now."""
        folding = self._folding
        if folding is None or not folding.is_small or self._is_changing or self._under_way:
            return
        self._folding = None
        prepared = folding.finish_small()
        self._under_way = asyncio.create_task(self._commit(prepared, self._begun_at))

    async def _commit(self, batch: Prepared, began_at: float) -> None:
        await self._writer.make_room(batch.first_at_ns, batch.last_at_ns)
        crashpoint("store.batch.prepared")
        await self._writer.commit(batch, self._committed)
        self._committed = batch.last
        self._beaten_at = time.monotonic()
        metrics.BATCH_SECONDS.observe(self._beaten_at - began_at)
        _count(batch)
        self._progress.set(batch.last, self._progress.epoch)
        self._done.append(batch)
        crashpoint("store.hints.before")
        is_behind = batch.count > self._place.config.behind_entries
        await self._hints.tell(batch.changes, batch.last, is_behind=is_behind)
        crashpoint("store.hints.told")
        self._poison.watch(batch.changes.quarantined)
        if self._under_way is asyncio.current_task():
            self._under_way = None
            if self._is_due():
                self._commit_small()

    async def _settle(self) -> None:
        """Wait for the commit under way; its failure is raised here."""
        task, self._under_way = self._under_way, None
        if task is not None:
            await task

    async def _beat(self) -> None:
        if time.monotonic() - self._beaten_at < _BEAT_S:
            return
        await self._writer.beat(self._committed)
        self._beaten_at = time.monotonic()


def _count(batch: Prepared) -> None:
    changes = batch.changes
    metrics.COMMITTED.inc()
    metrics.FOLDED.inc(batch.count - len(changes.quarantined) - changes.repeats)
    metrics.REPEATS.inc(changes.repeats)
    metrics.CLASHES.inc(len(changes.clashes))
    metrics.QUARANTINED.inc(len(changes.quarantined))
