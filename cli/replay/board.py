"""What a person sees while it runs: a live table at a terminal, a line now and then elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table

from cli.replay.ledger import Ledger

_LIVE_S = 0.25
_LINE_S = 3.0
_MUST_BE_ZERO = frozenset({"shown_twice", "out_of_order", "lost", "unexplained"})


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """How the run stands."""

    phase: str
    conversations: int
    done: int
    messages: int
    accepted: int
    open_conversations: int
    shown_to_visitors: int
    shown_to_agents: int
    repeated: int


@asynccontextmanager
async def board(console: Console, look: Callable[[], Glance]) -> AsyncIterator[None]:
    """Shown for the length of the block."""
    started = time.monotonic()
    show = _live if console.is_terminal else _lines
    task = asyncio.create_task(show(console, look, started))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _live(console: Console, look: Callable[[], Glance], started: float) -> None:
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        while True:
            live.update(_table(look(), time.monotonic() - started))
            await asyncio.sleep(_LIVE_S)


async def _lines(console: Console, look: Callable[[], Glance], started: float) -> None:
    while True:
        glance, past_s = look(), time.monotonic() - started
        console.print(
            f"{past_s:6.1f} s  {glance.phase}: {glance.accepted} of {glance.messages} messages accepted, "
            f"{glance.done} of {glance.conversations} conversations settled, "
            f"{glance.open_conversations} held by agents, {glance.repeated} repeats on the wire",
            highlight=False,
            soft_wrap=True,
        )
        await asyncio.sleep(_LINE_S)


def _table(glance: Glance, past_s: float) -> Table:
    table = Table(title=f"{glance.phase}, {past_s:.0f} s", title_justify="left")
    table.add_column("what")
    table.add_column("now", justify="right")
    table.add_column("of", justify="right")
    rate = glance.accepted / past_s if past_s else 0.0
    table.add_row("messages accepted", str(glance.accepted), str(glance.messages))
    table.add_row("conversations settled", str(glance.done), str(glance.conversations))
    table.add_row("held by agents", str(glance.open_conversations), "")
    table.add_row("shown to agents", str(glance.shown_to_agents), "")
    table.add_row("shown to visitors", str(glance.shown_to_visitors), "")
    table.add_row("repeats on the wire", str(glance.repeated), "")
    table.add_row("messages a second", f"{rate:.0f}", "")
    return table


def print_ledger(console: Console, ledger: Ledger, *, seconds: float) -> None:
    """The ledger as a table, what must be 0 marked."""
    table = Table(title=f"Ledger after {seconds:.1f} s", title_justify="left")
    table.add_column("what")
    table.add_column("count", justify="right")
    table.add_column("")
    for name in Ledger.__struct_fields__:
        if name == "remarks":
            continue
        count: int = getattr(ledger, name)
        verdict = ""
        if name in _MUST_BE_ZERO:
            verdict = "[red]must be 0[/red]" if count else "[green]as it must be[/green]"
        table.add_row(name.replace("_", " "), str(count), verdict)
    console.print(table)
    for remark in ledger.remarks:
        console.print(f"[red]{remark}[/red]", highlight=False)
