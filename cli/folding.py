"""How `verify` and `rebuild` show what they do and what they found."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from services.store.rebuild import Result

_MOST_LINES = 50


class Bar:
    """A progress bar on stderr, one line a step; silent where nobody looks."""

    def __init__(self, *, is_shown: bool) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        self._progress = Progress(
            *columns, console=console, disable=not (is_shown and console.is_terminal)
        )
        self._steps: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def told(self, step: str, done: int, total: int) -> None:
        """Move the bar of a step."""
        name = "comparing tables" if step.startswith("comparing") and "shard" not in step else step
        if name not in self._steps:
            self._steps[name] = self._progress.add_task(name, total=total)
        self._progress.update(self._steps[name], completed=done, total=total)


def report(result: Result, *, done: str) -> None:
    """The outcome in words: tables, keys and columns, never what people wrote."""
    places = ", ".join(f"shard {shard} to position {at}" for shard, at in result.positions.items())
    click.echo(f"{done} {result.events} events ({places or 'the log is empty'})")
    for found in result.differences[:_MOST_LINES]:
        columns = f": {', '.join(found.columns)}" if found.columns else ""
        click.echo(f"  {found.table} {found.key} {found.where}{columns}")
    if result.total > _MOST_LINES:
        click.echo("  …")
    for table, count in sorted(result.counts.items()):
        click.echo(f"{table}: {count} differences")
    click.echo(f"{result.total} differences")
