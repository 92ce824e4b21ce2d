"""The whole installation on servers of its own, durable as in production, and what each process costs.

Nothing is relaxed: fsync on both servers, encryption, every check of the gateway. Only the rate limits are set high,
because one machine plays everybody; they are still counted.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

from deploy.dev.addresses import ServerAddresses
from deploy.dev.errors import StackError
from deploy.dev.ports import free_port
from deploy.dev.postgres_cluster import wipe_cluster
from deploy.dev.postgres_server import PostgresServer
from deploy.dev.process import tail
from deploy.dev.run_directory import RunDirectory
from deploy.dev.stack import SERVICES, Stack
from prove.cluster import Broker, One, Three
from shared.crypto import MasterKey, read_master_key

SHARD = "0"
_SETTINGS = {
    "NIGHTDESK_MODE": "production",
    "NIGHTDESK_GATEWAY_VISITOR_PER_S": "10000",
    "NIGHTDESK_GATEWAY_ACCOUNT_PER_S": "1000000",
    "NIGHTDESK_GATEWAY_ADDRESS_PER_S": "1000000",
    "NIGHTDESK_LOG_LEVEL": "warning",
}


class Site:
    """Servers and services; every service once."""

    def __init__(self, stack: Stack, broker: Broker, postgres: PostgresServer) -> None:
        self.stack = stack
        self.broker = broker
        self.postgres = postgres

    @property
    def gateway_port(self) -> int:
        """REST and WebSocket."""
        return int(self.stack.gateway_url.rpartition(":")[2])

    @property
    def nats_url(self) -> str:
        """The operator's."""
        return self.broker.url

    @property
    def database_url(self) -> str:
        """The services'."""
        return self.postgres.url()

    @property
    def master(self) -> MasterKey:
        """What tokens and data keys are made with."""
        return read_master_key(self.stack.environment["NIGHTDESK_MASTER_KEY_FILE"])

    def start(self, *names: str) -> None:
        """Start services (all of them) and wait until they are ready."""
        wanted = names or SERVICES
        for name in wanted:
            self.stack.start_service(name)
        for name in wanted:
            self.stack.wait_ready(name)

    def kill(self, name: str) -> None:
        """SIGKILL to a service."""
        self.stack.services[name].kill()

    def memory_bytes(self, name: str) -> int:
        """What a service holds (USS: nothing that it shares with others)."""
        pid = self.stack.services[name].pid
        return int(psutil.Process(pid).memory_full_info().uss)

    def cpu_s(self) -> dict[str, float]:
        """Processor seconds of every process so far; a busy machine does not change them."""
        pids = {name: [part.pid] for name, part in self.stack.services.items()}
        pids["nats"] = [server.pid for server in self.broker.servers.values()]
        postgres = self.postgres.pid
        pids["postgres"] = [postgres, *_children(postgres)] if postgres else []
        found = {
            name: sum(_cpu_of(pid) for pid in group if pid is not None)
            for name, group in pids.items()
        }
        own = os.times()
        return {**found, "generator": own.user + own.system}


def _children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def _cpu_of(pid: int) -> float:
    with suppress(psutil.NoSuchProcess):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return 0.0


class Meter:
    """What each process used since it was made."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._before = site.cpu_s()

    def used_s(self) -> dict[str, float]:
        """Processor seconds by process."""
        now = self._site.cpu_s()
        return {name: round(now[name] - before, 4) for name, before in self._before.items()}


def costs_of(used_s: Mapping[str, float], units: int) -> dict[str, float]:
    """Microseconds of processor time per unit, by process."""
    return {name: used / max(units, 1) * 1e6 for name, used in used_s.items()}


_kept: dict[tuple[str, ...], Site] = {}
_keeper: list[ExitStack] = []


@contextmanager
def sites_kept() -> Iterator[None]:
    """While the block runs, sites of one kind are one site, for small measurements that are not disturbed by what
    those before them left behind."""
    with ExitStack() as stack:
        _keeper.append(stack)
        try:
            yield
        finally:
            _keeper.clear()
            _kept.clear()


@contextmanager
def open_site(
    *, replicas: int = 1, settings: Mapping[str, str] | None = None, away: Sequence[str] = ()
) -> Iterator[Site]:
    """A site, of its own unless they are kept. Services that are `away` are not started."""
    if not _keeper or replicas > 1 or settings:
        with _fresh_site(replicas=replicas, settings=settings, away=away) as site:
            yield site
        return
    kind = tuple(away)
    if kind not in _kept:
        _kept[kind] = _keeper[0].enter_context(_fresh_site(replicas=1, settings=None, away=away))
    yield _kept[kind]


@contextmanager
def _fresh_site(
    *, replicas: int, settings: Mapping[str, str] | None, away: Sequence[str]
) -> Iterator[Site]:
    """In a temporary directory, gone afterwards; NIGHTDESK_BENCH_DIR names another place for it."""
    path = Path(
        tempfile.mkdtemp(prefix="nightdesk-bench-", dir=os.environ.get("NIGHTDESK_BENCH_DIR"))
    )
    path.chmod(0o711)
    stack = Stack(RunDirectory(path))
    broker: Broker | None = None
    try:
        stack.directory.prepare()
        broker = _broker(stack.directory, replicas)
        broker.start()
        site = Site(stack, broker, stack.start_postgres())
        _configure(site, settings or {})
        site.start(*(name for name in SERVICES if name not in away))
        yield site
    except StackError as error:
        error.add_note("\n".join(tail(error.log, lines=30)) if error.log else "")
        raise
    finally:
        stack.kill()
        for server in broker.servers.values() if broker is not None else ():
            server.kill()
        wipe_cluster(path / "postgres")
        shutil.rmtree(path, ignore_errors=True)


def _broker(directory: RunDirectory, replicas: int) -> Broker:
    return One(directory, sync="always") if replicas == 1 else Three(directory)


def _configure(site: Site, settings: Mapping[str, str]) -> None:
    stack, broker = site.stack, site.broker
    stack.servers = ServerAddresses(
        nats_url=broker.url, nats_monitor_url=broker.monitor_url, database_url=site.database_url
    )
    stack.prepare_environment(_clean_environment())
    asked = asked_settings(os.environ.get("SETTINGS", ""))
    replicas = {"NIGHTDESK_REPLICAS": str(broker.replicas)}
    stack.environment |= _SETTINGS | asked | replicas | dict(settings)
    stack.run_command("migrate")


def asked_settings(text: str) -> dict[str, str]:
    """`STORE_NICE=10,DISPATCHER_NICE=0`: settings of services that a measurement is made with."""
    pairs = (part.partition("=") for part in text.replace(",", " ").split())
    return {f"NIGHTDESK_{name.removeprefix('NIGHTDESK_')}": value for name, _, value in pairs}


def _clean_environment() -> dict[str, str]:
    """A developer's own settings must not steer a measurement."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("NIGHTDESK_")}
    return {**kept, "NIGHTDESK_GATEWAY_PORT": str(free_port())}
