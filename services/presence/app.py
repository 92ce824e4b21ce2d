"""Composition root of presence."""

from __future__ import annotations

import asyncio

import structlog

from services.presence import metrics
from services.presence.config import Config
from services.presence.handlers import Desk, Folded
from services.presence.state import VERSION, State
from shared.bus import Bus, Start
from shared.clock import new_id
from shared.crashpoints import crashpoint
from shared.fenced import FencedFamily, Tail
from shared.following import Following
from shared.opening import open_log
from shared.runtime import Process
from shared.snapshot import Keeper, Snapshot, Snapshots, SnapshotSettings, load_patiently
from shared.subjects import beats_subject, command_subject, event_subject

log = structlog.get_logger(__name__)

_CALLERS_AT_ONCE = 256


async def serve(process: Process[Config]) -> None:
    """Run presence until the process is told to stop."""
    bus = await open_log(process.shared, process.name, process.stopping)
    if bus is None:
        return
    try:
        snapshots = Snapshots(
            process.shared.database_url,
            service=process.name,
            shard=process.shared.shard,
            kind=Folded,
            version=VERSION,
        )
        loaded, is_stopping = await load_patiently(snapshots, process.stopping)
        if not is_stopping:
            await _run(process, bus, snapshots, loaded)
    finally:
        await bus.close()


async def _run(
    process: Process[Config],
    bus: Bus,
    snapshots: Snapshots[Folded],
    loaded: Snapshot[Folded] | None,
) -> None:
    config, shard = process.config, process.shared.shard
    start = Start() if loaded is None else Start(position=loaded.position, digest=loaded.digest)
    folded = loaded.state if loaded is not None else Folded(state=State(), tail=Tail())
    family = FencedFamily(bus, shard, "presence", writer=new_id(), overdue_s=config.overdue_s)
    settings = SnapshotSettings(every_events=config.snapshot_events, every_s=config.snapshot_s)
    desk = Desk(bus, family, folded, config, alert_wait_s=process.shared.alert_wait_s)
    keeper = Keeper(snapshots, desk.pack, settings)
    subjects = (event_subject(shard, "account"), event_subject(shard, "presence"))
    following = Following(
        bus, shard, start, database_url=process.shared.database_url, subjects=subjects
    )
    process.add_check("log", lambda: None if bus.is_connected else "not connected")
    process.add_check("state", lambda: None if desk.ready.is_set() else "reading the log")
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(_fold(following, desk, keeper)),
            tasks.create_task(desk.act.run(desk.decide, desk.note)),
            tasks.create_task(keeper.run()),
            tasks.create_task(_listen(bus, shard, desk)),
        ]
        await process.stopping.wait()
        for task in running:
            task.cancel()
    await family.close()
    await keeper.finish()


async def _fold(following: Following, desk: Desk, keeper: Keeper[Folded]) -> None:
    async for batch in following.batches():
        desk.fold(batch)
        keeper.folded(batch.deliveries)
        metrics.LAG.set(following.lag)


async def _listen(bus: Bus, shard: str, desk: Desk) -> None:
    """Beats from the start; questions only when there is something to answer from."""
    crashpoint("presence.start.beats")
    await bus.subscribe(beats_subject(shard), desk.on_beats)
    await desk.ready.wait()
    crashpoint("presence.start.agents")
    await bus.subscribe(
        command_subject(shard, "presence", "agents"), desk.on_agents, queue="presence"
    )
    crashpoint("presence.start.wishes")
    await bus.subscribe(
        command_subject(shard, "presence", "set_availability"),
        desk.on_set_availability,
        concurrency=_CALLERS_AT_ONCE,
    )
