"""Which servers and ports are used, and what a person is told when they can't be."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.dev.addresses import (
    ServerAddresses,
    external_servers,
    gateway_port,
    service_environment,
)
from deploy.dev.errors import StackError
from deploy.dev.ports import free_port, is_free

_SERVERS = ServerAddresses(nats_url="n", nats_monitor_url="m", database_url="d")


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A loopback port on which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_without_addresses_the_embedded_servers_are_used() -> None:
    """A bare machine needs no settings."""
    assert external_servers({}) is None


@pytest.mark.parametrize("given", ["NIGHTDESK_NATS_URL", "NIGHTDESK_DATABASE_URL"])
def test_one_address_alone_is_refused_with_the_name_of_the_other(given: str) -> None:
    """Half a configuration would mix somebody's real data with the embedded ones."""
    other = {"NIGHTDESK_NATS_URL", "NIGHTDESK_DATABASE_URL"} - {given}
    with pytest.raises(StackError, match=other.pop()):
        external_servers({given: "nats://127.0.0.1:1"})


def test_a_server_that_does_not_answer_is_named(taken_port: int) -> None:
    """The person learns which of the two is down, at once."""
    closed = free_port()
    environ = {
        "NIGHTDESK_NATS_URL": f"nats://127.0.0.1:{taken_port}",
        "NIGHTDESK_DATABASE_URL": f"postgresql://u:secret@127.0.0.1:{closed}/x",
    }
    with pytest.raises(StackError, match=rf"PostgreSQL: nothing answers.*{closed}") as caught:
        external_servers(environ)
    assert "secret" not in str(caught.value)


def test_a_taken_gateway_port_is_refused_only_when_it_was_asked_for(taken_port: int) -> None:
    """A fixed port that is taken is an error; otherwise another one is found."""
    with pytest.raises(StackError, match="taken"):
        gateway_port({"NIGHTDESK_GATEWAY_PORT": str(taken_port)})
    assert free_port(taken_port) != taken_port
    assert is_free(gateway_port({}))


def test_tls_is_refused_at_once() -> None:
    """Who sets a certificate for `make run` is told so, instead of waiting for a self-check that can't pass."""
    with pytest.raises(StackError, match="without TLS"):
        gateway_port({"NIGHTDESK_GATEWAY_TLS_CERTIFICATE_FILE": "/etc/nightdesk/fullchain.pem"})


@pytest.mark.parametrize("text", ["http", "0", "65536", "-1"])
def test_a_gateway_port_that_is_none_is_refused(text: str) -> None:
    """A typing error is told by the variable's name."""
    with pytest.raises(StackError, match="NIGHTDESK_GATEWAY_PORT"):
        gateway_port({"NIGHTDESK_GATEWAY_PORT": text})


def test_services_get_the_callers_settings_but_not_his_database() -> None:
    """PGHOST and the like would send psycopg to a foreign server."""
    environ = {"NIGHTDESK_STORE_BATCH": "5", "PGHOST": "elsewhere", "NIGHTDESK_NATS_URL": "x"}
    made = service_environment(environ, _SERVERS, master_key_file=Path("k"), gateway=1)
    assert made["NIGHTDESK_STORE_BATCH"] == "5"
    assert made["NIGHTDESK_NATS_URL"] == "n"
    assert "PGHOST" not in made
    assert made["NIGHTDESK_MODE"] == "development"
