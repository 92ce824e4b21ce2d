"""The log's servers: the embedded one, or three as one cluster (R3), for what only shows with replicas."""

from __future__ import annotations

import os
import secrets
import shutil
from typing import Protocol

import msgspec

from deploy.dev.errors import StackError
from deploy.dev.nats_server import (
    OPERATOR,
    USERS,
    USERS_FILE,
    NatsServer,
    NatsSettings,
    nats_binary,
)
from deploy.dev.ports import free_port
from deploy.dev.process import ChildProcess, ProcessSpec, wait_until
from deploy.dev.run_directory import RunDirectory
from deploy.dev.server_start import is_healthy
from prove.network import Loopback, Machines

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

    def __init__(
        self, directory: RunDirectory, machines: Machines | None = None, *, sync: str = "always"
    ) -> None:
        machines = machines or Loopback("not asked for")
        routes = [f"{machines.address(name)}:{free_port()}" for name in NODES]
        self._passwords = {user: "k" + secrets.token_hex(16) for user in USERS}
        self._nodes = {
            name: Node(
                name,
                directory,
                machines,
                Cluster(
                    routes=routes, own=routes[number], passwords=self._passwords, sync_interval=sync
                ),
            )
            for number, name in enumerate(NODES)
        }
        self.servers: dict[str, Server] = dict(self._nodes)

    @property
    def url(self) -> str:
        """The operator's."""
        return self.url_of(OPERATOR)

    @property
    def monitor_url(self) -> str:
        return ",".join(node.monitor_url for node in self._nodes.values())

    def url_of(self, kind: str) -> str:
        """A service's, with every node."""
        user = f"{kind}:{self._passwords[kind]}"
        return ",".join(f"nats://{user}@{node.address}" for node in self._nodes.values())

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


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """What the nodes have in common, and the route address of one of them."""

    routes: list[str]
    own: str
    passwords: dict[str, str]
    sync_interval: str


class Node:
    """One node on one directory; `start` after `kill` finds the same data and ports."""

    def __init__(
        self, name: str, directory: RunDirectory, machines: Machines, cluster: Cluster
    ) -> None:
        self._name = name
        self._directory = directory.path / name
        self._log = directory.log(name)
        self._machines = machines
        self._cluster = cluster
        self._host = machines.address(name)
        self._port = free_port()
        self._monitor_port = free_port()
        self._process: ChildProcess | None = None

    @property
    def address(self) -> str:
        """For clients."""
        return f"{self._host}:{self._port}"

    @property
    def monitor_url(self) -> str:
        """Where it tells its settings."""
        return f"http://{self._host}:{self._monitor_port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.is_running else None

    def start(self) -> None:
        """Start it; `is_healthy` tells when it has caught up."""
        self._directory.mkdir(exist_ok=True)
        config = self._directory / "nats.conf"
        config.write_text(self._config())
        shutil.copyfile(USERS_FILE, self._directory / "users.conf")
        passwords = {
            f"NIGHTDESK_NATS_{user.upper()}_PASSWORD": password
            for user, password in self._cluster.passwords.items()
        }
        with self._machines.inside(self._name):
            self._process = ChildProcess.start(
                ProcessSpec(
                    name=self._name,
                    argv=[str(nats_binary()), "--config", str(config)],
                    log=self._log,
                    env={"PATH": os.defpath, **passwords},
                )
            )

    def kill(self) -> None:
        """SIGKILL."""
        if self._process:
            self._process.kill()

    def is_healthy(self) -> bool:
        """Whether JetStream on this node works and is up to date."""
        return is_healthy(self._host, self._monitor_port)

    def _config(self) -> str:
        routes = ", ".join(f"nats-route://{address}" for address in self._cluster.routes)
        # A peer that went silent is given up after seconds, as docs/how-to/own-servers.md asks for.
        return f"""
server_name: "{self._name}"
listen: "{self._host}:{self._port}"
http: "{self._host}:{self._monitor_port}"
max_payload: 1MB
max_pending: 128MB
write_deadline: "10s"
ping_interval: "2s"
ping_max: 2
include "users.conf"
jetstream {{
  store_dir: "{self._directory}/jetstream"
  sync_interval: {self._cluster.sync_interval}
  strict: true
  max_file_store: 64GB
  limits {{ batch {{ max_inflight_per_stream: 500, max_inflight_total: 5000, timeout: "10s" }} }}
}}
cluster {{ name: "prove", listen: "{self._cluster.own}", ping_interval: "2s", routes: [{routes}] }}
"""
