"""Three nats-servers as one cluster, for what only shows with replicas."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.dev.nats_server import nats_binary
from deploy.dev.ports import LOOPBACK, free_port
from deploy.dev.process import ChildProcess, ProcessSpec

_NODES = 3


class NatsCluster:
    """Started and killed node by node; `url` lists all of them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ports = [free_port() for _ in range(_NODES)]
        self._routes = [free_port() for _ in range(_NODES)]
        self._processes: dict[int, ChildProcess] = {}

    @property
    def url(self) -> str:
        """Every node's client address, separated by commas."""
        return ",".join(f"nats://{LOOPBACK}:{port}" for port in self._ports)

    def start(self) -> None:
        """Start all nodes; whether JetStream has a leader yet is for the caller to find out."""
        for node in range(_NODES):
            self.start_node(node)

    def start_node(self, node: int) -> None:
        """Start one node on its old data and ports."""
        home = self._directory / f"n{node}"
        home.mkdir(parents=True, exist_ok=True)
        config = home / "nats.conf"
        config.write_text(self._config(node))
        self._processes[node] = ChildProcess.start(
            ProcessSpec(
                name=f"nats-server-{node}",
                argv=[str(nats_binary()), "--config", str(config)],
                log=home / "nats-server.log",
                env={"PATH": os.defpath},
            )
        )

    def kill_node(self, node: int) -> None:
        """SIGKILL one node."""
        self._processes.pop(node).kill()

    def pause_node(self, node: int) -> None:
        """Its connections stay open; once this returns it answers nothing."""
        self._processes[node].pause()

    def resume_node(self, node: int) -> None:
        """It goes on with what it had received."""
        self._processes[node].resume()

    def kill(self) -> None:
        """End all that still run."""
        for node in list(self._processes):
            self.kill_node(node)

    def node_of(self, server_name: str) -> int:
        """The number of the node that calls itself so, as in a stream's `leader`."""
        return int(server_name.removeprefix("n"))

    def _config(self, node: int) -> str:
        routes = ", ".join(f"nats-route://{LOOPBACK}:{port}" for port in self._routes)
        return f"""
server_name: "n{node}"
listen: "{LOOPBACK}:{self._ports[node]}"
max_payload: 1MB
jetstream {{ store_dir: "{self._directory}/n{node}/jetstream", sync_interval: always, max_file_store: 64GB }}
cluster {{ name: "test", listen: "{LOOPBACK}:{self._routes[node]}", routes: [{routes}] }}
"""
