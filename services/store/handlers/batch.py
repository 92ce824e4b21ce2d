"""Deliveries → records → rows needed → fold → rows to write, and the transaction that writes them.

The next batch is prepared while the one before commits, so the state runs ahead of the tables by one batch; whoever
calls this throws the state away when a commit did not happen.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import struct
from collections.abc import Collection, Iterator

import msgspec
import psycopg

from services.store.fold import Broken, Changes, Record, State, fold, needed, read_record, stretches
from services.store.fold.needs import Needs
from services.store.tables.layout import Layout, read_layout
from services.store.tables.load import load
from services.store.tables.statement import Records, write_at_once
from services.store.tables.write import (
    Draft,
    Growing,
    Piece,
    added_drafts,
    changed_drafts,
    log_drafts,
    make_partitions,
    tally_draft,
    write_counts,
    write_edits,
    write_pieces,
)
from shared.bus import Delivery, digest
from shared.crashpoints import crashpoint
from shared.database import Connection, Move, lost_as_unavailable, move_checkpoint
from shared.ids import Position
from shared.planted import planted
from shared.queries import MessageRow

REFUSED = "refused_by_database"
_NO_ROW = (ValueError, struct.error, OverflowError, UnicodeError)
_ROUNDS = 20
_ENCODED_EVENTS = 256
"""Of a large batch: what they are made of is still in the processor's cache then."""
_BREATH = 32
"""Events folded before the loop may send more of the batch that commits meanwhile; PostgreSQL would idle else."""


class Poisoned(Exception):
    """No row can hold something in this batch: do it again in halves."""

    def __init__(self, last: Position, count: int) -> None:
        super().__init__(f"{count} events up to {last}")
        self.last = last
        self.count = count


class Repeated(Exception):
    """A batch that was folded without asking which MessageIDs are known already holds one: do it again, asking."""

    def __init__(self, last: Position) -> None:
        super().__init__(f"a MessageID up to {last} was stored before")
        self.last = last


class Fenced(Exception):
    """The checkpoint was not where this process left it: somebody else leads."""


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A batch folded and encoded, ready to be written: `records` by one statement, or else `pieces` by COPY."""

    first: Position
    last: Position
    count: int
    first_at_ns: int
    last_at_ns: int
    digest: bytes
    pieces: list[Piece]
    records: list[Records]
    edited: list[MessageRow]
    changes: Changes
    knows_ids: bool = True


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How to fold: for which shard, which positions the database is known to refuse, and whether the rows of the
    log itself are written too (they are not when projections are folded again from `events`).

    `asks_for_ids`: read which MessageIDs are known. Usually not done: repeats are rare, the key of `message_ids` finds
    those that are not remembered, and then the batch is done again.
    `statement_entries`: so many events at most are written by one statement instead of COPY.
    `is_large`: many events are known to come, so rows are made as they come.
    """

    shard: str
    poison: Collection[Position] = ()
    is_log_written: bool = True
    asks_for_ids: bool = True
    statement_entries: int = 0
    is_large: bool = False


