"""`nightdesk account create` and `nightdesk admin create`: how an operator makes the first account and lets
administrators in. Everything else goes through the API."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Coroutine
from typing import Any

import click

from cli.account_log import Administrator, open_account_log
from shared.clock import new_id
from shared.errors import NightdeskError
from shared.ids import AccountId, AgentId, canonical

_LEAST_PASSWORD_CHARS = 10
_EMAIL = click.option("--email", required=True, help="The address that they sign in with.")
_NAME = click.option("--admin-name", default="Administrator", show_default=True)
_PASSWORD = click.option(
    "--password",
    envvar="NIGHTDESK_PASSWORD",
    help="Better given as NIGHTDESK_PASSWORD; without one it is made and printed.",
)


@click.group()
def account() -> None:
    """Make accounts."""


@click.group()
def admin() -> None:
    """Make administrators."""


@account.command("create")
@click.argument("name")
@_EMAIL
@_NAME
@_PASSWORD
def create_account(name: str, email: str, admin_name: str, password: str | None) -> None:
    """Make an account called NAME and its first administrator."""
    account_id = AccountId(new_id())
    given = _administrator(email, admin_name, password)

    async def make() -> None:
        async with open_account_log() as log:
            await log.create_account(account_id, name, given)

    _run(make())
    click.echo(f"account_id {account_id}")
    _show(given, is_made=password is None)


@admin.command("create")
@click.option("--account", "account_text", required=True, help="The account's id.")
@_EMAIL
@_NAME
@_PASSWORD
def create_admin(account_text: str, email: str, admin_name: str, password: str | None) -> None:
    """Make one more administrator of an account."""
    given = _administrator(email, admin_name, password)

    async def make() -> None:
        account_id = AccountId(canonical(account_text, what="account"))
        async with open_account_log() as log:
            await log.create_administrator(account_id, given)

    _run(make())
    _show(given, is_made=password is None)


def _administrator(email: str, name: str, password: str | None) -> Administrator:
    if password is not None and len(password) < _LEAST_PASSWORD_CHARS:
        raise click.UsageError(f"the password needs {_LEAST_PASSWORD_CHARS} characters or more")
    if "@" not in email:
        raise click.UsageError("--email is no address")
    return Administrator(
        agent_id=AgentId(new_id()),
        name=name,
        email=email,
        password=password or secrets.token_urlsafe(12),
    )


def _show(given: Administrator, *, is_made: bool) -> None:
    click.echo(f"agent_id   {given.agent_id}")
    click.echo(f"email      {given.email}")
    if is_made:
        click.echo(f"password   {given.password}   (shown this once)")


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(work)
    except NightdeskError as err:
        click.echo(f"nightdesk: {err.message}", err=True)
        sys.exit(2)
