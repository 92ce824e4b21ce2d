"""Wires the store: connections, guards, follower, hints, questions."""

from __future__ import annotations

import asyncio
import gc

from services.store.config import Config
from services.store.handlers.follow import Follower
from services.store.handlers.hints import Hints
from services.store.handlers.place import Place
from services.store.handlers.progress import Progress
from services.store.handlers.questions import Pools, Questions, open_pools
from shared import log
from shared.bus import Bus
from shared.crashpoints import crashpoint
from shared.database import guard_durability
from shared.errors import Unavailable
from shared.opening import open_log
from shared.runtime import Process

_RETRY_S = 0.5


def spare_collector() -> None:
    """Let the cyclic garbage collector look less often. A batch makes tens of thousands of objects that hold no cycle
    and live until its commit; looking at them again and again was a quarter of the store's processor time."""
    gc.set_threshold(100_000, 20, 50)


async def serve(process: Process[Config]) -> None:
    """Run until the process is asked to stop."""
    spare_collector()
    if not await _guard_database(process):
        return
    bus = await open_log(process.shared, process.name, process.stopping)
    if bus is None:
        return
    pools = await open_pools(process.shared.database_url, process.config)
    try:
        await _run(process, bus, pools)
    finally:
        # Questions that were taken are answered before their connections go.
        await bus.close()
        await pools.close()


async def _run(process: Process[Config], bus: Bus, pools: Pools) -> None:
    shared, config = process.shared, process.config
    progress = Progress()
    hints = Hints(bus, pools.questions, shard=shared.shard, progress=progress)
    place = Place(
        bus=bus,
        database_url=shared.database_url,
        shard=shared.shard,
        config=config,
        share=process.share,
    )
    follower = Follower(place, progress=progress, hints=hints)
    questions = Questions(bus, pools, shard=shared.shard, config=config, progress=progress)
    process.add_check("nats", lambda: None if bus.is_connected else "not connected")
    process.add_check("database", lambda: None if progress.is_known else "not read yet")
    try:
        await questions.open()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follower.run(process.stopping))
            tasks.create_task(hints.run(process.stopping))
    finally:
        await questions.close()


async def _guard_database(process: Process[Config]) -> bool:
    """Wait for a database that keeps promises; False when stopped meanwhile."""
    shared = process.shared
    is_told = False
    while not process.stopping.is_set():
        try:
            crashpoint("store.start.database")
            relaxed = await guard_durability(shared.database_url, mode=shared.mode)
        except Unavailable as err:
            if not is_told:
                log.get().warning("waiting_for_database", reason=err.message)
                is_told = True
            await asyncio.sleep(_RETRY_S)
        else:
            if relaxed:
                log.get().warning("durability_relaxed", off=relaxed, mode=shared.mode)
            return True
    return False
