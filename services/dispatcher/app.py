"""Composition root of the dispatcher."""

from __future__ import annotations

import asyncio

from services.dispatcher import metrics
from services.dispatcher.config import Config
from services.dispatcher.decide import VERSION, State
from services.dispatcher.handlers import Desk, Folded
from services.dispatcher.why import Why
from shared.bus import Bus, Start
from shared.clock import new_id
from shared.crashpoints import crashpoint
from shared.fenced import FencedFamily, Tail
from shared.following import Following
from shared.opening import open_log
from shared.runtime import Process
from shared.snapshot import Keeper, Snapshot, Snapshots, SnapshotSettings, load_patiently
from shared.subjects import HINT_BUCKETS, command_subject, hint_subject


async def serve(process: Process[Config]) -> None:
    """Run the dispatcher until the process is told to stop."""
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
    family = FencedFamily(bus, shard, "routing", writer=new_id(), overdue_s=config.overdue_s)
    settings = SnapshotSettings(every_events=config.snapshot_events, every_s=config.snapshot_s)
    desk = Desk(bus, family, folded, config)
    keeper = Keeper(snapshots, desk.pack, settings)
    url = process.shared.database_url
    why = Why(desk, config, shard=shard, database_url=url)
    following = Following(bus, shard, start, database_url=url)
    process.add_check("log", lambda: None if bus.is_connected else "not connected")
    process.add_check("state", lambda: None if desk.is_ready else "reading the log")
    for bucket in range(HINT_BUCKETS):
        crashpoint("dispatcher.start.hints")
        await bus.subscribe(hint_subject(shard, bucket), desk.on_hint)
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(_fold(following, desk, keeper)),
            tasks.create_task(desk.act.run(desk.decide, desk.note)),
            tasks.create_task(keeper.run()),
        ]
        # Every dispatcher answers: the standby has folded the same log.
        crashpoint("dispatcher.start.estimates")
        await bus.subscribe(command_subject(shard, "dispatcher", "estimate"), desk.on_estimate)
        crashpoint("dispatcher.start.explain")
        await bus.subscribe(command_subject(shard, "dispatcher", "explain"), why.on_explain)
        recall = command_subject(shard, "dispatcher", "recall")
        crashpoint("dispatcher.start.recall")
        await bus.subscribe(recall, why.on_recall, queue="dispatcher")
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
