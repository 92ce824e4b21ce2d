"""`nightdesk status`: which parts run and are ready, as their own /readyz says."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import click
import msgspec
from rich.console import Console
from rich.table import Table

from cli.installation import state_file

_TIMEOUT = aiohttp.ClientTimeout(total=3.0)


class _State(msgspec.Struct):
    status: str = ""
    gateway_url: str = ""
    health_urls: dict[str, str] = {}


@click.command()
def status() -> None:
    """Ask every service of the running stack whether it is ready; exit status 1 unless all are."""
    path = state_file()
    if not path.is_file():
        raise click.ClickException(f"no {path}: nothing was started here with make run")
    state = msgspec.json.decode(path.read_bytes(), type=_State)
    answers = asyncio.run(_ask(state.health_urls))
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, answer in answers.items():
        table.add_row(name, answer)
    console = Console()
    console.print(f"stack: {state.status}, gateway: {state.gateway_url}", highlight=False)
    console.print(table)
    sys.exit(0 if answers and set(answers.values()) == {"ready"} else 1)


async def _ask(urls: dict[str, str]) -> dict[str, str]:
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
        answers = await asyncio.gather(*[_ask_one(http, url) for url in urls.values()])
    return dict(zip(urls, answers, strict=True))


async def _ask_one(http: aiohttp.ClientSession, url: str) -> str:
    try:
        async with http.get(f"{url}/readyz") as answer:
            return "ready" if answer.status == 200 else f"not ready: {(await answer.text())[:200]}"
    except (aiohttp.ClientError, TimeoutError) as err:
        return f"does not answer ({type(err).__name__})"
