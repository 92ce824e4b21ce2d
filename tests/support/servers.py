"""Real nats-server and PostgreSQL for tests, the same code that `make run` uses.

One pair per test process (with xdist: per worker), started on first use, each test in a database
and a shard of its own, so that tests never see each other. A test that kills a server takes a
`fresh_` one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from deploy.dev.nats_server import NatsServer, NatsSettings
from deploy.dev.os_user import make_enterable
from deploy.dev.postgres_cluster import OWNER, wipe_cluster
from deploy.dev.postgres_server import PostgresServer, PostgresSettings

_TEMPLATE = "nightdesk_template"


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """Temporary, enterable for PostgreSQL's user, removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="nightdesk-test-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def nats_server(server_directory: Path) -> Iterator[NatsServer]:
    """The shared nats-server (`.url`, `.monitor_url`), fsync on every write. Don't kill this one."""
    server = _nats(server_directory / "nats")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def fresh_nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server for this test alone: `.kill()`, `.stop()`, `.pause()`, `.start()` as you like."""
    server = _nats(tmp_path / "nats")
    server.start()
    yield server
    server.resume()
    server.kill()


@pytest.fixture(scope="session")
def postgres_server(server_directory: Path) -> Iterator[PostgresServer]:
    """The shared PostgreSQL, without fsync: nothing here loses power. Don't kill this one."""
    server = _postgres(server_directory / "postgres", durable=False)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def fresh_postgres(server_directory: Path) -> Iterator[PostgresServer]:
    """A durable PostgreSQL for this test alone, with an empty database `nightdesk`."""
    directory = server_directory / f"postgres-{uuid.uuid4().hex[:8]}"
    server = _postgres(directory, durable=True)
    server.start()
    yield server
    server.resume()
    server.kill()
    wipe_cluster(directory)


@pytest.fixture(scope="session")
def template_database(postgres_server: PostgresServer) -> str:
    """The name of a migrated database that every test's own is cloned from (some 30 ms each)."""
    _create(postgres_server, _TEMPLATE, template="template1")
    migrate(postgres_server.url(_TEMPLATE))
    return _TEMPLATE


@pytest.fixture
def database_url(postgres_server: PostgresServer, template_database: str) -> Iterator[str]:
    """A migrated database of this test alone; its user owns it and is no superuser."""
    with own_database(postgres_server, template_database) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database of this test alone in which no migration ever ran."""
    with own_database(postgres_server, "template1") as url:
        yield url


@pytest.fixture
def shard() -> str:
    """A shard name of this test alone, so that its stream and subjects are nobody else's."""
    return f"t{uuid.uuid4().hex[:12]}"


def migrate(database_url: str) -> None:
    """Run the migrations as an operator does."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", "migrate"],
        env={**os.environ, "NIGHTDESK_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the migrations failed:\n{done.stdout}\n{done.stderr}")


def _nats(directory: Path) -> NatsServer:
    directory.mkdir(parents=True)
    # Every test's stream reserves its size limit; the disk is not asked.
    settings = NatsSettings(
        directory=directory, log=directory / "nats-server.log", max_file_store="64TB"
    )
    return NatsServer(settings)


def _postgres(directory: Path, *, durable: bool) -> PostgresServer:
    make_enterable(directory)
    settings = PostgresSettings(
        directory=directory, log=directory / "postgres.log", durable=durable
    )
    return PostgresServer(settings)


@contextmanager
def own_database(server: PostgresServer, template: str) -> Iterator[str]:
    """A database cloned from `template`, dropped at the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    _create(server, name, template=template)
    yield server.url(name)
    _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def _create(server: PostgresServer, name: str, *, template: str) -> None:
    _execute(server, f"CREATE DATABASE {name} TEMPLATE {template} OWNER {OWNER}")


def _execute(server: PostgresServer, statement: str) -> None:
    url = server.url("postgres", superuser=True)
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        connection.execute(statement.encode())
