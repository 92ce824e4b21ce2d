"""`make run` and `make stop` as a person meets them, on a data directory of this test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.dev.postgres_cluster import wipe_cluster
from deploy.dev.process import is_gone, wait_until
from deploy.dev.run_directory import ROOT, RunDirectory, RunState

_LONGEST_START_S = 240


class _Checkout:
    """The commands behind make, on one run directory."""

    def __init__(self, place: Path) -> None:
        self.directory = RunDirectory(place)
        kept = {name: text for name, text in os.environ.items() if not name.startswith("NIGHTDESK")}
        self.environ = {**kept, "NIGHTDESK_RUN_DIR": str(place)}

    def call(self, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "deploy.dev", command],
            cwd=ROOT,
            env={**self.environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LONGEST_START_S,
            check=False,
        )

    def state(self) -> RunState:
        """What the supervisor wrote."""
        state = self.directory.state()
        assert state is not None
        return state

    def pids(self) -> dict[str, int]:
        """The processes by name."""
        return {process.name: process.pid for process in self.state().processes}


@pytest.fixture
def place(server_directory: Path) -> Iterator[Path]:
    """Where the data of this test lie; a space in the path is no obstacle."""
    place = server_directory / f"run {uuid.uuid4().hex[:8]}"
    yield place
    wipe_cluster(place / "postgres")


@pytest.fixture
def running(place: Path) -> Iterator[_Checkout]:
    """A stack that `WAIT=1 make run` left running."""
    checkout = _Checkout(place)
    done = checkout.call("run", WAIT="1")
    assert done.returncode == 0, done.stdout + done.stderr
    yield checkout
    stopped = checkout.call("stop")
    assert stopped.returncode == 0, stopped.stdout


@pytest.mark.timeout(900)
def test_a_run_survives_its_parts_and_ends_with_its_supervisor(running: _Checkout) -> None:
    """Who can be stood in for is; what dies comes back by itself; a second run is refused; a killed supervisor takes all
    along."""
    second = running.call("run")
    assert second.returncode == 1
    assert running.state().gateway_url in second.stdout

    services = {"gateway", "presence", "store", "dispatcher"}
    standbys = {"presence-2", "store-2", "dispatcher-2"}
    assert wait_until(lambda: set(running.state().health_urls) == services | standbys, timeout_s=90)
    before = running.pids()
    assert services | standbys | {"nats-server", "postgres"} == set(before)
    for name in ("store", "nats-server"):
        os.kill(before[name], signal.SIGKILL)
        assert wait_until(
            lambda name=name: running.pids().get(name) not in (None, before[name]),  # type: ignore[misc]
            timeout_s=90,
        )
    after = running.pids()
    os.kill(running.state().pid, signal.SIGKILL)
    assert wait_until(lambda: all(is_gone(pid) for pid in after.values()), timeout_s=90)

    again = running.call("run", WAIT="1")
    assert again.returncode == 0, again.stdout + again.stderr
    pids = [*running.pids().values(), running.state().pid]
    assert running.call("stop").returncode == 0
    assert wait_until(lambda: all(is_gone(pid) for pid in pids), timeout_s=90)
    assert running.state().status == "stopped"


@pytest.mark.timeout(600)
def test_an_interrupt_stops_everything_in_order(place: Path) -> None:
    """Ctrl-C ends with exit code 0 and leaves nothing but the data."""
    checkout = _Checkout(place)
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "deploy.dev", "run"],
        cwd=ROOT,
        env=checkout.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )

    def is_ready() -> bool:
        state = checkout.directory.state()
        return state is not None and state.pid == supervisor.pid and state.status == "ready"

    try:
        assert wait_until(is_ready, timeout_s=_LONGEST_START_S)
        pids = list(checkout.pids().values())
        assert all(psutil.pid_exists(pid) for pid in pids)
        os.kill(supervisor.pid, signal.SIGINT)
        assert supervisor.wait(120) == 0
        assert all(is_gone(pid) for pid in pids)
        assert checkout.state().status == "stopped"
    finally:
        supervisor.kill()
        supervisor.wait()


def test_a_reset_never_touches_servers_that_are_not_ours(place: Path) -> None:
    """The master key stays when the data that it opens stay."""
    checkout = _Checkout(place)
    checkout.directory.prepare()
    key = checkout.directory.ensure_master_key().read_text()
    checkout.directory.release()
    done = checkout.call("run", RESET="1", NIGHTDESK_NATS_URL="nats://127.0.0.1:1")
    assert done.returncode == 1
    assert "RESET=1" in done.stdout
    assert checkout.directory.master_key_file.read_text() == key
