"""The command line of `nightdesk replay`."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from cli.gateway import Gateway, gateway_options
from cli.replay.board import board, print_ledger
from cli.replay.ledger import Ledger
from cli.replay.pulse import Stalled
from cli.replay.run import Run, Settings
from cli.replay.transcripts import Transcript, load
from nightdesk_client import NightdeskClientError
from shared.errors import Refused

SAMPLE = Path(__file__).with_name("sample.jsonl")

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTIONS = (
    click.option("--agents", default=20, type=click.IntRange(1, 500), help="Agents on duty."),
    click.option(
        "--capacity",
        default=8,
        type=click.IntRange(1, 1_000),
        help="Conversations that an agent may hold.",
    ),
    click.option(
        "--offline-first/--no-offline-first",
        default=True,
        help="Visitors write while nobody is on duty.",
    ),
    click.option(
        "--speed",
        default=0.0,
        type=click.FloatRange(0),
        help="1: people type; 10: ten times as fast; 0: as fast as it goes.",
    ),
    click.option("--seed", default=1, help="The same seed draws the same plan."),
    click.option(
        "--limit", default=0, type=click.IntRange(0), help="Only so many conversations; 0: all."
    ),
    click.option(
        "--patience",
        default=60.0,
        type=click.FloatRange(1),
        help="Seconds without any movement after which the run gives up.",
    ),
    click.option("--keep", is_flag=True, help="Leave the run's team, inbox and agents."),
)


def _options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(context_settings={"show_default": True})
@click.argument("file", type=_FILE, required=False)
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the ledger there.",
)
@_options
@gateway_options
def replay(file: Path | None, json_path: Path | None, gateway: Gateway, **chosen: Any) -> None:
    """Play transcripts through the public API and keep a ledger; exit status 1 when anything is wrong.

    FILE holds JSON lines {"conversation", "topic", "turns": [{"from": "visitor" or "agent", "text"}]}, plain or
    gzipped; without one a small sample is played. A team, an inbox and agents are made for the run and removed
    after it.
    """
    settings = Settings(
        url=gateway.url,
        email=gateway.email,
        password=gateway.password,
        agents=chosen["agents"],
        capacity=chosen["capacity"],
        is_offline_first=chosen["offline_first"],
        is_kept=chosen["keep"],
        speed=chosen["speed"],
        seed=chosen["seed"],
        patience_s=chosen["patience"],
    )
    try:
        transcripts = load(file or SAMPLE, limit=chosen["limit"])
    except Refused as err:
        raise click.ClickException(err.message) from err
    sys.exit(0 if _play(transcripts, settings, json_path) else 1)


def _play(transcripts: list[Transcript], settings: Settings, json_path: Path | None) -> bool:
    console = Console()
    started = time.monotonic()
    try:
        ledger = asyncio.run(_run(console, transcripts, settings))
    except (NightdeskClientError, Refused, Stalled, BaseExceptionGroup) as failure:
        first = _first(failure)
        if not isinstance(first, (NightdeskClientError, Refused, Stalled)):
            raise
        console.print(
            f"[red]The run ended early.[/red] {type(first).__name__}: {first}", highlight=False
        )
        return False
    seconds = time.monotonic() - started
    print_ledger(console, ledger, seconds=seconds)
    if json_path is not None:
        report = {"seconds": round(seconds, 1), "is_clean": ledger.is_clean}
        json_path.write_bytes(msgspec.json.encode(report | msgspec.structs.asdict(ledger)) + b"\n")
    return ledger.is_clean


async def _run(console: Console, transcripts: list[Transcript], settings: Settings) -> Ledger:
    run = Run(transcripts, settings)
    async with board(console, run.glance):
        return await run.play()


def _first(failure: BaseException) -> BaseException:
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
