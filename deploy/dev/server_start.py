"""What the embedded servers have in common: a start that is waited for, on a port that may have been taken."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from pathlib import Path

import msgspec

from deploy.dev.errors import PortTaken, StackError
from deploy.dev.process import ChildProcess, ProcessSpec, tail, wait_until

_TRIES = 3


class Starting(msgspec.Struct, frozen=True, kw_only=True):
    """`title`: what people call the server. `taken`: what it says of a port that is in use. `unready`: what it failed
    to do when the time is over."""

    title: str
    taken: str
    unready: str
    timeout_s: float


def start_server(
    spec: ProcessSpec, starting: Starting, is_ready: Callable[[ChildProcess], bool]
) -> ChildProcess:
    """Start it once and wait until it is ready. Raises PortTaken, StackError; then nothing runs."""
    written_before = spec.log.stat().st_size if spec.log.exists() else 0
    process = ChildProcess.start(spec)
    try:
        ended_or_ready = wait_until(
            lambda: not process.is_running or is_ready(process), timeout_s=starting.timeout_s
        )
    except BaseException:
        # Ctrl-C while it starts: nobody else knows of it yet.
        process.kill()
        raise
    if ended_or_ready and process.is_running:
        return process
    process.kill()
    if starting.taken in _said_since(spec.log, written_before):
        raise PortTaken(starting.title, "its port was taken", advice="try again", log=spec.log)
    raise StackError(
        starting.title,
        (tail(spec.log, lines=1) or ["it ended without a word"])[0]
        if ended_or_ready
        else f"{starting.unready} within {starting.timeout_s:.0f} s",
        advice="read the log lines above; RESET=1 make run starts with empty data",
        log=spec.log,
    )


def on_some_port(start: Callable[[], ChildProcess]) -> ChildProcess:
    """Start again when somebody else took the port between choosing and using it."""
    for _ in range(_TRIES - 1):
        try:
            return start()
        except PortTaken:
            continue
    return start()


def is_healthy(host: str, port: int, path: str = "/healthz") -> bool:
    """Whether a server answers 200 there within a second."""
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _said_since(log: Path, offset: int) -> str:
    with log.open("rb") as file:
        file.seek(offset)
        return file.read().decode("utf-8", "replace")
