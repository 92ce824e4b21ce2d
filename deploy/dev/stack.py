"""The parts of a running stack and their order: servers, migrations, services; stopped backwards.

Used by the supervisor and by the end-to-end tests. It prints nothing and watches nothing.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from deploy.dev.addresses import (
    ServerAddresses,
    external_servers,
    gateway_port,
    service_environment,
)
from deploy.dev.errors import StackError
from deploy.dev.nats_server import USERS as NATS_USERS
from deploy.dev.nats_server import NatsServer, NatsSettings
from deploy.dev.os_user import make_enterable
from deploy.dev.ports import is_free
from deploy.dev.postgres_server import PostgresServer, PostgresSettings
from deploy.dev.process import tail, wait_until
from deploy.dev.run_directory import ROOT, RunDirectory, RunningProcess, RunState, process_record
from deploy.dev.service_process import ServiceProcess

# The gateway first: when the stack stops it lets clients go while the others still work.
SERVICES = ("gateway", "presence", "store", "dispatcher")
# A second process takes over within 2 s of the first one's death; to start one anew takes three times as long.
_STANDBYS = ("presence", "store", "dispatcher")
_READY_TIMEOUT_S = 30.0
_DRAIN_TIMEOUT_S = 15.0
_COMMAND_TIMEOUT_S = 120.0


class Stack:
    """One set of parts on one run directory. Call the `start_…` methods in their order, once."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        self.nats: NatsServer | None = None
        self.postgres: PostgresServer | None = None
        self.servers: ServerAddresses | None = None
        self.services: dict[str, ServiceProcess] = {}
        self.environment: dict[str, str] = {}
        self.gateway_url = ""
        self._coming: list[str] = []

    def find_external(self, environ: dict[str, str]) -> bool:
        """Whether the caller's own servers are used; then the `start_` of servers is not called."""
        self.servers = external_servers(environ)
        return self.servers is not None

    def start_nats(self) -> NatsServer:
        """Start the embedded nats-server on the port of the last run, if that is free."""
        last = self.directory.state()
        self.nats = NatsServer(
            NatsSettings(
                directory=self.directory.path / "nats",
                log=self.directory.log("nats-server"),
                port=_port_of(last.nats_url) if last else 0,
                monitor_port=_port_of(last.nats_monitor_url) if last else 0,
            )
        )
        self.nats.start()
        return self.nats

    def start_postgres(self) -> PostgresServer:
        """Start the embedded PostgreSQL on the port of the last run, if that is free."""
        last = self.directory.state()
        directory = make_enterable(self.directory.path / "postgres")
        self.postgres = PostgresServer(
            PostgresSettings(
                directory=directory,
                log=self.directory.log("postgres"),
                port=_port_of(last.database_url) if last else 0,
            )
        )
        self.postgres.start()
        return self.postgres

    def prepare_environment(self, environ: dict[str, str]) -> None:
        """What services and commands are told; needs the servers."""
        if self.servers is None:
            if self.nats is None or self.postgres is None:
                raise RuntimeError("the servers are started first")
            self.servers = ServerAddresses(
                nats_url=self.nats.url,
                nats_monitor_url=self.nats.monitor_url,
                database_url=self.postgres.url(),
            )
        key_file = environ.get("NIGHTDESK_MASTER_KEY_FILE", "")
        port = gateway_port(environ)
        self.gateway_url = f"http://127.0.0.1:{port}"
        self.environment = service_environment(
            environ,
            self.servers,
            master_key_file=Path(key_file) if key_file else self.directory.ensure_master_key(),
            gateway=port,
        )

    def move_gateway(self, environ: dict[str, str]) -> bool:
        """Start it on another port; False when its port is not why it ended, or was asked for."""
        port = urlsplit(self.gateway_url).port
        if environ.get("NIGHTDESK_GATEWAY_PORT") or port is None or is_free(port):
            return False
        self.prepare_environment(environ)
        del self.services["gateway"]
        self.start_service("gateway")
        return True

    def start_service(self, name: str, *, as_name: str = "") -> ServiceProcess:
        """Start a service; `wait_ready` tells when it can be used. `as_name`: one more process of it."""
        key = as_name or name
        service = self.services.get(key)
        if service is None:
            environment = dict(self.environment)
            if self.nats and name in NATS_USERS:
                # Each under its own name, with what that service may do and nothing more.
                environment["NIGHTDESK_NATS_URL"] = self.nats.url_of(name)
            log = self.directory.log(key)
            service = ServiceProcess(name, env=environment, log=log, as_name=as_name)
            self.services[key] = service
        service.start()
        return service

    def start_standbys(self) -> None:
        """Start a second process of each running service that can take over from the first."""
        for name in [name for name in _STANDBYS if name in self.services]:
            self._coming.append(f"{name}-2")
            self.start_service(name, as_name=f"{name}-2")

    def arrived_standbys(self) -> list[str]:
        """Those that became ready since the last call."""
        came = [name for name in self._coming if self.services[name].why_not_ready() is None]
        self._coming = [name for name in self._coming if name not in came]
        return came

    def wait_ready(self, name: str, *, timeout_s: float = _READY_TIMEOUT_S) -> None:
        """Wait for `/readyz`. Raises StackError when it ends or stays unready."""
        service = self.services[name]
        said: list[str] = []

        def is_ready() -> bool:
            service.check_alive()
            why_not = service.why_not_ready()
            said[:] = [why_not] if why_not else []
            return why_not is None

        if not wait_until(is_ready, timeout_s=timeout_s):
            raise StackError(
                name,
                f"not ready after {timeout_s:.0f} s: {''.join(said)}",
                advice="its log and the part that it waits for say more",
                log=service.spec.log,
            )

    def run_command(self, *arguments: str) -> list[str]:
        """Run a `nightdesk` command to its end; its lines. Raises StackError when it fails."""
        name = arguments[0]
        log = self.directory.log(name)
        with log.open("wb") as output:
            try:
                done = subprocess.run(
                    [sys.executable, "-m", "cli", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=self.environment,
                    cwd=ROOT,
                    timeout=_COMMAND_TIMEOUT_S,
                    check=False,
                )
                cause = f"nightdesk {name} ended with exit code {done.returncode}"
                has_failed = done.returncode != 0
            except subprocess.TimeoutExpired:
                cause, has_failed = f"nightdesk {name} took over {_COMMAND_TIMEOUT_S:.0f} s", True
        if has_failed:
            raise StackError(name, cause, advice="the lines above say what it met", log=log)
        return tail(log, lines=200)

    def state(self, status: str, *, pid: int) -> RunState:
        """What is written for the tools that look for the stack."""
        servers = self.servers
        return RunState(
            status=status,
            pid=pid,
            processes=list(self._records()),
            gateway_url=self.gateway_url,
            ws_url=f"ws{self.gateway_url.removeprefix('http')}/ws" if self.gateway_url else "",
            nats_url=servers.nats_url if servers else "",
            nats_monitor_url=servers.nats_monitor_url if servers else "",
            database_url=servers.database_url if servers else "",
            master_key_file=self.environment.get("NIGHTDESK_MASTER_KEY_FILE", ""),
            # Nobody waits for a standby, so until it came it is not missing either.
            health_urls={
                name: part.health_url
                for name, part in self.services.items()
                if name not in self._coming
            },
        )

    def stop_services(self) -> list[str]:
        """Drain the gateway, then the rest; the names of those that had to be killed."""
        others = [part for name, part in self.services.items() if name != "gateway"]
        gateways = [part for name, part in self.services.items() if name == "gateway"]
        killed = []
        for group in (gateways, others):
            for part in group:
                part.ask_to_stop()
            killed += [part.name for part in group if not part.wait_stopped(_DRAIN_TIMEOUT_S)]
        return killed

    def stop_servers(self) -> None:
        """Orderly end of the embedded servers; external ones are not ours to stop."""
        for server in (self.nats, self.postgres):
            if server:
                server.stop()

    def kill(self) -> None:
        """End everything at once."""
        for part in (*self.services.values(), self.nats, self.postgres):
            if part:
                part.kill()

    def _records(self) -> Iterator[RunningProcess]:
        servers = {"nats-server": self.nats, "postgres": self.postgres}
        for name, part in (*self.services.items(), *servers.items()):
            record = process_record(name, part.pid) if part and part.pid else None
            if record:
                yield record


def existing_services() -> list[str]:
    """The services of this stack that are in the checkout."""
    names = [f"services.{name}.__main__" for name in SERVICES]
    return [name.split(".")[1] for name in names if _exists(name)]


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _port_of(url: str) -> int:
    """0 for an empty address and for one of a server that is not ours."""
    host, _, port = url.rpartition("@")[2].removeprefix("http://").partition("/")[0].partition(":")
    return int(port) if host == "127.0.0.1" and port.isdigit() else 0
