"""The life of a process that folds a shard's log and speaks by one fenced family: dispatcher and presence.

Snapshot, follow, decide, snapshot again. Which of several such processes writes is settled in `shared.fenced`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from prometheus_client import Gauge

from shared.bus import Batch, Bus, Start
from shared.clock import new_id
from shared.events import Event
from shared.fenced import Act, FencedFamily, Step, Tail
from shared.following import Following
from shared.opening import open_log
from shared.runtime import Process
from shared.snapshot import Keeper, Snapshot, Snapshots, SnapshotSettings, load_patiently
from shared.subjects import Family, event_subject

S = TypeVar("S")
D = TypeVar("D", bound="Decider")


class Folded(msgspec.Struct, Generic[S], kw_only=True):
    """What a snapshot holds: the state, and how far the own family was folded."""

    state: S
    tail: Tail = msgspec.field(default_factory=Tail)


class Decider(Protocol):
    """A service at work. `fold` takes a batch whole and must not wait; `pack` gives a `Folded` of now; `decide` says
    what to record, at the log's end; `note` is told what became of it."""

    act: Act

    @property
    def is_ready(self) -> bool:
        """Whether the log's end was reached once."""

    def fold(self, batch: Batch) -> None:
        """See the class."""

    def pack(self) -> bytes:
        """See the class."""

    def decide(self, now_ns: int, /) -> Sequence[Event]:
        """See the class."""

    def note(self, step: Step) -> None:
        """See the class."""


class Role(msgspec.Struct, Generic[S, D], frozen=True, kw_only=True):
    """What one service is: the family that it writes, the families that it reads (none: all), the state of a log
    that is empty, and how it is put to work. `listen` is called once, beside the folding, and may wait."""

    family: Family
    reads: tuple[Family, ...] = ()
    kind: type[S]
    version: int
    overdue_s: float
    snapshots: SnapshotSettings
    lag: Gauge
    make: Callable[[Bus, FencedFamily, Folded[S]], D]
    listen: Callable[[Bus, D], Awaitable[None]]


async def serve(process: Process[Any], role: Role[S, D]) -> None:
    """Work until the process is told to stop."""
    bus = await open_log(process.shared, process.name, process.stopping)
    if bus is None:
        return
    try:
        snapshots = Snapshots(
            process.shared.database_url,
            service=process.name,
            shard=process.shared.shard,
            kind=Folded[role.kind],  # type: ignore[name-defined]
            version=role.version,
        )
        loaded, is_stopping = await load_patiently(snapshots, process.stopping)
        if not is_stopping:
            await _work(process, role, bus, snapshots, loaded)
    finally:
        await bus.close()


async def _work(
    process: Process[Any],
    role: Role[S, D],
    bus: Bus,
    snapshots: Snapshots[Folded[S]],
    loaded: Snapshot[Folded[S]] | None,
) -> None:
    shard = process.shared.shard
    start = Start() if loaded is None else Start(position=loaded.position, digest=loaded.digest)
    folded = Folded(state=role.kind()) if loaded is None else loaded.state
    family = FencedFamily(bus, shard, role.family, writer=new_id(), overdue_s=role.overdue_s)
    family.tail = folded.tail
    desk = role.make(bus, family, folded)
    keeper = Keeper(snapshots, desk.pack, role.snapshots)
    subjects = [event_subject(shard, family) for family in role.reads]
    following = Following(
        bus, shard, start, database_url=process.shared.database_url, subjects=subjects
    )
    process.add_check("log", lambda: None if bus.is_connected else "not connected")
    process.add_check("state", lambda: None if desk.is_ready else "reading the log")

    async def fold() -> None:
        async for batch in following.batches():
            desk.fold(batch)
            keeper.folded(batch.deliveries)
            role.lag.set(following.lag)
            process.share.mind(following.behind_s)

    async def listen() -> None:
        await role.listen(bus, desk)

    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(fold()),
            tasks.create_task(desk.act.run(desk.decide, desk.note)),
            tasks.create_task(keeper.run()),
            tasks.create_task(listen()),
        ]
        await process.stopping.wait()
        for task in running:
            task.cancel()
    await family.close()
    await keeper.finish()
