"""`python -m deploy.dev run|stop`: what `make run` and `make stop` call."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from deploy.dev import detached
from deploy.dev.errors import StackError
from deploy.dev.progress import Screen
from deploy.dev.run_directory import ROOT, RunDirectory
from deploy.dev.supervisor import Supervisor


@click.group(help="The embedded stack of a checkout.")
def main() -> None:
    """Commands follow."""


@main.command(help="Start everything and keep it running; WAIT=1 returns when it is ready.")
@click.option("--reset", is_flag=True, help="Begin with empty data, as RESET=1 does.")
@click.option("--detached", "is_detached", is_flag=True, hidden=True)
def run(*, reset: bool, is_detached: bool) -> None:
    """Exit with the run's code."""
    is_reset = reset or _is_on("RESET")
    if _is_on("WAIT"):
        sys.exit(_explained(lambda: detached.start_detached(_directory(), is_reset=is_reset)))
    supervisor = Supervisor(_directory(), Screen(), is_detached=is_detached)
    sys.exit(supervisor.run(is_reset=is_reset))


@main.command(help="Stop what runs; the data stay.")
def stop() -> None:
    """Exit 0 also when nothing was running."""
    sys.exit(_explained(lambda: detached.stop(_directory(), Screen())))


def _explained(action: Callable[[], int]) -> int:
    try:
        return action()
    except StackError as error:
        Screen().explain(error)
        return 1


def _directory() -> RunDirectory:
    chosen = os.environ.get("NIGHTDESK_RUN_DIR", "")
    return RunDirectory(Path(chosen).resolve() if chosen else ROOT / ".run")


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, "") not in ("", "0")


if __name__ == "__main__":
    main()
