"""One service of the stack: started, asked whether it is ready, started again when it dies.

A service that keeps dying is tried again ever more slowly, never given up: what waits in the log
is worth more than a tidy process list.
"""

from __future__ import annotations

import http.client
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from deploy.dev.errors import StackError
from deploy.dev.ports import LOOPBACK, free_port
from deploy.dev.process import ChildProcess, ProcessSpec

_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 10.0
_STABLE_AFTER_S = 60.0
_REFUSED = 2


class ServiceProcess:
    """`python -m services.<service>` with its own health port and log file. `as_name`: what it is called when there are
    several of one service."""

    def __init__(
        self, service: str, *, env: Mapping[str, str], log: Path, as_name: str = ""
    ) -> None:
        self.name = as_name or service
        self.health_port = free_port()
        prefix = f"NIGHTDESK_{service.upper()}_HEALTH"
        own = {f"{prefix}_HOST": LOOPBACK, f"{prefix}_PORT": str(self.health_port)}
        self.spec = ProcessSpec(
            name=self.name,
            argv=[sys.executable, "-m", f"services.{service}"],
            log=log,
            env={**env, **own},
        )
        self._process: ChildProcess | None = None
        self._started_at = 0.0
        self._delay_s = _FIRST_DELAY_S
        self._restart_at: float | None = None

    @property
    def health_url(self) -> str:
        return f"http://{LOOPBACK}:{self.health_port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self.is_running and self._process else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running

    def start(self) -> None:
        """Start it; ready is another question."""
        self._process = ChildProcess.start(self.spec)
        self._started_at = time.monotonic()
        self._restart_at = None

    def why_not_ready(self) -> str | None:
        """None when `/readyz` says yes, else what it said."""
        connection = http.client.HTTPConnection(LOOPBACK, self.health_port, timeout=1)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            if answer.status == http.HTTPStatus.OK:
                return None
            return answer.read(500).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            return "its health port does not answer"
        finally:
            connection.close()

    def check_alive(self) -> None:
        """Raise StackError when it ended; used while the stack starts."""
        if self.is_running or self._process is None:
            return
        code = self._process.exit_code
        if code == _REFUSED:
            cause = "it refused to run with these settings, or against these servers"
            advice = "the log's last lines name them; RESET=1 make run begins with empty data"
        else:
            cause = f"it ended with exit code {code}"
            advice = "the log's last lines say why; this is a fault of ours, please report it"
        raise StackError(self.name, cause, advice=advice, log=self.spec.log)

    def watch(self) -> str | None:
        """Start it again when it is down and its delay is over; what is to be told, if anything."""
        now = time.monotonic()
        if self.is_running or self._process is None:
            return None
        if self._restart_at is None:
            if now - self._started_at > _STABLE_AFTER_S:
                self._delay_s = _FIRST_DELAY_S
            self._restart_at = now + self._delay_s
            told = (
                f"{self.name} ended with exit code {self._process.exit_code}; starting it again "
                f"in {self._delay_s:.1f} s (log: {self.spec.log})"
            )
            self._delay_s = min(self._delay_s * 2, _LONGEST_DELAY_S)
            return told
        if now < self._restart_at:
            return None
        self.start()
        return f"{self.name} started again"

    @property
    def exit_code(self) -> int | None:
        """None while it runs and before its first start; negative: the signal that killed it."""
        return self._process.exit_code if self._process else None

    def ask_to_stop(self) -> None:
        """SIGTERM: it drains and ends."""
        if self._process:
            self._process.send(signal.SIGTERM)

    def wait_stopped(self, timeout_s: float) -> bool:
        """Whether it drained in time; otherwise it was killed."""
        if self._process is None or self._process.wait(timeout_s):
            return True
        self._process.kill()
        return False

    def pause(self) -> None:
        """As a fault: connections stay open; once this returns nothing is answered."""
        if self._process:
            self._process.pause()

    def resume(self) -> None:
        """It goes on where it was paused."""
        if self._process:
            self._process.resume()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal as a fault; with SIGKILL wait until it is gone."""
        if self._process is None:
            return
        if number == signal.SIGKILL:
            self._process.kill()
        else:
            self._process.send(number)
