"""`make run`: start the parts in order, show it, keep them running, stop them in order.

Lifecycle: start → watch until a signal → drain services → stop servers → keep the data, exit 0.
Never: a part left running behind a failure, a step that fails in silence, a second signal ignored.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from types import FrameType

from deploy.dev.errors import StackError
from deploy.dev.progress import Screen
from deploy.dev.run_directory import RunDirectory
from deploy.dev.stack import Stack, existing_services

_LOOK_EVERY_S = 0.2


class Supervisor:
    """One run, from start to exit code."""

    def __init__(
        self, directory: RunDirectory, screen: Screen, *, is_detached: bool = False
    ) -> None:
        self.directory = directory
        self.screen = screen
        self.stack = Stack(directory)
        self._is_detached = is_detached
        self._is_stopping = False
        self._told: list[str] = []

    def run(self, *, is_reset: bool) -> int:
        """The exit code: 0 after an ordered stop, 1 when a step failed."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        is_started = False
        try:
            self.directory.prepare()
            is_started = True
            self._start(is_reset=is_reset)
            self._watch()
        except StackError as error:
            self.screen.explain(error)
            return 1
        except OSError as error:
            advice = "is the disk full, or something not readable?"
            self.screen.explain(StackError("file system", str(error), advice=advice))
            return 1
        except KeyboardInterrupt:
            return 0
        finally:
            if is_started:
                self._stop()
        return 0

    def _start(self, *, is_reset: bool) -> None:
        left = self.directory.end_leftovers()
        if left:
            self.screen.say(f"ended what a killed run left behind: {', '.join(left)}")
        if is_reset:
            self._check_reset()
            with self.screen.step("empty data"):
                self.directory.wipe()
        self._start_servers()
        with self.screen.step("migrations") as step:
            step.note = _last(self.stack.run_command("migrate"))
        names = existing_services()
        for name in names:
            self.stack.start_service(name)
        self._record("starting")
        for name in names:
            with self.screen.step(name) as step:
                self._wait_ready(name)
                step.note = self.stack.gateway_url if name == "gateway" else ""
        with self.screen.step("demo account"):
            self._told = self.stack.run_command("seed")
        with self.screen.step("self-check"):
            checked = self.stack.run_command("selfcheck")
        self._show(checked)
        self._record("ready")
        # Only now: nobody needs them yet, and each takes a second of a core to start.
        self.stack.start_standbys()
        self._record("ready")

    def _wait_ready(self, name: str) -> None:
        try:
            self.stack.wait_ready(name)
        except StackError:
            # Between our look at the port and the gateway's bind lie seconds on a busy machine.
            if name != "gateway" or not self.stack.move_gateway(dict(os.environ)):
                raise
            self.stack.wait_ready(name)

    def _check_reset(self) -> None:
        """The key that opens somebody's own database must not go with the embedded data."""
        if os.environ.get("NIGHTDESK_NATS_URL") or os.environ.get("NIGHTDESK_DATABASE_URL"):
            raise StackError(
                "servers",
                "RESET=1 empties the embedded servers only, and others are set",
                advice="unset NIGHTDESK_NATS_URL and NIGHTDESK_DATABASE_URL, or leave RESET away",
            )

    def _start_servers(self) -> None:
        environ = dict(os.environ)
        if self.stack.find_external(environ):
            self.screen.say("using the servers of NIGHTDESK_NATS_URL and NIGHTDESK_DATABASE_URL")
        else:
            with self.screen.step("nats-server") as step:
                step.note = f"127.0.0.1:{self.stack.start_nats().port}"
            with self.screen.step("PostgreSQL") as step:
                step.note = f"127.0.0.1:{self.stack.start_postgres().port}"
        self.stack.prepare_environment(environ)
        self._record("starting")

    def _show(self, checked: list[str]) -> None:
        print_ = self.screen.console.print
        for title, lines in (("demo account", self._told), ("self-check", checked)):
            print_(f"\n  [bold]{title}[/bold]")
            for line in lines:
                print_(f"  {line}", markup=False)
        state = self.stack.state("ready", pid=os.getpid())
        self.screen.table(
            f"  Nightdesk is ready after {self.screen.elapsed_s():.1f} s",
            [
                ("  gateway", state.gateway_url),
                ("  WebSocket", state.ws_url),
                ("  API documents", f"{state.gateway_url}/api/v1/openapi.json"),
                ("  monitoring of NATS", state.nats_monitor_url),
                ("  all addresses", f"{self.directory.path / 'state.json'} (holds passwords)"),
                ("  logs", str(self.directory.logs)),
            ],
        )
        how = "make stop" if self._is_detached else "Ctrl-C (or make stop)"
        print_(f"\n  {how} ends everything and keeps the data.\n")

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_EVERY_S)
            told = [*self._watch_servers(), *self._watch_services(), *self._watch_standbys()]
            for text in told:
                self.screen.say(text)
            if told:
                self._record("ready")

    def _watch_servers(self) -> list[str]:
        told = []
        for name, server in (("nats-server", self.stack.nats), ("PostgreSQL", self.stack.postgres)):
            if server and not server.is_running:
                self.screen.say(f"{name} ended by itself; starting it again")
                server.start()
                told.append(f"{name} started again on port {server.port}")
        return told

    def _watch_services(self) -> list[str]:
        return [text for part in self.stack.services.values() if (text := part.watch())]

    def _watch_standbys(self) -> list[str]:
        came = self.stack.arrived_standbys()
        return [f"standing by from now on: {', '.join(came)}"] if came else []

    def _record(self, status: str) -> None:
        self.directory.write_state(self.stack.state(status, pid=os.getpid()))

    def _stop(self) -> None:
        self._is_stopping = True
        if self.stack.services:
            with self.screen.step("services drained") as step:
                killed = self.stack.stop_services()
                step.note = f"killed after waiting: {', '.join(killed)}" if killed else ""
        if self.stack.nats:
            with self.screen.step("servers stopped"):
                self.stack.stop_servers()
        # On a full disk the state of yesterday stays; the lock tells that nothing runs.
        with contextlib.suppress(OSError):
            self._record("stopped")

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if not self._is_stopping:
            self._is_stopping = True
            raise KeyboardInterrupt
        if number == signal.SIGINT:
            # The second Ctrl-C of somebody who does not want to wait for the drain.
            self.stack.kill()
            os._exit(130)


def _last(lines: list[str]) -> str:
    return lines[-1] if lines else ""
