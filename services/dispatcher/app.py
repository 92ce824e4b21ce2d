"""Composition root of the dispatcher."""

from __future__ import annotations

from services.dispatcher import metrics
from services.dispatcher.config import Config
from services.dispatcher.decide import VERSION, State
from services.dispatcher.handlers import Desk
from services.dispatcher.why import Why
from shared import deciding
from shared.bus import Bus
from shared.crashpoints import crashpoint
from shared.runtime import Process
from shared.snapshot import SnapshotSettings
from shared.subjects import HINT_BUCKETS, command_subject, hint_subject


async def serve(process: Process[Config]) -> None:
    """Run the dispatcher until the process is told to stop."""
    config = process.config
    role = deciding.Role(
        family="routing",
        kind=State,
        version=VERSION,
        overdue_s=config.overdue_s,
        snapshots=SnapshotSettings(every_events=config.snapshot_events, every_s=config.snapshot_s),
        lag=metrics.LAG,
        make=lambda bus, family, folded: Desk(bus, family, folded, config),
        listen=lambda bus, desk: _listen(process, bus, desk),
    )
    await deciding.serve(process, role)


async def _listen(process: Process[Config], bus: Bus, desk: Desk) -> None:
    """Every dispatcher answers: the standby has folded the same log. Only the past is one's task."""
    shard = process.shared.shard
    why = Why(desk, process.config, shard=shard, database_url=process.shared.database_url)
    for bucket in range(HINT_BUCKETS):
        crashpoint("dispatcher.start.hints")
        await bus.subscribe(hint_subject(shard, bucket), desk.on_hint)
    crashpoint("dispatcher.start.estimates")
    await bus.subscribe(command_subject(shard, "dispatcher", "estimate"), desk.on_estimate)
    crashpoint("dispatcher.start.explain")
    await bus.subscribe(command_subject(shard, "dispatcher", "explain"), why.on_explain)
    crashpoint("dispatcher.start.loads")
    await bus.subscribe(command_subject(shard, "dispatcher", "loads"), why.on_loads)
    recall = command_subject(shard, "dispatcher", "recall")
    crashpoint("dispatcher.start.recall")
    await bus.subscribe(recall, why.on_recall, queue="dispatcher")
