"""What lies under `.run/`: data, logs, secrets, and the state file by which tools find the stack.

One supervisor at a time holds the lock; the kernel lets go of it however the supervisor ends, so a
stale file never blocks a start. The state file holds passwords in addresses: mode 0600.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from pathlib import Path

import msgspec
import psutil

from deploy.dev.errors import StackError
from deploy.dev.os_user import make_enterable
from deploy.dev.postgres_cluster import wipe_cluster
from deploy.dev.process import kill_tree
from deploy.dev.secret_files import write_private

ROOT = Path(__file__).resolve().parents[2]
_KEPT_LOGS = 3


class RunningProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A process of the stack. `created` tells it from a later one with the same pid."""

    name: str
    pid: int
    created: float


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `.run/state.json`; what is not known yet is empty."""

    status: str
    pid: int
    processes: list[RunningProcess] = []
    gateway_url: str = ""
    ws_url: str = ""
    nats_url: str = ""
    nats_monitor_url: str = ""
    database_url: str = ""
    master_key_file: str = ""
    health_urls: dict[str, str] = {}


class RunDirectory:
    """Paths and files of one stack. Nothing is created before `prepare`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logs = path / "logs"
        self.master_key_file = path / "master.key"
        self._state_file = path / "state.json"
        self._lock: int | None = None

    def prepare(self) -> None:
        """Make the directories and take the lock. Raises StackError when another holds it."""
        try:
            # Others may enter but not list: PostgreSQL's user reaches its data through here.
            make_enterable(self.path)
            make_enterable(self.logs)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            write_private(self.path / "writable", b"")
            (self.path / "writable").unlink()
        except OSError as err:
            raise StackError(
                "data directory",
                f"{self.path} can't be written: {err.strerror}",
                advice="make it writable, or name another directory in NIGHTDESK_RUN_DIR",
            ) from err
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            state = self.state()
            where = f" at {state.gateway_url}" if state and state.gateway_url else ""
            raise StackError(
                "Nightdesk",
                f"it is running already{where}",
                advice="make stop ends it",
            ) from err

    def release(self) -> None:
        """Let go of the lock; the end of the process does it, too."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def is_held(self) -> bool:
        """Whether a supervisor holds the lock now."""
        try:
            probe = os.open(self.path / "lock", os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        else:
            return False
        finally:
            os.close(probe)

    def wipe(self) -> None:
        """Empty data: what we made, by name; a directory of somebody's choice may hold more."""
        wipe_cluster(self.path / "postgres")
        for name in ("nats", "logs"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for file in (self.master_key_file, self._state_file):
            file.unlink(missing_ok=True)
        make_enterable(self.logs)

    def state(self) -> RunState | None:
        """What the last supervisor wrote; None when there is nothing that can be read."""
        try:
            return msgspec.json.decode(self._state_file.read_bytes(), type=RunState)
        except (OSError, msgspec.DecodeError):
            return None

    def write_state(self, state: RunState) -> None:
        content = msgspec.json.format(msgspec.json.encode(state), indent=2)
        write_private(self._state_file, content + b"\n")

    def end_leftovers(self) -> list[str]:
        """Kill what a dead supervisor left behind where the kernel did not; the names of it."""
        state = self.state()
        ended = []
        for process in state.processes if state else []:
            try:
                is_same = abs(psutil.Process(process.pid).create_time() - process.created) < 0.1
            except psutil.Error:
                continue
            if is_same:
                kill_tree(process.pid)
                ended.append(process.name)
        return ended

    def log(self, name: str) -> Path:
        """The log file of a part; the one of the start before is kept as `.1`, and so on."""
        newest = self.logs / f"{name}.log"
        for number in range(_KEPT_LOGS - 1, 0, -1):
            older = newest.with_suffix(f".log.{number}")
            if older.exists():
                older.replace(newest.with_suffix(f".log.{number + 1}"))
        if newest.exists():
            newest.replace(newest.with_suffix(".log.1"))
        return newest

    def ensure_master_key(self) -> Path:
        """The master key's file: 64 hex digits, made once. Without it nothing can be read again."""
        if not self.master_key_file.exists():
            write_private(self.master_key_file, secrets.token_hex(32).encode() + b"\n")
        return self.master_key_file


def process_record(name: str, pid: int) -> RunningProcess | None:
    """What is kept of a running process; None when it ended meanwhile."""
    try:
        return RunningProcess(name=name, pid=pid, created=psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None
