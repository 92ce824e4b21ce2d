"""A service is watched: ready when it says so, started again when it dies, drained when asked to."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from deploy.dev.errors import StackError
from deploy.dev.process import wait_until
from deploy.dev.service_process import ServiceProcess

# Answers /readyz with yes, drains on SIGTERM only when it is told to, and can refuse to run.
_SERVICE = """
import http.server, os, signal, sys

if os.environ["BEHAVIOUR"] == "refuse":
    print("a setting is wrong")
    sys.exit(2)
stop = signal.SIG_IGN if os.environ["BEHAVIOUR"] == "hang" else lambda *_: os._exit(0)
signal.signal(signal.SIGTERM, stop)

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

port = int(os.environ["NIGHTDESK_STORE_HEALTH_PORT"])
http.server.HTTPServer(("127.0.0.1", port), Ready).serve_forever()
"""


@pytest.fixture
def made(tmp_path: Path) -> Iterator[list[ServiceProcess]]:
    """Services of this test; killed at its end."""
    services: list[ServiceProcess] = []
    yield services
    for service in services:
        service.kill()


def _start(made: list[ServiceProcess], place: Path, behaviour: str = "serve") -> ServiceProcess:
    environment = {**os.environ, "BEHAVIOUR": behaviour}
    service = ServiceProcess("store", env=environment, log=place / "store.log")
    service.spec = msgspec.structs.replace(service.spec, argv=[sys.executable, "-c", _SERVICE])
    made.append(service)
    service.start()
    return service


def _is_ready(service: ServiceProcess) -> bool:
    return wait_until(lambda: service.why_not_ready() is None, timeout_s=60)


def test_a_killed_service_is_told_of_and_started_again(
    made: list[ServiceProcess], tmp_path: Path
) -> None:
    """A crash at night costs half a second, and the terminal says so."""
    service = _start(made, tmp_path)
    assert _is_ready(service)
    assert service.watch() is None
    first = service.pid
    service.kill()
    told = service.watch()
    assert told is not None
    assert "exit code -9" in told
    assert wait_until(lambda: service.watch() == "store started again", timeout_s=60)
    assert service.pid not in (None, first)
    assert _is_ready(service)


def test_a_service_that_keeps_dying_is_tried_ever_more_slowly(
    made: list[ServiceProcess], tmp_path: Path
) -> None:
    """A broken service must not eat the machine, but is never given up."""
    service = _start(made, tmp_path, "refuse")
    told: list[str] = []

    def has_waited_twice() -> bool:
        text = service.watch()
        if text and "in" in text:
            told.append(text)
        return sum("starting it again" in text for text in told) == 2

    assert wait_until(has_waited_twice, timeout_s=60)
    assert "in 0.5 s" in told[0]
    assert any("in 1.0 s" in text for text in told)


def test_a_refusal_at_the_start_is_told_with_its_log(
    made: list[ServiceProcess], tmp_path: Path
) -> None:
    """A bad setting stops the start at once instead of a time-out later."""
    service = _start(made, tmp_path, "refuse")
    assert wait_until(lambda: not service.is_running, timeout_s=60)
    with pytest.raises(StackError, match="refused to run") as caught:
        service.check_alive()
    assert caught.value.log == service.spec.log
    assert service.spec.log.read_text() == "a setting is wrong\n"


def test_a_service_that_does_not_drain_is_killed(
    made: list[ServiceProcess], tmp_path: Path
) -> None:
    """An ordered stop ends in bounded time."""
    service = _start(made, tmp_path, "hang")
    assert _is_ready(service)
    service.ask_to_stop()
    assert not service.wait_stopped(0.2)
    assert not service.is_running


def test_a_service_that_drains_is_left_to_it(made: list[ServiceProcess], tmp_path: Path) -> None:
    """Nothing accepted is lost by impatience."""
    service = _start(made, tmp_path)
    assert _is_ready(service)
    service.kill(signal.SIGTERM)
    assert service.wait_stopped(60)
