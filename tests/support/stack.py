"""A whole stack of real processes for one test: killed, restarted and looked into at will.

It stands on its own servers and its own data, so that tests may kill anything. What a real
supervisor would do by itself (starting a dead service again) is left to the test: `restart`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.dev.errors import StackError
from deploy.dev.nats_server import NatsServer
from deploy.dev.ports import free_port
from deploy.dev.postgres_cluster import wipe_cluster
from deploy.dev.postgres_server import PostgresServer
from deploy.dev.process import tail
from deploy.dev.run_directory import ROOT, RunDirectory
from deploy.dev.service_process import ServiceProcess
from deploy.dev.stack import Stack, existing_services


class StackUnderTest:
    """Servers are durable as in production; the demo account is seeded; addresses as attributes."""

    def __init__(self, stack: Stack, nats: NatsServer, postgres: PostgresServer) -> None:
        self._stack = stack
        self.nats = nats
        self.postgres = postgres
        self.seeded: list[str] = []

    @property
    def gateway_url(self) -> str:
        return self._stack.gateway_url

    @property
    def ws_url(self) -> str:
        return f"ws{self.gateway_url.removeprefix('http')}/ws"

    @property
    def database_url(self) -> str:
        return self.postgres.url()

    @property
    def nats_url(self) -> str:
        return self.nats.url

    @property
    def environment(self) -> dict[str, str]:
        """What services and `nightdesk` commands find in their environment."""
        return self._stack.environment

    @property
    def logs(self) -> Path:
        return self._stack.directory.logs

    def service(self, name: str) -> ServiceProcess:
        """The process of a service, for its health address and its pid."""
        return self._stack.services[name]

    def start(self, names: Sequence[str] | None = None, *, timeout_s: float = 120.0) -> None:
        """Start services (all that exist) and wait until each is ready."""
        wanted = list(names or existing_services())
        for name in wanted:
            self._stack.start_service(name)
        for name in wanted:
            self._stack.wait_ready(name, timeout_s=timeout_s)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a service or to `nats` or `postgres`; SIGKILL waits for the end."""
        if name in ("nats", "postgres"):
            server = self.nats if name == "nats" else self.postgres
            server.kill()
            return
        self._stack.services[name].kill(number)

    def restart(self, name: str, *, is_waiting: bool = True, timeout_s: float = 120.0) -> None:
        """Start what was killed again, on the same address."""
        if name in ("nats", "postgres"):
            server = self.nats if name == "nats" else self.postgres
            server.start()
            return
        self._stack.start_service(name)
        if is_waiting:
            self._stack.wait_ready(name, timeout_s=timeout_s)

    def stop(self, name: str, *, timeout_s: float = 20.0) -> bool:
        """SIGTERM to a service; whether it drained in time."""
        service = self._stack.services[name]
        service.ask_to_stop()
        return service.wait_stopped(timeout_s)

    def command(
        self, *arguments: str, timeout_s: float = 240.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a `nightdesk` command against this stack; its exit code is the caller's to judge."""
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            env=self.environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def log_tail(self, name: str, *, lines: int = 40) -> str:
        """The end of a service's log, for the message of a failed assertion."""
        return "\n".join(tail(self.logs / f"{name}.log", lines=lines))


@pytest.fixture(scope="module")
def stack() -> Iterator[StackUnderTest]:
    """A stack for all tests of a module; what a test kills it starts again."""
    with running_stack() as running:
        yield running


@contextmanager
def running_stack(
    names: Sequence[str] | None = None, *, settings: dict[str, str] | None = None
) -> Iterator[StackUnderTest]:
    """Servers, migrations, services, demo account; everything is gone afterwards.

    `names`: the services to start (all that exist; an empty list starts none). `settings`: further
    environment variables for services, for instance short time limits.
    """
    path = Path(tempfile.mkdtemp(prefix="nightdesk-stack-"))
    path.chmod(0o711)
    stack = Stack(RunDirectory(path))
    try:
        stack.directory.prepare()
        nats, postgres = stack.start_nats(), stack.start_postgres()
        stack.prepare_environment(_clean_environment())
        stack.environment.update(settings or {})
        stack.run_command("migrate")
        under_test = StackUnderTest(stack, nats, postgres)
        if names is None or names:
            under_test.start(names)
        under_test.seeded = stack.run_command("seed")
        yield under_test
    except StackError as error:
        error.add_note("\n".join(tail(error.log, lines=40)) if error.log else "")
        raise
    finally:
        stack.kill()
        wipe_cluster(path / "postgres")
        shutil.rmtree(path, ignore_errors=True)


def _clean_environment() -> dict[str, str]:
    """A developer's own settings must not steer the tests, nor a running stack be in the way."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("NIGHTDESK_")}
    return {**kept, "NIGHTDESK_GATEWAY_PORT": str(free_port())}