class Folding:
    """A batch that is being folded, stretch by stretch as the log comes in, while the one before it commits."""

    def __init__(self, loader: Connection, state: State, terms: Terms) -> None:
        self._loader = loader
        self._state = state
        self._terms = terms
        self._entries: list[tuple[Delivery, Record]] = []
        """Those of which no rows were made."""
        self._first: Delivery | None = None
        self._last: Delivery | None = None
        self._folded = 0
        """How many of these are folded."""
        self._growing = Growing()
        self._changes = Changes()
        self.count = 0
        """Events folded so far."""

    async def add(self, deliveries: list[Delivery]) -> None:
        """Fold these too. Raises `Poisoned`, `Unavailable`; then the state is of no use any more."""
        self._first = self._first or deliveries[0]
        self._last = deliveries[-1]
        self.count += len(deliveries)
        records = [_record(delivery, self._terms.poison) for delivery in deliveries]
        self._entries += zip(deliveries, records, strict=True)
        with self._poisoned():
            for stretch in stretches(records):
                await self._load(stretch)
                await self._fold(stretch)

    async def _fold(self, stretch: list[Record]) -> None:
        for begin in range(0, len(stretch), _BREATH):
            part = stretch[begin : begin + _BREATH]
            for record in part:
                fold(self._state, self._changes, record)
            self._folded += len(part)
            if self._terms.is_large and self._folded >= _ENCODED_EVENTS:
                self._encode_added()
            await asyncio.sleep(0)

    def _encode_added(self) -> None:
        """Make the rows that replace none of what was folded since the last time."""
        entries = self._entries[: self._folded]
        self._growing.add(self._added(entries))
        self._changes.begin_again()
        del self._entries[: self._folded]
        self._folded = 0

    def _added(self, entries: list[tuple[Delivery, Record]]) -> list[Draft]:
        drafts = added_drafts(self._changes)
        if self._terms.is_log_written:
            drafts += log_drafts(self._terms.shard, entries, self._changes)
        return drafts

    @property
    def is_small(self) -> bool:
        """Whether one statement can write it."""
        is_few = self.count <= self._terms.statement_entries
        return is_few and not self._terms.is_large and not self._changes.edited

    async def finish(self) -> Prepared:
        """The rows of all that was folded. Raises `Poisoned`."""
        if self.is_small:
            return self.finish_small()
        self._changes.count()
        with self._poisoned():
            if self._terms.is_large:
                self._encode_added()
                added = self._growing.pieces()
            else:
                added = await _pieces(self._added(self._entries))
            changed = await _pieces(changed_drafts(self._changes))
        return self._prepared([*added, *changed], [])

    def finish_small(self) -> Prepared:
        """The same for one statement."""
        self._changes.count()
        with self._poisoned():
            added, changed = self._added(self._entries), changed_drafts(self._changes)
            drafts = [*added, *changed, tally_draft(self._changes)]
            records = [draft.records() for draft in drafts if draft.rows]
        return self._prepared([], records)

    def _prepared(self, pieces: list[Piece], records: list[Records]) -> Prepared:
        first, last = self._first, self._last
        assert first is not None
        assert last is not None
        return Prepared(
            first=first.position,
            last=last.position,
            count=self.count,
            first_at_ns=first.at_ns,
            last_at_ns=last.at_ns,
            digest=digest(last),
            pieces=pieces,
            records=records,
            edited=list(self._changes.edited.values()),
            changes=self._changes,
            knows_ids=self._terms.asks_for_ids,
        )

    async def _load(self, stretch: list[Record]) -> None:
        asked = Needs()
        for _ in range(_ROUNDS):
            wanted = needed(self._state, stretch)
            if not self._terms.asks_for_ids:
                wanted.message_ids.clear()
            if not wanted.take_new(asked):
                return
            with lost_as_unavailable("reading what a batch touches"):
                crashpoint("store.batch.load")
                await load(self._loader, self._state, wanted)
            if not wanted.leads_on:
                return
        raise RuntimeError("the rows that a batch touches lead on and on")

    @contextlib.contextmanager
    def _poisoned(self) -> Iterator[None]:
        try:
            yield
        except (*_NO_ROW, psycopg.DataError) as err:
            assert self._last is not None
            raise Poisoned(self._last.position, self.count) from err


async def prepare(
    loader: Connection, state: State, deliveries: list[Delivery], terms: Terms
) -> Prepared:
    """Fold a batch that is there in whole. Raises `Poisoned`, `Unavailable`."""
    folding = Folding(loader, state, terms)
    await folding.add(deliveries)
    return await folding.finish()


async def _pieces(drafts: list[Draft]) -> list[Piece]:
    pieces = []
    for draft in drafts:
        if not draft.rows:
            continue
        chunks = []
        for chunk in draft.chunks():
            chunks.append(chunk)
            await asyncio.sleep(0)
        pieces.append(draft.piece(chunks))
    return pieces


def _record(delivery: Delivery, poison: Collection[Position]) -> Record:
    record = read_record(delivery.position, delivery.at_ns, delivery.subject, delivery.payload)
    if record.position not in poison:
        return record
    return Record(record.position, record.at_ns, record.family, Broken(REFUSED))


