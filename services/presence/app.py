"""Composition root of presence."""

from __future__ import annotations

from services.presence import metrics
from services.presence.config import Config
from services.presence.handlers import Desk
from services.presence.state import VERSION, State
from shared import deciding
from shared.bus import Bus
from shared.crashpoints import crashpoint
from shared.runtime import Process
from shared.snapshot import SnapshotSettings
from shared.subjects import beats_subject, command_subject

_CALLERS_AT_ONCE = 256


async def serve(process: Process[Config]) -> None:
    """Run presence until the process is told to stop."""
    config, shared = process.config, process.shared
    role = deciding.Role(
        family="presence",
        reads=("account", "presence"),
        kind=State,
        version=VERSION,
        overdue_s=config.overdue_s,
        snapshots=SnapshotSettings(every_events=config.snapshot_events, every_s=config.snapshot_s),
        lag=metrics.LAG,
        make=lambda bus, family, folded: Desk(
            bus, family, folded, config, alert_wait_s=shared.alert_wait_s
        ),
        listen=lambda bus, desk: _listen(bus, shared.shard, desk),
    )
    await deciding.serve(process, role)


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
