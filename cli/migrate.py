"""`nightdesk migrate`: forward-only migrations, safe to run by several at once."""

from __future__ import annotations

import asyncio
import sys

import click

from cli import installation
from shared.database import migrate as apply_migrations
from shared.errors import NightdeskError


@click.command()
def migrate() -> None:
    """Bring the database up to this release."""
    try:
        done = asyncio.run(apply_migrations(installation.find("database_url").database_url))
    except NightdeskError as err:
        click.echo(f"migrate: {err.message}", err=True)
        sys.exit(2)
    click.echo("\n".join(f"applied {name}" for name in done) or "nothing to do")
