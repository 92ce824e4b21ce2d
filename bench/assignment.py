"""B7 on the common frame: assignments a second beside `FOR UPDATE SKIP LOCKED` by hand."""

from __future__ import annotations

import uvloop

from bench.backlog import Size
from bench.dispatch import measure as measure_dispatch
from bench.figures import Beside, Faults, Measured, Row, Scale

_QUICK = Size(waiting=4_000, agents=200, skills=20)


def measure(scale: Scale) -> Measured:
    """B7."""
    size = _QUICK if scale.is_quick else Size()
    ours, *by_hand = uvloop.run(measure_dispatch(size, runs=scale.runs))
    faults = [fault for row in (ours, *by_hand) for fault in row.faults]
    return Measured(
        rows=[
            Row(
                figure="B7",
                what=f"{size.waiting:,} waiting, {size.agents:,} agents: assigned, explained, durable",
                unit="decisions/s",
                ours=list(ours.runs),
                reach=15_000,
                beside=[
                    Beside(what=row.name.strip(), runs=list(row.runs), factor=factor)
                    for row, factor in zip(by_hand, (3.0, None), strict=True)
                ],
                faults=Faults(lost=len(faults)),
                notes={"dispatcher and log": ours.note, "found": "; ".join(faults) or "nothing"},
            )
        ]
    )
