"""One child process: started in a session of its own, with its output in a file, stopped in order.

A session of its own keeps the terminal's Ctrl-C away, so that services drain before servers stop.
On Linux the kernel signals the child when the thread that started it ends, so nothing outlives a
killed supervisor; therefore children are started from the main thread only, never from a pool.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import psutil

from deploy.dev.errors import StackError
from deploy.dev.os_user import OsUser

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.01
_FREEZE_S = 10.0
_PROC = Path("/proc")


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What to start. `death_signal` is what the child gets when its supervisor dies."""

    name: str
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str]
    user: OsUser | None = None
    death_signal: int = signal.SIGTERM


class ChildProcess:
    """A started process. Create it with `start`; every other method may be called at any time."""

    def __init__(self, spec: ProcessSpec, popen: subprocess.Popen[bytes]) -> None:
        self.spec = spec
        self.pid = popen.pid
        self._popen = popen

    @classmethod
    def start(cls, spec: ProcessSpec) -> ChildProcess:
        """Start it; output is appended to the log. Raises OSError when it can't be executed."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "children are started from the main thread: see the module docstring"
            )
        user = spec.user
        with spec.log.open("ab") as output:
            popen = subprocess.Popen(
                list(spec.argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(spec.env),
                # The dropped user may not be able to enter the directory that make was called in.
                cwd="/" if user else None,
                start_new_session=True,
                user=user.uid if user else None,
                group=user.gid if user else None,
                extra_groups=[] if user else None,
                # Only the main thread runs here, and the function touches no Python lock.
                preexec_fn=_death_signal(spec.death_signal),  # noqa: PLW1509
            )
        return cls(spec, popen)

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative numbers are signals."""
        return self._popen.poll()

    @property
    def is_running(self) -> bool:
        return self.exit_code is None

    def send(self, number: int) -> None:
        """Send a signal; a process that is gone already is fine."""
        with contextlib.suppress(ProcessLookupError):
            self._popen.send_signal(number)

    def pause(self) -> None:
        """Stop it where it is, as `freeze` does; `resume` lets it go on."""
        if self.is_running:
            freeze(self.pid)

    def resume(self) -> None:
        """SIGCONT."""
        self.send(signal.SIGCONT)

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within the time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout_s)
            return True
        return False

    def stop(self, *signals: int, timeout_s: float) -> None:
        """Send each signal in turn, giving each its time, and SIGKILL at the end."""
        for number in signals:
            self.send(number)
            if self.wait(timeout_s):
                return
        self.kill()

    def kill(self) -> None:
        """SIGKILL to it and everything that it started, and wait until they are gone."""
        if self.is_running:
            kill_tree(self.pid)
        self._popen.wait()


def freeze(*pids: int) -> None:
    """SIGSTOP, and wait until every thread of these processes stands still. Raises StackError.

    The signal alone promises nothing: each thread goes on until the kernel comes to it, and a server of several
    threads answers meanwhile.
    """
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    if not wait_until(lambda: all(map(_stands_still, pids)), timeout_s=_FREEZE_S):
        raise StackError(
            "SIGSTOP",
            f"a process still ran after {_FREEZE_S:.0f} s",
            advice="a thread of it waits for a disk that does not answer",
        )


def _stands_still(pid: int) -> bool:
    """Whether no thread of it runs any more; what has ended does not."""
    if not sys.platform.startswith("linux"):
        return is_gone(pid) or bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    for stat in _PROC.glob(f"{pid}/task/*/stat"):
        # A thread may end between its being listed and its being read.
        with contextlib.suppress(OSError):
            # After the name, which may hold anything, parentheses too.
            state = stat.read_bytes().rpartition(b")")[2].split()[0]
            if state not in b"TtZX":
                return False
    return True


def kill_tree(pid: int) -> None:
    """SIGKILL a process and its descendants; PostgreSQL's are in sessions of their own."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    wait_until(lambda: all(is_gone(member.pid) for member in family), timeout_s=5)


def is_gone(pid: int) -> bool:
    """Whether it ended; a zombie did, only its parent has not looked yet (nor may ever)."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def wait_until(is_done: Callable[[], bool], *, timeout_s: float) -> bool:
    """Ask every few milliseconds until it is so or the time is over."""
    deadline = time.monotonic() + timeout_s
    while not is_done():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def tail(log: Path, *, lines: int = 15) -> list[str]:
    """The last lines of a log file; none when there is no such file."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 200 * lines - 4096))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return text.splitlines()[-lines:]


def _death_signal(number: int) -> Callable[[], None] | None:
    """What the child runs before exec. Linux only: elsewhere orphans are found on the next start."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def ask_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            # The supervisor died between fork and prctl: nobody would ever send the signal.
            os._exit(1)

    return ask_kernel
