"""What is shown and kept of a measurement: a table at the terminal, JSON, the plot."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
from collections.abc import Iterable
from pathlib import Path

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from bench.figures import Measured, Row
from bench.places import RESULTS
from bench.plot import plot


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What kind of machine it was, without names."""

    cores: int
    memory_gb: int
    system: str
    python: str
    load_before: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The file that is kept. `at`: when its newest figure was measured; `figures`: when each, where they differ;
    `settings`: what was asked for beside the defaults."""

    at: str
    is_quick: bool
    machine: Machine
    measured: Measured
    figures: dict[str, str] = {}
    settings: str = ""


def machine() -> Machine:
    """This one."""
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(psutil.virtual_memory().total / 1024**3),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        load_before=round(os.getloadavg()[0], 2),
    )


def show(rows: Iterable[Row], console: Console) -> None:
    """The table."""
    table = Table(title="Nightdesk beside the raw servers (medians)")
    for name in ("", "work", "ours", "to reach", "beside it", "", "µs of CPU each", ""):
        table.add_column(name, justify="right" if name in ("ours", "to reach") else "left")
    for row in rows:
        table.add_row(
            row.figure,
            row.what,
            f"{_number(row.median)} {row.unit}",
            _limit(row.reach, is_less_better=row.is_less_better),
            "\n".join(f"{_number(statistics.median(x.runs))} {x.what}" for x in row.beside),
            "\n".join(_times(row, x.factor, row.times(x)) for x in row.beside),
            "\n".join(f"{name} {value:.1f}" for name, value in row.costs.items()),
            _verdict(row),
        )
    console.print(table)
    for row in rows:
        if row.notes:
            said = ", ".join(f"{key} {_note(value)}" for key, value in row.notes.items())
            console.print(f"[dim]{row.figure} {row.what}: {said}[/dim]")


def _times(row: Row, factor: float | None, times: float) -> str:
    wanted = _limit(factor, is_less_better=row.is_less_better)
    return f"× {times:.2f}" + (f" ({wanted})" if wanted else "")


def _limit(value: float | None, *, is_less_better: bool) -> str:
    return "" if value is None else f"{'≤' if is_less_better else '≥'} {_number(value)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"


def _note(value: float | str) -> str:
    return value if isinstance(value, str) else _number(value)


def _verdict(row: Row) -> str:
    if row.is_void and row.faults is not None:
        faults = row.faults
        return (
            f"[red]VOID: {faults.lost} lost, {faults.doubled} doubled, {faults.disordered} "
            "out of order[/red]"
        )
    if row.reach is None and all(x.factor is None for x in row.beside):
        return "[dim]–[/dim]"
    return "[green]reached[/green]" if row.is_reached else "[yellow]not reached[/yellow]"


def keep(measured: Measured, *, is_quick: bool, before: Machine) -> Path:
    """Write the result and its plot; the path of the former. In the result of record figures that were measured replace
    those of the same name, and the others stay with their time."""
    RESULTS.mkdir(exist_ok=True)
    now = dt.datetime.now(dt.UTC)
    at = now.isoformat(timespec="seconds")
    result = Result(
        at=at,
        is_quick=is_quick,
        machine=before,
        measured=measured,
        figures={row.figure: at for row in measured.rows},
        settings=os.environ.get("SETTINGS", ""),
    )
    name = "record" if os.environ.get("RECORD") else f"{now:%Y%m%dT%H%M%S}"
    path = RESULTS / f"{name}.json"
    if path.exists():
        result = joined(msgspec.json.decode(path.read_bytes(), type=Result), result)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    if result.measured.points:
        path.with_suffix(".svg").write_text(plot(result.measured.points), encoding="utf-8")
    return path


def joined(before: Result, now: Result) -> Result:
    """The figures of now, and those of before that were not measured now."""
    new = set(now.figures)
    rows = [row for row in before.measured.rows if row.figure not in new] + now.measured.rows
    points = [
        point
        for point in before.measured.points
        if not any(f"({figure}" in point.line for figure in new)
    ]
    return msgspec.structs.replace(
        now,
        measured=Measured(
            rows=sorted(rows, key=lambda row: row.figure), points=points + now.measured.points
        ),
        figures=dict(
            sorted(({row.figure: before.at for row in rows} | before.figures | now.figures).items())
        ),
    )
