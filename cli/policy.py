"""`nightdesk policy`: the routing document of an account as a file. Shows it, checks a changed one, puts it in force."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from cli.gateway import Gateway, gateway_options
from nightdesk_client import ApiError, NightdeskClientError, Staff
from nightdesk_client.api.routing import RoutingApi, RoutingChange, RoutingDocument, RoutingResult

T = TypeVar("T")
_FILE = click.option("--file", "name", type=click.Path(exists=True, dir_okay=False), required=True)
_VERSION = re.compile(r'("version"\s*:\s*)[0-9]+')


@click.group()
def policy() -> None:
    """Keep all that decides who is asked in a file."""


@policy.command()
@click.option("--version", type=int, help="An older one.")
@gateway_options
def show(gateway: Gateway, version: int | None) -> None:
    """Print the routing document."""
    document = _ask(gateway, lambda api: api.show(version=version))
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


@policy.command()
@gateway_options
def versions(gateway: Gateway) -> None:
    """Print who changed the routing document, when and what, newest first."""
    for each in _ask(gateway, lambda api: api.versions()):
        click.echo(f"{each.version}  {each.at}  {each.by_name or each.by or 'an operator'}")
        _changes(each.changes)


@policy.command()
@_FILE
@click.option("--force", is_flag=True, help="Whatever was changed since the file was read.")
@gateway_options
def check(gateway: Gateway, name: str, force: bool) -> None:  # noqa: FBT001 - click's signature
    """Say what the file would change, and what is wrong with it. Saves nothing."""
    document = _read(name, is_forced=force)
    _tell(_ask(gateway, lambda api: api.check(document)))


@policy.command()
@_FILE
@click.option("--force", is_flag=True, help="Whatever was changed since the file was read.")
@gateway_options
def apply(gateway: Gateway, name: str, force: bool) -> None:  # noqa: FBT001 - click's signature
    """Put the file in force, all of it or nothing. The version in the file becomes the new one."""
    document = _read(name, is_forced=force)
    result = _ask(gateway, lambda api: api.apply(document))
    _tell(result)
    path = Path(name)
    text = path.read_text(encoding="utf-8")
    renewed = _VERSION.sub(rf"\g<1>{result.version}", text, count=1)
    if renewed != text:
        path.write_text(renewed, encoding="utf-8")


def _read(name: str, *, is_forced: bool) -> RoutingDocument:
    try:
        document = msgspec.json.decode(Path(name).read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise click.ClickException(f"{name} is not JSON: {err}") from err
    if not isinstance(document, dict):
        raise click.ClickException(f"{name} holds no document")
    if is_forced:
        document.pop("version", None)
    return document


def _ask(gateway: Gateway, question: Callable[[RoutingApi], Awaitable[T]]) -> T:
    async def ask() -> T:
        async with Staff.sign_in(gateway.url, gateway.email, gateway.password) as staff:
            return await question(staff.routing)

    try:
        return asyncio.run(ask())
    except ApiError as err:
        places = [f"  {at}: {text}" for at, text in err.places]
        click.echo("\n".join([f"policy: {err.message}", *places]), err=True)
    except NightdeskClientError as err:
        click.echo(f"policy: {err}", err=True)
    sys.exit(2)


def _tell(result: RoutingResult) -> None:
    for warning in result.warnings:
        click.echo(f"warning  {warning.pointer}: {warning.detail}")
    _changes(result.changes)
    if not result.changes:
        click.echo(f"nothing changes; version {result.version}")
    elif result.is_dry_run:
        click.echo(f"{len(result.changes)} would change; version {result.version} as before")
    else:
        click.echo(f"{len(result.changes)} changed; version {result.version}")


def _changes(changes: list[RoutingChange]) -> None:
    for each in changes:
        click.echo(f"  {each.what}  {each.id}  {each.name or ''}".rstrip())
