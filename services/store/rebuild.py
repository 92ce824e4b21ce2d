"""Folds every projection again from `events`, beside the live ones, with the store's own fold; then compares the two
or puts the new ones in place.

The live store goes on meanwhile. The bulk is folded first; the rest, up to where the live ones are, inside one
transaction in which nothing moves: a snapshot for comparing, a lock for putting in place.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

import msgspec
import psycopg

from services.store.fold import State
from services.store.handlers.batch import Poisoned, Terms, prepare
from services.store.tables import beside
from services.store.tables.beside import BESIDE, Difference
from services.store.tables.write import write_counts, write_edits, write_pieces
from shared.bus import Bus, Delivery, Reader, Start, digest, stream_state
from shared.clock import new_id
from shared.database import Connection, connect, lost_as_unavailable
from shared.ids import Position

_BATCH = 2000
_CACHE_ROWS = 300_000
_ROUNDS = 5

Told = Callable[[str, int, int], None]
"""Progress: what is being done, how far it is, and of how much."""


class Result(msgspec.Struct, kw_only=True):
    """What was compared. `counts`: differing rows by table; `differences`: the first of them."""

    events: int = 0
    positions: dict[str, Position] = {}
    counts: dict[str, int] = {}
    differences: list[Difference] = []
    epoch: str | None = None

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def add(self, found: Difference) -> None:
        """One more difference."""
        self.counts[found.table] = self.counts.get(found.table, 0) + 1
        if self.counts[found.table] <= 1000:
            self.differences.append(found)


class Rebuild:
    """One run. `connection` belongs to it alone."""

    def __init__(self, connection: Connection, told: Told) -> None:
        self._connection = connection
        self.told = told
        self._states: dict[str, State] = {}
        self._reached: dict[str, Position] = {}
        self._poison: set[Position] = set()
        self.result = Result()

    async def fold_bulk(self) -> None:
        """Make the schema beside and fold until little is left."""
        await beside.make_beside(self._connection)
        for _ in range(_ROUNDS):
            if await self.fold_rest() < _BATCH:
                return

    async def fold_rest(self) -> int:
        """Fold up to where the live projections are now; how many events that were."""
        done = 0
        for shard, (position, known) in (await beside.shards(self._connection)).items():
            done += await self._fold_shard(shard, position)
            self.result.positions[shard] = position
            await self._check_last(shard, position, known)
        return done

    async def _fold_shard(self, shard: str, up_to: Position) -> int:
        done = 0
        while True:
            after = self._reached.get(shard, 0)
            page = await beside.read_events(
                self._connection, shard, after=after, up_to=up_to, limit=_BATCH
            )
            if not page:
                if after < up_to:
                    self._missing(shard, after + 1, up_to)
                    self._reached[shard] = up_to
                return done
            self._check_page(shard, after, page)
            await self._fold_halved(shard, [delivery for delivery, _ in page])
            done += len(page)
            self.result.events += len(page)
            self._reached[shard] = page[-1][0].position
            self.told(f"folding shard {shard}", self._reached[shard], up_to)

    def _check_page(self, shard: str, after: Position, page: list[tuple[Delivery, bytes]]) -> None:
        expected = after + 1
        for delivery, known in page:
            if delivery.position != expected and after:
                self._missing(shard, expected, delivery.position - 1)
            if digest(delivery) != known:
                self.result.add(
                    Difference(
                        table="events",
                        key=f"{shard} {delivery.position}",
                        where="differs",
                        columns=("digest",),
                    )
                )
            after = delivery.position
            expected = after + 1

    def _missing(self, shard: str, first: Position, last: Position) -> None:
        self.result.add(
            Difference(table="events", key=f"{shard} {first}..{last}", where="only in the log")
        )

    async def _check_last(self, shard: str, position: Position, known: bytes | None) -> None:
        page = await beside.read_events(
            self._connection, shard, after=position - 1, up_to=position, limit=1
        )
        if page and known is not None and page[0][1] != known:
            self.result.add(Difference(table="checkpoint", key=shard, where="differs"))

    async def _fold_halved(self, shard: str, deliveries: list[Delivery]) -> None:
        """Fold a page; what no row can hold is found by halving, as the live store finds it."""
        state = self._states.setdefault(shard, State())
        if state.size > _CACHE_ROWS:
            state = self._states[shard] = State()
        try:
            async with self._connection.transaction():
                terms = Terms(shard=shard, poison=self._poison, is_log_written=False)
                batch = await prepare(self._connection, state, deliveries, terms)
                try:
                    await write_pieces(self._connection, batch.pieces)
                    await write_edits(self._connection, batch.edited)
                    await write_counts(self._connection, batch.changes.counts)
                except (psycopg.DataError, psycopg.IntegrityError) as err:
                    raise Poisoned(batch.last, batch.count) from err
        except Poisoned as fault:
            self._states.pop(shard, None)
            if fault.count == 1:
                self._poison.add(fault.last)
                await self._fold_halved(shard, deliveries)
                return
            middle = len(deliveries) // 2
            await self._fold_halved(shard, deliveries[:middle])
            await self._fold_halved(shard, deliveries[middle:])

    async def compare_now(self) -> None:
        """Fold the rest and compare every table with its live one, both as of one snapshot."""
        await self._connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        async with self._connection.transaction():
            # Its first statement takes the snapshot: the live tables as of one checkpoint.
            await self.fold_rest()
            await self._compare()
        await self._connection.set_isolation_level(None)

    async def _compare(self) -> None:
        found = await beside.tables(self._connection)
        for number, table in enumerate(found):
            self.told(f"comparing {table.name}", number, len(found))
            count, differences = await beside.compare(self._connection, table)
            if count:
                self.result.counts[table.name] = self.result.counts.get(table.name, 0) + count
                self.result.differences.extend(differences)
        self.told("comparing", len(found), len(found))


@contextlib.asynccontextmanager
async def opened(database_url: str) -> AsyncIterator[Connection]:
    """A connection that folds into the schema beside. It may sit in a transaction while Python folds."""
    connection = await connect(
        database_url, name="rebuild", schema=BESIDE, statement_timeout_s=3600
    )
    try:
        with lost_as_unavailable("rebuilding"):
            await connection.execute("SET idle_in_transaction_session_timeout = '60s'")
            # Nothing here needs to outlive a crash: whoever is interrupted begins again.
            await connection.execute("SET synchronous_commit = off")
            yield connection
    finally:
        await connection.close()


async def verify(database_url: str, bus: Bus, told: Told) -> Result:
    """Fold beside, compare with the live projections at one position, and `events` with the streams."""
    async with opened(database_url) as connection:
        run = Rebuild(connection, told)
        await run.fold_bulk()
        await run.compare_now()
        for shard, position in run.result.positions.items():
            await compare_stream(connection, bus, shard, up_to=position, run=run)
        await beside.drop_beside(connection)
        return run.result


async def rebuild(database_url: str, told: Told) -> Result:
    """Fold beside and put in place. The epoch changes if anything differs, so that no cursor means something else."""
    async with opened(database_url) as connection:
        run = Rebuild(connection, told)
        await run.fold_bulk()
        await run.compare_now()
        run.result.epoch = new_id() if run.result.total else None
        await beside.analyze(connection)
        async with connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit = on")
            await connection.execute("SET LOCAL lock_timeout = '10s'")
            await beside.hold_live(connection)
            # What was equal a moment ago stays equal: both go on by the same fold.
            await run.fold_rest()
            await beside.put_in_place(connection, epoch=run.result.epoch)
        await beside.drop_old(connection)
        return run.result


async def compare_stream(
    connection: Connection, bus: Bus, shard: str, *, up_to: Position, run: Rebuild
) -> None:
    """Each event that is still in the stream with the one that was stored from it."""
    state = await stream_state(bus, shard)
    if state.last < up_to:
        run.result.add(
            Difference(table="events", key=f"{shard} {state.last + 1}..{up_to}", where="only live")
        )
    first = max(state.first, 1)
    last = min(state.last, up_to)
    if first > last:
        return
    stored: dict[Position, bytes] = {}
    reader = Reader(bus, shard, Start(position=first - 1))
    async with contextlib.aclosing(reader.batches()) as batches:
        async for batch in batches:
            for delivery in batch.deliveries:
                if delivery.position > last:
                    return
                if delivery.position not in stored:
                    after = delivery.position - 1
                    stored = await beside.read_digests(connection, shard, after=after)
                _compare_event(shard, delivery, stored, run.result)
            run.told(f"comparing events of shard {shard}", min(reader.position, last), last)
            if reader.position >= last:
                return


def _compare_event(
    shard: str, delivery: Delivery, stored: dict[Position, bytes], result: Result
) -> None:
    known = stored.get(delivery.position)
    if known == digest(delivery):
        return
    key = f"{shard} {delivery.position}"
    if known is None:
        result.add(Difference(table="events", key=key, where="only in the log"))
    else:
        result.add(Difference(table="events", key=key, where="differs", columns=("digest",)))
