"""Which gateway a command talks to, and as whom: options, else the environment, else the running demo stack."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import click
import msgspec

from cli import demo, installation
from shared.errors import Refused


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """An address and an administrator's sign-in."""

    url: str
    email: str
    password: str


def gateway_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --url, --email and --password, and hands them over as `gateway`."""

    @click.option("--url", envvar="NIGHTDESK_GATEWAY_URL", help="The gateway's address.")
    @click.option(
        "--email",
        envvar="NIGHTDESK_ADMIN_EMAIL",
        help="An administrator's address; the demo's unless given.",
    )
    @click.option("--password", envvar="NIGHTDESK_ADMIN_PASSWORD", help="And their password.")
    @functools.wraps(command)
    def with_gateway(
        url: str | None, email: str | None, password: str | None, **others: Any
    ) -> Any:
        gateway = Gateway(
            url=url or _address(),
            email=email or demo.ADMIN.email,
            password=password or demo.DEVELOPMENT_PASSWORD,
        )
        return command(gateway=gateway, **others)

    return with_gateway


def _address() -> str:
    public = os.environ.get("NIGHTDESK_GATEWAY_PUBLIC_URL", "")
    if public:
        return public
    try:
        return installation.find("gateway_url").gateway_url
    except Refused as err:
        raise click.ClickException(err.message) from err
