"""The embedded servers keep their data and come back, whatever happened to them."""

from __future__ import annotations

import shutil
import socket
import stat
from pathlib import Path

import nats
import psycopg
import pytest

from deploy.dev.nats_server import NatsServer
from deploy.dev.postgres_cluster import wipe_cluster
from deploy.dev.postgres_server import PostgresServer, PostgresSettings


def _value(url: str, query: bytes) -> object:
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


async def test_a_killed_nats_server_has_every_acknowledged_entry(fresh_nats: NatsServer) -> None:
    """What JetStream acknowledged is there after SIGKILL, on the same address."""
    url = fresh_nats.url
    client = await nats.connect(url)
    stream = client.jetstream()
    await stream.add_stream(name="KEPT", subjects=["kept"])
    acks = [await stream.publish("kept", b"entry") for _ in range(20)]
    await client.close()
    fresh_nats.kill()
    fresh_nats.start()
    assert fresh_nats.url == url
    client = await nats.connect(url)
    info = await client.jetstream().stream_info("KEPT")
    await client.close()
    assert info.state.messages == acks[-1].seq == 20


def test_nats_server_wants_a_password(nats_server: NatsServer) -> None:
    """Another user of this machine can't write into the log."""
    with socket.create_connection(("127.0.0.1", nats_server.port), timeout=5) as connection:
        connection.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
        said = b""
        while part := connection.recv(4096):
            said += part
    assert b"Authorization Violation" in said


def test_a_killed_postgres_recovers_what_was_committed(fresh_postgres: PostgresServer) -> None:
    """A commit survives SIGKILL of every PostgreSQL process; the address stays."""
    url = fresh_postgres.url()
    with psycopg.connect(url, connect_timeout=5) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS row")
    fresh_postgres.kill()
    fresh_postgres.start()
    assert fresh_postgres.url() == url
    assert _value(url, b"SELECT count(*) FROM kept") == 1


def test_a_second_server_object_takes_over_from_an_orphan(fresh_postgres: PostgresServer) -> None:
    """A supervisor that finds the server of a dead one running ends it and starts its own."""
    successor = PostgresServer(fresh_postgres.settings)
    orphan = fresh_postgres.pid
    successor.start()
    try:
        assert successor.pid not in (None, orphan)
        assert not fresh_postgres.is_running
        assert _value(successor.url(), b"SELECT 1") == 1
    finally:
        successor.kill()


def test_a_pid_file_of_another_program_does_not_block_the_start(
    fresh_postgres: PostgresServer,
) -> None:
    """After a reboot the pid in the file may belong to anyone; the server starts all the same."""
    assert fresh_postgres.pid is not None
    data = fresh_postgres.data_directory
    fresh_postgres.kill()
    pid_file = data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join(["1", *lines[1:]]) + "\n")
    fresh_postgres.start()
    assert _value(fresh_postgres.url(), b"SELECT 1") == 1


def test_a_new_checkout_at_an_old_path_begins_with_empty_data(tmp_path: Path) -> None:
    """Under a directory that only we may enter, too, deleting the checkout deletes its data."""
    tmp_path.chmod(0o700)
    directory = tmp_path / "postgres"
    settings = PostgresSettings(directory=directory, log=tmp_path / "log", durable=False)
    places = []
    for _ in range(2):
        server = PostgresServer(settings)
        try:
            server.start()
            places.append(server.data_directory)
            with psycopg.connect(server.url(), connect_timeout=5) as connection:
                connection.execute("CREATE TABLE once AS SELECT 1")
        finally:
            server.stop()
        shutil.rmtree(directory)
    last = PostgresServer(settings)
    try:
        last.start()
        left = [place for place in places if place != last.data_directory and place.exists()]
        assert left == []
    finally:
        last.kill()
        wipe_cluster(directory)


def test_postgres_is_durable_by_default(fresh_postgres: PostgresServer) -> None:
    """The settings that the store's guard asks for are on."""
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        query = f"SELECT current_setting('{name}')".encode()
        assert _value(fresh_postgres.url(), query) == "on"


def test_the_services_role_is_no_superuser(postgres_server: PostgresServer) -> None:
    """A superuser would walk through row-level security."""
    query = b"SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
    assert _value(postgres_server.url(), query) is False


def test_postgres_lets_nobody_in_without_the_password(postgres_server: PostgresServer) -> None:
    """No passwordless superuser on TCP."""
    address = f"postgresql://postgres@127.0.0.1:{postgres_server.port}/postgres"
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(address, connect_timeout=5)


def test_passwords_are_readable_by_their_owner_only(
    postgres_server: PostgresServer, nats_server: NatsServer
) -> None:
    """Mode 0600 on every file that holds a secret."""
    files = [
        *postgres_server.settings.directory.glob("*.password"),
        *nats_server.settings.directory.glob("*.password"),
        nats_server.settings.directory / "nats.conf",
    ]
    assert len(files) == 8
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_tests_database_is_migrated_and_its_own(
    database_url: str, empty_database_url: str
) -> None:
    """What one test writes no other test sees; both begin from the same schema."""
    query = b"SELECT count(*) FROM pg_tables WHERE schemaname = 'truth'"
    assert _value(database_url, query) not in (0, None)
    assert _value(empty_database_url, query) == 0
