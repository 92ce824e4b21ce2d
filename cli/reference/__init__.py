"""`nightdesk reference`: the pages under `docs/reference/` that are made from the code.

Why generated: a table of settings or events that is typed by hand is wrong within a week. `--check` writes
nothing and tells which page no longer says what the code says; `tests/contract/test_reference.py` runs the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cli.reference import errors, events, metrics, queries, rest, settings, websocket
from services.gateway import docs
from services.gateway.rest.routes import ROUTES

DIRECTORY = Path(__file__).resolve().parents[2] / "docs" / "reference"


def pages() -> dict[str, str]:
    """File name to content of every generated page, as the code is now."""
    return {
        "configuration.md": settings.page(),
        "errors.md": errors.page(),
        "events.md": events.page(),
        "metrics.md": metrics.page(),
        "queries.md": queries.page(),
        "rest.md": rest.page(),
        "websocket.md": websocket.page(),
        **docs.pages(ROUTES),
    }


def outdated(directory: Path = DIRECTORY) -> list[str]:
    """Names of the pages whose file differs from what the code gives, or is missing."""
    return _outdated(pages(), directory)


def _outdated(made: dict[str, str], directory: Path) -> list[str]:
    return [name for name, text in made.items() if _read(directory / name) != text]


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a page is out of date.")
def reference(*, check: bool) -> None:
    """Write the reference pages under docs/reference from the code."""
    made = pages()
    names = _outdated(made, DIRECTORY)
    if check:
        for name in names:
            click.echo(f"out of date: docs/reference/{name} (run: nightdesk reference)", err=True)
        sys.exit(1 if names else 0)
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name in names:
        (DIRECTORY / name).write_text(made[name], encoding="utf-8")
        click.echo(f"wrote docs/reference/{name}")
