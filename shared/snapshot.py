"""Snapshots of folded state in PostgreSQL: where a service goes on reading, with the state that belongs there.

They only save time. A service that finds none, or one that it can't read, folds the log from its start; one that
can't save goes on without.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec
import structlog

from shared import codec
from shared.bus import Delivery, digest
from shared.clock import monotonic_s
from shared.crashpoints import crashpoint
from shared.database import connect, lost_as_unavailable
from shared.errors import Malformed, Unavailable
from shared.ids import Position
from shared.opening import pause

log = structlog.get_logger(__name__)

T = TypeVar("T")

_TIMEOUT_S = 30.0
_FINISH_S = 5.0


class SnapshotSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When one is due: after so many events, or after some event and so much time; never twice within `least_s`."""

    every_events: int = 100_000
    every_s: float = 300.0
    least_s: float = 20.0


class Snapshot(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Folded state, the last position in it, and the digest of the event there."""

    position: Position
    digest: bytes
    state: T


class Snapshots(Generic[T]):
    """A service's snapshots of one shard. `kind` is the state's type, `version` that of its meaning."""

    def __init__(self, url: str, *, service: str, shard: str, kind: type[T], version: int) -> None:
        self._url = url
        self._service = service
        self._shard = shard
        self._kind = kind
        self._version = version

    async def load(self) -> Snapshot[T] | None:
        """The newest, None if there is none that this release can read. Raises `Unavailable`."""
        rows = await self._execute(
            "SELECT position, digest, state FROM folded.snapshots"
            " WHERE service = %s AND shard = %s AND version = %s",
            [self._service, self._shard, self._version],
        )
        if not rows:
            return None
        position, marked, packed = rows[0]
        try:
            state = codec.unpack(await asyncio.to_thread(zlib.decompress, packed), self._kind)
        except (Malformed, zlib.error):
            log.warning("snapshot_unreadable", position=position)
            return None
        return Snapshot(position=position, digest=bytes(marked), state=state)

    async def save(self, packed: bytes, last: Delivery) -> None:
        """Keep a packed state whose last event is `last`, unless a newer one is there. Raises `Unavailable`."""
        small = await asyncio.to_thread(zlib.compress, packed, 1)
        await self._execute(
            "INSERT INTO folded.snapshots AS old (service, shard, version, position, digest, state)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (service, shard) DO UPDATE"
            " SET version = excluded.version, position = excluded.position, digest = excluded.digest,"
            " state = excluded.state, at = now()"
            " WHERE old.version <> excluded.version OR old.position < excluded.position"
            " RETURNING position",
            [self._service, self._shard, self._version, last.position, digest(last), small],
        )

    async def _execute(
        self, statement: str, values: list[object]
    ) -> list[tuple[Position, bytes, bytes]]:
        crashpoint("snapshot.connect")
        connection = await connect(
            self._url, name=f"{self._service} snapshots", statement_timeout_s=_TIMEOUT_S
        )
        try:
            with lost_as_unavailable("keeping snapshots"):
                crashpoint("snapshot.execute")
                cursor = await connection.execute(statement.encode(), values)
                return await cursor.fetchall()
        finally:
            await connection.close()


class Keeper(Generic[T]):
    """Saves a snapshot when one is due, beside the service's work and never two at once, and one at the end."""

    def __init__(
        self, snapshots: Snapshots[T], pack: Callable[[], bytes], settings: SnapshotSettings
    ) -> None:
        self._snapshots = snapshots
        self._pack = pack
        self._settings = settings
        self._events = 0
        self._last: Delivery | None = None
        self._saved_at_s = monotonic_s()
        self._due = asyncio.Event()
        self._work: tuple[bytes, Delivery] | None = None

    def folded(self, deliveries: Sequence[Delivery]) -> None:
        """Tell what is in the state by now. When a snapshot is due it is packed here, before anything else changes
        the state, and saved in the background."""
        if not deliveries:
            return
        self._events += len(deliveries)
        self._last = deliveries[-1]
        age_s = monotonic_s() - self._saved_at_s
        is_due = self._events >= self._settings.every_events or age_s >= self._settings.every_s
        if not is_due or age_s < self._settings.least_s or self._work is not None:
            return
        self._work = (self._pack(), self._last)
        self._events = 0
        self._saved_at_s = monotonic_s()
        self._due.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            if self._work is not None:
                await self._save(*self._work)
                self._work = None

    async def finish(self) -> None:
        """Save what was folded since the last one, so that the next start is short. Call when nothing folds any more."""
        if self._last is None or not self._events:
            return
        try:
            async with asyncio.timeout(_FINISH_S):
                await self._save(self._pack(), self._last)
        except TimeoutError:
            log.warning("snapshot_not_saved", position=self._last.position, code="timeout")

    async def _save(self, packed: bytes, last: Delivery) -> None:
        try:
            await self._snapshots.save(packed, last)
            log.info("snapshot_saved", position=last.position, size_bytes=len(packed))
        except Unavailable as err:
            log.warning("snapshot_not_saved", position=last.position, code=err.code)


async def load_patiently(
    snapshots: Snapshots[T], stopping: asyncio.Event, *, retry_s: float = 1.0
) -> tuple[Snapshot[T] | None, bool]:
    """The newest snapshot if there is one, once PostgreSQL answers; and whether we were told to stop meanwhile."""
    while not stopping.is_set():
        try:
            return await snapshots.load(), False
        except Unavailable as err:
            log.warning("snapshot_not_loaded", code=err.code)
            await pause(stopping, retry_s)
    return None, True
