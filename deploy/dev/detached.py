"""`WAIT=1 make run` and `make stop`: a supervisor without a terminal, and how it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from deploy.dev.errors import StackError
from deploy.dev.os_user import make_enterable
from deploy.dev.process import is_gone, wait_until
from deploy.dev.progress import Screen
from deploy.dev.run_directory import RunDirectory

# Services drain up to 15 s twice, servers stop within 15 s each.
_STOP_TIMEOUT_S = 75.0
_START_TIMEOUT_S = 300.0


def start_detached(directory: RunDirectory, *, is_reset: bool) -> int:
    """Start a supervisor in a session of its own, show what it writes until it is ready."""
    if directory.is_held():
        directory.prepare()
    log = directory.path / "supervisor.log"
    try:
        make_enterable(directory.path)
        output = log.open("wb")
    except OSError as err:
        raise StackError(
            "data directory",
            f"{directory.path} can't be written: {err.strerror}",
            advice="make it writable, or name another directory in NIGHTDESK_RUN_DIR",
        ) from err
    more = ["--reset"] if is_reset else []
    with output:
        child = subprocess.Popen(
            [sys.executable, "-m", "deploy.dev", "run", "--detached", *more],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "WAIT": "", "RESET": "", "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    try:
        with log.open("rb") as shown:

            def is_settled() -> bool:
                sys.stdout.buffer.write(shown.read())
                sys.stdout.flush()
                state = directory.state()
                is_ready = state is not None and state.pid == child.pid and state.status == "ready"
                return child.poll() is not None or is_ready

            wait_until(is_settled, timeout_s=_START_TIMEOUT_S)
            sys.stdout.buffer.write(shown.read())
            sys.stdout.flush()
    except KeyboardInterrupt:
        child.send_signal(signal.SIGTERM)
        child.wait(_STOP_TIMEOUT_S)
        return 130
    return 0 if child.poll() is None else child.returncode or 1


def stop(directory: RunDirectory, screen: Screen) -> int:
    """End the running supervisor in order; also what a killed one may have left behind."""
    state = directory.state()
    if not directory.is_held() or state is None:
        left = directory.end_leftovers()
        screen.say(f"ended what was left: {', '.join(left)}" if left else "nothing is running")
        return 0
    with screen.step("stopped") as step:
        step.note = "the data stay; RESET=1 make run begins anew"
        os.kill(state.pid, signal.SIGTERM)
        if not wait_until(lambda: is_gone(state.pid), timeout_s=_STOP_TIMEOUT_S):
            raise StackError(
                "supervisor",
                f"process {state.pid} did not end within {_STOP_TIMEOUT_S:.0f} s",
                advice=f"look into {directory.logs}, then kill -9 {state.pid}",
            )
    return 0
