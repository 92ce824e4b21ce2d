"""`nightdesk rebuild`: all projections anew from the log, put in place at once; nobody is cut off."""

from __future__ import annotations

import asyncio
import sys

import click

from cli import installation
from cli.folding import Bar, report
from services.store import rebuild as folding
from shared.errors import NightdeskError


@click.command()
def rebuild() -> None:
    """Fold every projection anew from the log and put it in place.

    When anything differed the epoch changes: devices then load their lists again.
    """
    try:
        with Bar(is_shown=True) as bar:
            url = installation.find("database_url").database_url
            result = asyncio.run(folding.rebuild(url, bar.told))
    except NightdeskError as err:
        click.echo(f"rebuild: {err.message}", err=True)
        sys.exit(2)
    report(result, done="rebuilt")
    click.echo("new epoch" if result.epoch else "same numbers, same epoch")
