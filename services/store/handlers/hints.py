"""Tells gateways what was committed. Each bucket's hints form a chain by `since` and `to`; a gateway that misses a
link reads instead, so a lost hint costs a question and nothing else. Sent only by the store that leads."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import msgspec

from services.store import metrics
from services.store.fold import Changes
from services.store.handlers.progress import Progress
from services.store.tables.ranges import Ranges, read_ranges
from shared import log
from shared.bus import Bus
from shared.codec import pack
from shared.crashpoints import crashpoint
from shared.database import Pool, borrow
from shared.errors import Malformed, Unavailable
from shared.ids import AccountId, Position
from shared.planted import planted
from shared.queries import Entry, Hint, Lock, ReceiptRow
from shared.subjects import HINT_BUCKETS, bucket_of, hint_subject

_EVERY_S = 1.0
_LAST = 300
"""With the planted bug `no_empty_hint` no hint of later positions arrives: then silence has something to hide."""
_LOST_EACH = 5
"""With the planted bug `hint_is_truth` a hint with such a last position is lost on its way."""
_MOST_BYTES = 512 * 1024
_PART_BYTES = 384 * 1024
"""Estimated, with room for what the estimate leaves out."""
_ROW_BYTES = 400
_RECEIPT_BYTES = 250
_CONVERSATION_BYTES = 1000


def _is_lost(hint: Hint) -> bool:
    """Only for planted bugs: both believe something of the hints that is noticed when one is missing."""
    if planted("no_empty_hint"):
        return hint.to > _LAST
    return planted("hint_is_truth") and bool(hint.entries) and hint.to % _LOST_EACH == 0


class _Bucket:
    """What a commit changed for the accounts of one bucket."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.receipts: list[tuple[ReceiptRow, str]] = []
        self.lists: list[tuple[AccountId, str]] = []
        self.locks: list[Lock] = []
        self.is_incomplete = False


