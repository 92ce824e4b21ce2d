"""`nightdesk verify`: is everything that is shown what the log says? Folds all projections again beside the live ones
and prints the differences; the live services go on meanwhile."""

from __future__ import annotations

import asyncio
import sys

import click
import msgspec

from cli import installation
from cli.folding import Bar, report
from services.store import rebuild
from shared.bus import BusSettings, connect
from shared.errors import NightdeskError


@click.command()
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object instead of text.")
def verify(is_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Fold every projection beside the live one from the log and print the differences.

    Exit status: 0 none, 1 differences, 2 it could not be done.
    """
    try:
        with Bar(is_shown=not is_json) as bar:
            result = asyncio.run(_verify(bar))
    except NightdeskError as err:
        click.echo(f"verify: {err.message}", err=True)
        sys.exit(2)
    if is_json:
        click.echo(msgspec.json.encode(result).decode())
    else:
        report(result, done="compared")
    sys.exit(1 if result.total else 0)


async def _verify(bar: Bar) -> rebuild.Result:
    found = installation.find("database_url", "nats_url")
    bus = await connect(BusSettings(url=found.nats_url, name="nightdesk verify"))
    try:
        return await rebuild.verify(found.database_url, bus, bar.told)
    finally:
        await bus.close()
