"""The embedded PostgreSQL server: start, readiness, end. Loopback TCP with passwords only.

`fsync` and `synchronous_commit` are on unless a test says otherwise: a checkpoint that a power loss
takes back behind what was acknowledged would be a lie. Statements never reach its log, because
they hold what belongs to people.
"""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import msgspec
import psutil

from deploy.dev.errors import StackError
from deploy.dev.ports import LOOPBACK, free_port
from deploy.dev.postgres_cluster import (
    OWNER,
    SUPERUSER,
    Cluster,
    make_cluster,
    server_environment,
)
from deploy.dev.process import ChildProcess, ProcessSpec, is_gone, kill_tree, wait_until
from deploy.dev.server_start import Starting, on_some_port, start_server


class PostgresSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`directory` holds the passwords and, where its user can enter, the data."""

    directory: Path
    log: Path
    host: str = LOOPBACK
    port: int = 0
    durable: bool = True
    # Crash recovery after a kill -9 replays up to a gigabyte of log.
    start_timeout_s: float = 60.0


class PostgresServer:
    """One server on one directory. `start` after `kill` recovers and keeps its port."""

    def __init__(self, settings: PostgresSettings) -> None:
        self.settings = settings
        self.port = settings.port
        self._cluster: Cluster | None = None
        self._process: ChildProcess | None = None

    def url(self, database: str = OWNER, *, superuser: bool = False) -> str:
        """The address of a database, password included: keep it out of logs."""
        if self._cluster is None:
            raise StackError("PostgreSQL", "it was never started", advice="call start first")
        role = SUPERUSER if superuser else OWNER
        return (
            f"postgresql://{role}:{self._cluster.passwords[role]}"
            f"@{self.settings.host}:{self.port}/{database}"
        )

    @property
    def data_directory(self) -> Path:
        """Where the data lie: not under `settings.directory` when its user can't enter there."""
        if self._cluster is None:
            raise StackError("PostgreSQL", "it was never started", advice="call start first")
        return self._cluster.data

    @property
    def pid(self) -> int | None:
        return self._process.pid if self.is_running and self._process else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running

    def start(self) -> None:
        """Make the cluster if need be, start, wait until it takes connections. Raises StackError."""
        if self.is_running:
            return
        settings = self.settings
        self._cluster = make_cluster(settings.directory, log=settings.log, durable=settings.durable)
        _end_orphan(self._cluster.data)
        cluster = self._cluster
        self._process = on_some_port(lambda: self._start_once(cluster))

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, a checkpoint is written."""
        if self._process:
            self._process.stop(signal.SIGINT, signal.SIGQUIT, timeout_s=15)

    def kill(self) -> None:
        """SIGKILL to the postmaster and every backend, as a crash of the machine would."""
        if self._process:
            self._process.kill()

    def pause(self) -> None:
        """The postmaster alone: once this returns there are no new connections; open ones go on."""
        if self._process:
            self._process.pause()

    def resume(self) -> None:
        if self._process:
            self._process.resume()

    def _start_once(self, cluster: Cluster) -> ChildProcess:
        settings = self.settings
        self.port = free_port(self.port or None)
        return start_server(
            ProcessSpec(
                name="postgres",
                argv=[str(cluster.binaries / "postgres"), "-D", str(cluster.data)]
                + [f"--{name}={value}" for name, value in self._options().items()],
                log=settings.log,
                env=server_environment(),
                user=cluster.user,
                # Fast shutdown; SIGTERM would wait for every client to leave.
                death_signal=signal.SIGINT,
            ),
            Starting(
                title="PostgreSQL",
                taken="could not create any TCP/IP sockets",
                unready="it took no connections",
                timeout_s=settings.start_timeout_s,
            ),
            lambda process: _is_ready(cluster.data, process.pid),
        )

    def _options(self) -> dict[str, str]:
        durable = "on" if self.settings.durable else "off"
        return {
            "listen_addresses": self.settings.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "max_wal_size": "1GB",
            # What is read is in memory or on a disk without a head: an index is worth it sooner than by default.
            "random_page_cost": "1.1",
            "fsync": durable,
            # The store refuses to run without; it costs nothing while fsync is off.
            "synchronous_commit": "on",
            "full_page_writes": durable,
            # Short statements only: compiling them costs more than running them.
            "jit": "off",
            "timezone": "UTC",
            "password_encryption": "scram-sha-256",
            "log_line_prefix": "%m [%p] ",
            "log_statement": "none",
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
        }


def _is_ready(data: Path, pid: int) -> bool:
    """The server writes its state into the eighth line of its pid file; pg_ctl reads it too."""
    with contextlib.suppress(OSError, ValueError):
        lines = (data / "postmaster.pid").read_text().splitlines()
        return len(lines) >= 8 and int(lines[0]) == pid and lines[7].strip() == "ready"
    return False


def _end_orphan(data: Path) -> None:
    """A pid file without our supervisor: end that server if it is one, else forget the file.

    A pid that now belongs to another program would make PostgreSQL refuse to start for ever.
    """
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().splitlines()[0])
        process = psutil.Process(pid)
        is_ours = process.name() == "postgres" and str(data) in process.cmdline()
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        return
    if not is_ours:
        pid_file.unlink(missing_ok=True)
        return
    process.send_signal(signal.SIGINT)
    if not wait_until(lambda: is_gone(pid), timeout_s=15):
        kill_tree(pid)
        wait_until(lambda: is_gone(pid), timeout_s=5)