class Hints:
    """The chains of a shard's buckets."""

    def __init__(self, bus: Bus, pool: Pool, *, shard: str, progress: Progress) -> None:
        self._bus = bus
        self._pool = pool
        self._shard = shard
        self._progress = progress
        self._to: list[Position] = [0] * HINT_BUCKETS
        self._told: Position = 0
        self._epoch = ""

    def begin(self, position: Position, epoch: str) -> None:
        """A new term: the chains go on from the checkpoint that was taken over."""
        self._to = [position] * HINT_BUCKETS
        self._told = position
        self._epoch = epoch

    async def tell(self, changes: Changes, to: Position, *, is_behind: bool = False) -> None:
        """After a commit up to `to`: one hint, or several in a row, for each bucket it touched. Who `is_behind` by
        thousands names no messages: nobody waits for one of so many, and gateways read what their sessions miss."""
        for number, bucket in (await self._sorted(changes, is_behind=is_behind)).items():
            lists, locks = tuple(bucket.lists), tuple(bucket.locks)
            for part in _parts(bucket, to):
                hint = Hint(
                    epoch=self._epoch,
                    since=self._to[number],
                    to=part.up_to,
                    entries=tuple(part.entries),
                    receipts=tuple(part.receipts),
                    receipt_owners=tuple(part.receipt_owners),
                    lists=lists,
                    locks=locks,
                    incomplete=bucket.is_incomplete,
                )
                lists, locks = (), ()
                await self._send(number, hint)
        self._told = to

    async def _sorted(self, changes: Changes, *, is_behind: bool) -> dict[int, _Bucket]:
        buckets: dict[int, _Bucket] = {}

        def of(account_id: AccountId) -> _Bucket:
            number = bucket_of(account_id)
            bucket = buckets.get(number)
            if bucket is None:
                bucket = buckets[number] = _Bucket()
            return bucket

        entries = changes.told + changes.entries
        untold = set(changes.untold)
        if is_behind:
            untold.update({account_id for account_id, _ in entries})
            entries = [x for x in entries if x[1].kind != "message"]
        for account_id in untold:
            of(account_id).is_incomplete = True
        forgotten = 1 if planted("hint_left_out") else 0
        for account_id, entry in (await self._with_ranges(entries))[forgotten:]:
            of(account_id).entries.append(entry)
        for key, row in changes.receipts.items():
            of(key[0]).receipts.append((row, " ".join(changes.receipt_owners[key])))
        for account_id, teams in changes.lists.items():
            of(account_id).lists.extend((account_id, team) for team in sorted(teams))
        for agent, primary in changes.primaries.items():
            lock = Lock(
                agent_id=agent[1],
                device_id=primary.device_id,
                fence=primary.fence,
                alert=primary.alert,
                alert_until_ns=primary.alert_until_ns,
            )
            of(agent[0]).locks.append(lock)
        return buckets

    async def _with_ranges(
        self, entries: list[tuple[AccountId, Entry]]
    ) -> list[tuple[AccountId, Entry]]:
        """Assignments with the messages that come with them; without, if the database does not answer now:
        then `more` says to read them."""
        wanted = [
            (account_id, entry.conversation_id, entry.from_seq, entry.to_seq)
            for account_id, entry in entries
            if entry.to_seq
        ]
        if not wanted:
            return entries
        found: Ranges = {}
        try:
            async with borrow(self._pool) as connection:
                crashpoint("store.hint.ranges")
                found = await read_ranges(connection, wanted)
        except Unavailable as err:
            log.get().warning("hint_without_messages", reason=err.message)
        return [(account_id, _filled(entry, found)) for account_id, entry in entries]

    async def run(self, stopping: asyncio.Event) -> None:
        """Every second an empty hint to each bucket, so that silence means something."""
        while not stopping.is_set():
            began_at = time.monotonic()
            if self._progress.is_leading and not planted("no_empty_hint"):
                for number in range(HINT_BUCKETS):
                    to = max(self._to[number], self._told)
                    await self._send(number, Hint(epoch=self._epoch, since=self._to[number], to=to))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, began_at + _EVERY_S - time.monotonic())):
                    await stopping.wait()

    async def _send(self, number: int, hint: Hint) -> None:
        self._to[number] = hint.to
        result = "full" if hint.entries or hint.receipts or hint.lists else "empty"
        result = "incomplete" if hint.incomplete else result
        try:
            payload = pack(hint)
            if len(payload) > _MOST_BYTES:
                result = "incomplete"
                payload = pack(
                    Hint(epoch=hint.epoch, since=hint.since, to=hint.to, incomplete=True)
                )
            if _is_lost(hint):
                return
            async with asyncio.timeout(1.0):
                crashpoint("store.hint.send")
                await self._bus.publish(hint_subject(self._shard, number), payload)
        except (Malformed, TimeoutError):
            result = "failed"
        metrics.HINTS.labels(result).inc()


class _Part:
    """What one hint tells, up to a position."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.receipts: list[ReceiptRow] = []
        self.receipt_owners: list[str] = []
        self.up_to: Position = 0
        self.size = 0

    def add(self, told: _Told) -> None:
        if isinstance(told, Entry):
            self.entries.append(told)
            self.size += _size(told)
        else:
            self.receipts.append(told[0])
            self.receipt_owners.append(told[1])
            self.size += _RECEIPT_BYTES


_Told = Entry | tuple[ReceiptRow, str]


def _parts(bucket: _Bucket, to: Position) -> Iterator[_Part]:
    """Hints of a bearable size, the last of which reaches `to`. Each tells what lies behind the end of the one before it
    and no other: from there on whoever misses it asks. What one event made stays together."""
    told: list[_Told] = sorted([*bucket.entries, *bucket.receipts], key=_position)
    part = _Part()
    for each in told:
        position = _position(each)
        if part.size > _PART_BYTES and position != part.up_to:
            yield part
            part = _Part()
        part.add(each)
        part.up_to = position
    part.up_to = to
    yield part


def _position(told: _Told) -> Position:
    return told.position if isinstance(told, Entry) else told[0].position


def _size(entry: Entry) -> int:
    messages = entry.messages if entry.message is None else (entry.message,)
    note = len(entry.note.body) if entry.note is not None else 0
    conversation = _CONVERSATION_BYTES if entry.conversation is not None else 0
    return _ROW_BYTES + conversation + note + sum(_ROW_BYTES + len(row.body) for row in messages)


def _filled(entry: Entry, found: Ranges) -> Entry:
    if not entry.to_seq:
        return entry
    rows = found.get((entry.conversation_id, entry.from_seq), ())
    more = not rows or rows[-1].seq < entry.to_seq
    return msgspec.structs.replace(entry, messages=tuple(rows), more=more)
