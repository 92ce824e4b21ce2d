"""Which servers the stack uses and what every service is told about them in its environment."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from deploy.dev.errors import StackError
from deploy.dev.ports import LOOPBACK, free_port, is_free

_GATEWAY_PORT = 8480
_CONNECT_TIMEOUT_S = 3.0


class ServerAddresses(msgspec.Struct, frozen=True, kw_only=True):
    """Passwords included: keep it out of logs and off the screen."""

    nats_url: str
    nats_monitor_url: str
    database_url: str


def external_servers(environ: Mapping[str, str]) -> ServerAddresses | None:
    """The caller's own servers, None when embedded ones are wanted. Raises StackError."""
    nats = environ.get("NIGHTDESK_NATS_URL", "")
    database = environ.get("NIGHTDESK_DATABASE_URL", "")
    if not nats and not database:
        return None
    if not nats or not database:
        missing = "NIGHTDESK_DATABASE_URL" if nats else "NIGHTDESK_NATS_URL"
        raise StackError(
            "servers",
            f"{missing} is not set while the other one is",
            advice="set both to use your own servers, or none for the embedded ones",
        )
    _check_reachable("nats-server", nats.split(",")[0], 4222)
    _check_reachable("PostgreSQL", database, 5432)
    return ServerAddresses(
        nats_url=nats,
        nats_monitor_url=environ.get("NIGHTDESK_NATS_MONITOR_URL", ""),
        database_url=database,
    )


def gateway_port(environ: Mapping[str, str]) -> int:
    """The fixed port when one is asked for, else 8480, else any free one. Raises StackError."""
    if environ.get("NIGHTDESK_GATEWAY_TLS_CERTIFICATE_FILE"):
        # The demo account and the self-check would knock in clear for a minute and blame the gateway.
        raise StackError(
            "gateway",
            "NIGHTDESK_GATEWAY_TLS_CERTIFICATE_FILE is set, and make run speaks to its gateway without TLS",
            advice="unset it; start the gateway by itself to serve TLS (docs/how-to/own-servers.md)",
        )
    fixed = environ.get("NIGHTDESK_GATEWAY_PORT", "")
    if not fixed:
        return free_port(_GATEWAY_PORT)
    if not fixed.isdigit() or not 0 < int(fixed) < 65536:
        raise StackError(
            "gateway",
            f"NIGHTDESK_GATEWAY_PORT is no port: {fixed!r}",
            advice="set a number from 1 to 65535, or unset it for any free port",
        )
    if not is_free(int(fixed)):
        raise StackError(
            "gateway",
            f"port {fixed} is taken by another program",
            advice="choose another NIGHTDESK_GATEWAY_PORT, or unset it for any free port",
        )
    return int(fixed)


def service_environment(
    environ: Mapping[str, str], servers: ServerAddresses, *, master_key_file: Path, gateway: int
) -> dict[str, str]:
    """What every service process finds in its environment; the caller's own settings stay."""
    environment = {name: text for name, text in environ.items() if not name.startswith("PG")}
    environment |= {
        "NIGHTDESK_NATS_URL": servers.nats_url,
        "NIGHTDESK_NATS_MONITOR_URL": servers.nats_monitor_url,
        "NIGHTDESK_DATABASE_URL": servers.database_url,
        "NIGHTDESK_MASTER_KEY_FILE": str(master_key_file),
        "NIGHTDESK_GATEWAY_HOST": LOOPBACK,
        "NIGHTDESK_GATEWAY_PORT": str(gateway),
        "NIGHTDESK_GATEWAY_PUBLIC_URL": f"http://{LOOPBACK}:{gateway}",
        # What `nightdesk` commands look for: they would take another stack's from its state file.
        "NIGHTDESK_GATEWAY_URL": f"http://{LOOPBACK}:{gateway}",
        "NIGHTDESK_WS_URL": f"ws://{LOOPBACK}:{gateway}/ws",
        "PYTHONUNBUFFERED": "1",
    }
    environment.setdefault("NIGHTDESK_MODE", "development")
    environment.setdefault("NIGHTDESK_LOG_FORMAT", "json")
    return environment


def _check_reachable(part: str, url: str, default_port: int) -> None:
    try:
        address = urlsplit(url)
        host, port = address.hostname, address.port or default_port
    except ValueError as err:
        raise StackError(
            part, f"its address can't be read: {err}", advice="see the README"
        ) from err
    if not host:
        # A socket directory in the query string, for instance: the services will tell.
        return
    try:
        socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT_S).close()
    except OSError as err:
        raise StackError(
            part,
            f"nothing answers at {host}:{port} ({err.strerror or err})",
            advice="start that server, or unset both addresses to use the embedded ones",
        ) from err
