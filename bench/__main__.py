"""`python -m bench`, or `make bench`: every figure that needs no large disk, or those of ONLY=B1,B3; QUICK=1 a small
version, RECORD=1 the one that is kept in the repository."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

from rich.console import Console

from bench import assignment, drain, growth, idle, ingest, report, store, storm, whole_way
from bench.figures import Measured, Point, Row, Scale
from bench.places import RESULTS
from bench.site import sites_kept

FIGURES: dict[str, Callable[[Scale], Measured]] = {
    "B1": ingest.measure,
    "B2": store.measure,
    "B3": drain.measure,
    "B4": whole_way.measure,
    "B5": storm.measure,
    "B6": idle.measure,
    "B7": assignment.measure,
    "B8": growth.measure,
}
ON_REQUEST = {"B8": "fills some 20 GB and takes long; ONLY=B8 runs it"}


def main() -> int:
    """Measure, show, keep; 1 when a figure is void."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    scale = Scale(is_quick=bool(os.environ.get("QUICK")))
    chosen = [name for name in os.environ.get("ONLY", "").replace(",", " ").split() if name]
    unknown = [name for name in chosen if name not in FIGURES]
    if unknown:
        console.print(f"there is no {', '.join(unknown)}; there are {', '.join(FIGURES)}")
        return 2
    before = report.machine()
    console.print(
        f"{before.cores} cores, {before.memory_gb} GB, {before.system}, Python {before.python}, "
        f"load before {before.load_before}"
    )
    if not chosen:
        chosen = [name for name in FIGURES if name not in ON_REQUEST]
        for name, why in ON_REQUEST.items():
            console.print(f"{name} not run: {why}")
    rows: list[Row] = []
    points: list[Point] = []
    with sites_kept() if scale.is_quick else nullcontext():
        for measured in _measured(chosen, scale, console):
            rows += measured.rows
            points += measured.points
    report.show(rows, console)
    path = report.keep(Measured(rows=rows, points=points), is_quick=scale.is_quick, before=before)
    console.print(f"kept as {path.relative_to(RESULTS.parents[1])}")
    return 1 if any(row.is_void for row in rows) else 0


def _measured(names: list[str], scale: Scale, console: Console) -> Iterator[Measured]:
    for name in names:
        began = time.monotonic()
        console.print(f"{name} …", end=" ")
        yield FIGURES[name](scale)
        console.print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
