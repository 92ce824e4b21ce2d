"""What a person sees while the stack starts: one line a step, with its time, and failures explained.

At a terminal the running step turns and counts; elsewhere only finished lines are written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.dev.errors import StackError
from deploy.dev.process import tail

_NAME_WIDTH = 22


class Step:
    """The step under way; `note` is shown behind its time when it is done."""

    note = ""


class Screen:
    """Writes to one console; steps don't nest."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._started = time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Show the step while its body runs; an exception marks it failed and goes on."""
        step = Step()
        began = time.monotonic()
        try:
            with self._spinner(name):
                yield step
        except BaseException:
            self._line("[red]✗[/red]", name, began, note="")
            raise
        self._line("[green]✓[/green]", name, began, note=step.note)

    def say(self, text: str) -> None:
        """One line, with the time of day: for what happens after the start."""
        self.console.print(f"  {time.strftime('%H:%M:%S')}  {escape(text)}")

    def explain(self, error: StackError) -> None:
        """The last log lines, the cause and what to do."""
        print_ = self.console.print
        if error.log:
            print_(f"\n  last lines of {escape(str(error.log))}:")
            for line in tail(error.log):
                print_(f"    [dim]{escape(line)}[/dim]")
        print_(f"\n  [red]{escape(error.part)}[/red]: {escape(error.cause)}")
        print_(f"  [bold]what to do[/bold]: {escape(error.advice)}\n")

    def table(self, title: str, rows: list[tuple[str, str]]) -> None:
        table = Table(
            title=title, title_justify="left", show_header=False, box=None, padding=(0, 2)
        )
        for left, right in rows:
            table.add_row(left, escape(right))
        self.console.print()
        self.console.print(table)

    def elapsed_s(self) -> float:
        """Since the screen was made."""
        return time.monotonic() - self._started

    @contextmanager
    def _spinner(self, name: str) -> Iterator[None]:
        if not self.console.is_terminal:
            yield
            return
        columns = (TextColumn(" "), SpinnerColumn(), TextColumn(name), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            progress.add_task(name)
            yield

    def _line(self, mark: str, name: str, began: float, *, note: str) -> None:
        took = f"{time.monotonic() - began:6.2f} s"
        self.console.print(
            f"  {mark} {escape(name):{_NAME_WIDTH}}{took}  [dim]{escape(note)}[/dim]"
        )