class Writer:
    """Writes prepared batches over one connection, as the leader it is named."""

    def __init__(self, connection: Connection, shard: str, leader: str) -> None:
        self._connection = connection
        self._shard = shard
        self._leader = leader
        self._layout: Layout | None = None
        self._months: set[tuple[int, int]] = set()

    async def commit(self, batch: Prepared, expected: Position) -> None:
        """Everything of the batch and the checkpoint, or nothing. Raises `Fenced`, `Repeated`, `Poisoned`, `Unavailable`
        (then it may have been committed: read the checkpoint again)."""
        try:
            with lost_as_unavailable("writing a batch"):
                if planted("checkpoint_outside_transaction"):
                    await self._move_ahead(batch, expected)
                    expected = batch.last
                crashpoint("store.batch.begin")
                if batch.records:
                    await self._state(batch, expected)
                else:
                    await self._copy(batch, expected)
                crashpoint("store.batch.committed")
        except (psycopg.DataError, psycopg.IntegrityError) as err:
            # A MessageID is in several keys, and any of them may be the first to refuse it.
            if not batch.knows_ids and isinstance(err, psycopg.errors.UniqueViolation):
                raise Repeated(batch.last) from err
            raise Poisoned(batch.last, batch.count) from err

    async def _state(self, batch: Prepared, expected: Position) -> None:
        """By one statement."""
        if self._layout is None:
            crashpoint("store.batch.layout")
            self._layout = await read_layout(self._connection)
        move = self._step(batch, expected)
        crashpoint("store.batch.statement")
        try:
            has_moved = await write_at_once(self._connection, move, batch.records, self._layout)
        except psycopg.errors.CannotCoerce as err:
            # Rebuilt projections were put in place: the rows were meant for the tables before them.
            raise Fenced from err
        if not has_moved:
            raise Fenced

    async def _copy(self, batch: Prepared, expected: Position) -> None:
        async with self._connection.transaction():
            # First of all, so that a store that no longer leads writes nothing and waits for nobody.
            has_moved = await self._move(batch, expected)
            if not has_moved and not planted("checkpoint_without_compare"):
                raise Fenced
            crashpoint("store.batch.moved")
            await write_pieces(self._connection, batch.pieces)
            crashpoint("store.batch.written")
            await write_edits(self._connection, batch.edited)
            crashpoint("store.batch.edited")
            await write_counts(self._connection, batch.changes.counts)
            crashpoint("store.batch.before_commit")

    async def _move_ahead(self, batch: Prepared, expected: Position) -> None:
        """Only for the planted bug of that name."""
        if not await self._move(batch, expected):
            raise Fenced

    async def _move(self, batch: Prepared, expected: Position) -> bool:
        crashpoint("store.batch.move")
        return await move_checkpoint(self._connection, self._step(batch, expected))

    def _step(self, batch: Prepared, expected: Position) -> Move:
        return Move(
            shard=self._shard,
            leader=self._leader,
            expected=expected,
            to=batch.last,
            digest=batch.digest,
            at_ns=batch.last_at_ns,
        )

    async def beat(self, position: Position) -> None:
        """Renew the lease. Raises `Fenced`, `Unavailable`."""
        stay = Move(shard=self._shard, leader=self._leader, expected=position, to=position)
        with lost_as_unavailable("renewing the lease"):
            crashpoint("store.beat")
            is_held = await move_checkpoint(self._connection, stay)
        if not is_held:
            raise Fenced

    async def make_room(self, first_at_ns: int, last_at_ns: int) -> None:
        """The partitions of `events` from the first to the last of these log times, and for the month after."""
        times = (*range(first_at_ns, last_at_ns, _SHORTEST_MONTH_NS), last_at_ns)
        months = {}
        for at_ns in (*times, last_at_ns + _LONGEST_MONTH_NS):
            day = dt.datetime.fromtimestamp(at_ns // 1_000_000_000, dt.UTC)
            months[day.year, day.month] = at_ns
        missing = [at_ns for month, at_ns in months.items() if month not in self._months]
        if missing:
            with lost_as_unavailable("making a partition"):
                crashpoint("store.partitions")
                await make_partitions(self._connection, missing)
            self._months.update(months)


_DAY_NS = 86_400 * 1_000_000_000
_SHORTEST_MONTH_NS = 28 * _DAY_NS
_LONGEST_MONTH_NS = 31 * _DAY_NS
