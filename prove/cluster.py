"""The log's servers: the embedded one, or three as one cluster (R3), for what only shows with replicas.

The cluster has no users, unlike the embedded server: who may write what has tests of its own.
"""

from __future__ import annotations

import http.client
import os
from pathlib import Path
from typing import Protocol

from deploy.dev.errors import StackError
from deploy.dev.nats_server import NatsServer, NatsSettings, nats_binary
from deploy.dev.ports import LOOPBACK, free_port
from deploy.dev.process import ChildProcess, ProcessSpec, wait_until
from deploy.dev.run_directory import RunDirectory

_HEALTHY_S = 30.0
NODES = ("nats-1", "nats-2", "nats-3")


class Server(Protocol):
    """What faults need of a server."""

    @property
    def pid(self) -> int | None:
        """None while it is down."""

    def start(self) -> None:
        """Start it on its old data."""

    def kill(self) -> None:
        """SIGKILL."""


class One:
    """The embedded server, with a user per service."""

    replicas = 1

    def __init__(self, directory: RunDirectory, *, sync: str) -> None:
        settings = NatsSettings(
            directory=directory.path / "nats", log=directory.log("nats"), sync_interval=sync
        )
        self._server = NatsServer(settings)
        self.servers: dict[str, Server] = {"nats": self._server}

    @property
    def url(self) -> str:
        """The operator's."""
        return self._server.url

    @property
    def monitor_url(self) -> str:
        return self._server.monitor_url

    def url_of(self, kind: str) -> str:
        """A service's."""
        return self._server.url_of(kind)

    def start(self) -> None:
        """Start and wait until it works."""
        self._server.start()

    def is_healthy(self) -> bool:
        """Whether it runs: `start` waits for the rest."""
        return self._server.is_running


class Three:
    """A cluster. Never healthy with a node away, so that faults don't add up to a lost majority."""

    replicas = 3

    def __init__(self, directory: RunDirectory) -> None:
        routes = {name: free_port() for name in NODES}
        self._nodes = {
            name: Node(name, directory.path / name, directory.log(name), routes=routes)
            for name in NODES
        }
        self.servers: dict[str, Server] = dict(self._nodes)

    @property
    def url(self) -> str:
        return ",".join(node.url for node in self._nodes.values())

    @property
    def monitor_url(self) -> str:
        return self._nodes[NODES[0]].monitor_url

    def url_of(self, _kind: str) -> str:
        return self.url

    def start(self) -> None:
        """Start all and wait until they have a leader. Raises StackError."""
        for node in self._nodes.values():
            node.start()
        if not wait_until(self.is_healthy, timeout_s=_HEALTHY_S):
            raise StackError("nats cluster", "it never became healthy", advice="read its logs")

    def is_healthy(self) -> bool:
        """Whether every node works and is up to date."""
        return all(node.is_healthy() for node in self._nodes.values())


Broker = One | Three


class Node:
    """One node on one directory; `start` after `kill` finds the same data and ports."""

    def __init__(self, name: str, directory: Path, log: Path, *, routes: dict[str, int]) -> None:
        self._name = name
        self._directory = directory
        self._log = log
        self._routes = routes
        self._port = free_port()
        self._monitor_port = free_port()
        self._process: ChildProcess | None = None

    @property
    def url(self) -> str:
        """Its address for clients."""
        return f"nats://{LOOPBACK}:{self._port}"

    @property
    def monitor_url(self) -> str:
        """Where it tells its settings."""
        return f"http://{LOOPBACK}:{self._monitor_port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.is_running else None

    def start(self) -> None:
        """Start it; `is_healthy` tells when it has caught up."""
        self._directory.mkdir(exist_ok=True)
        config = self._directory / "nats.conf"
        config.write_text(self._config())
        self._process = ChildProcess.start(
            ProcessSpec(
                name=self._name,
                argv=[str(nats_binary()), "--config", str(config)],
                log=self._log,
                env={"PATH": os.defpath},
            )
        )

    def kill(self) -> None:
        """SIGKILL."""
        if self._process:
            self._process.kill()

    def is_healthy(self) -> bool:
        """Whether JetStream on this node works and is up to date."""
        connection = http.client.HTTPConnection(LOOPBACK, self._monitor_port, timeout=1)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _config(self) -> str:
        routes = ", ".join(f"nats-route://{LOOPBACK}:{port}" for port in self._routes.values())
        return f"""
server_name: "{self._name}"
listen: "{LOOPBACK}:{self._port}"
http: "{LOOPBACK}:{self._monitor_port}"
max_payload: 1MB
max_pending: 128MB
write_deadline: "10s"
jetstream {{
  store_dir: "{self._directory}/jetstream"
  sync_interval: always
  max_file_store: 64GB
  limits {{ batch {{ max_inflight_per_stream: 500, max_inflight_total: 5000, timeout: "10s" }} }}
}}
cluster {{ name: "prove", listen: "{LOOPBACK}:{self._routes[self._name]}", routes: [{routes}] }}
"""
