"""Nothing outlives a supervisor that was killed, and a next start finds its data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from deploy.dev.postgres_cluster import wipe_cluster
from deploy.dev.process import is_gone, wait_until
from deploy.dev.run_directory import ROOT, RunDirectory
from deploy.dev.stack import Stack

_SUPERVISOR = """
import sys
from pathlib import Path
from deploy.dev.run_directory import RunDirectory
from deploy.dev.stack import Stack

directory = RunDirectory(Path(sys.argv[1]))
directory.prepare()
stack = Stack(directory)
print(stack.start_nats().pid, stack.start_postgres().pid, flush=True)
sys.stdin.read()
"""


def test_servers_end_with_a_killed_supervisor(server_directory: Path) -> None:
    """SIGKILL of the supervisor leaves no nats-server and no PostgreSQL behind."""
    place = server_directory / "killed"
    supervisor = subprocess.Popen(
        [sys.executable, "-c", _SUPERVISOR, str(place)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert supervisor.stdout is not None
    assert supervisor.stdin is not None
    pids = [int(text) for text in supervisor.stdout.readline().split()]
    try:
        assert all(psutil.pid_exists(pid) for pid in pids)
        supervisor.kill()
        supervisor.wait(60)
        assert wait_until(lambda: all(is_gone(pid) for pid in pids), timeout_s=60)
    finally:
        supervisor.stdout.close()
        supervisor.stdin.close()
    successor = RunDirectory(place)
    successor.prepare()
    stack = Stack(successor)
    try:
        assert stack.start_nats().is_running
        assert stack.start_postgres().is_running
    finally:
        stack.kill()
        wipe_cluster(place / "postgres")
