"""The servers and services under fault: an embedded stack of its own with every service doubled.

What a supervisor does (starting again what died) is done by `tend`, after a pause drawn from the seed. Everything here
runs in the main thread, because children are started from there only.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from deploy.dev.addresses import ServerAddresses
from deploy.dev.errors import StackError
from deploy.dev.os_user import make_enterable
from deploy.dev.ports import free_port
from deploy.dev.postgres_cluster import make_cluster, wipe_cluster
from deploy.dev.postgres_server import PostgresServer, PostgresSettings
from deploy.dev.process import freeze, tail
from deploy.dev.run_directory import RunDirectory
from deploy.dev.service_process import ServiceProcess
from deploy.dev.stack import Stack
from prove.cluster import NODES, Broker, One, Server, Three
from prove.disk import Disk, NoDisk
from prove.network import SUBNET, Machines, machines

KINDS = ("gateway", "presence", "store", "dispatcher")
PROCESSES = tuple(f"{kind}-{number}" for kind in KINDS for number in (1, 2))
CRASH_POINT = "NIGHTDESK_CRASH_POINT"
CLOCK = "NIGHTDESK_CLOCK_OFFSET_FILE"
_READY_S = 90.0
_LOOK_S = 0.05
_TOKEN_S = "45"
_PASSWORD = "nightdesk-demo"
# Commands print what an operator asked for; the rest are logs.
_COMMANDS = ("seed", "account")
# A text of `prove.people`, or an address.
_PRIVATE = re.compile(
    rb"\b[0-9a-f]{6} [0-9a-f]{6} \d+: |[\w-]+@[\w.]*(?:prove|demo|neighbour)\.example"
)


class Site:
    """Names are `gateway-1` … `dispatcher-2`, `nats` (or `nats-1` to `nats-3`), `postgres`."""

    def __init__(
        self,
        stack: Stack,
        *,
        seed: str,
        settings: dict[str, str] | None = None,
        broker: Broker,
        network: Machines,
    ) -> None:
        self.stack = stack
        self.broker = broker
        self.network = network
        self.no_power = "not asked for"
        """Why power losses can't be tried here; empty when they can."""
        self._disks: dict[str, Disk] = {}
        self.gateways: list[str] = []
        self.houses = ("lin@demo.example", "mia@neighbour.example")
        """The addresses of the administrators of both accounts."""
        self._settings = settings or {}
        self._chance = random.Random(seed)
        self._services: dict[str, ServiceProcess] = {}
        self._down: set[str] = set()
        self._start_at: dict[str, float] = {}
        self._paused: dict[str, list[int]] = {}
        self._traps: dict[str, str] = {}
        self._armed: set[str] = set()
        self.sprung: set[str] = set()
        self.deaths: dict[str, int] = {}
        self.refused: list[str] = []

    @property
    def postgres(self) -> PostgresServer:
        assert self.stack.postgres is not None
        return self.stack.postgres

    @property
    def services(self) -> list[str]:
        """The names of the service processes."""
        return list(self._services)

    def open(self, *, has_disks: bool) -> None:
        """Start everything, make the demo account. Raises StackError. `has_disks`: each server on one that can lose
        power, if there are any."""
        stack = self.stack
        stack.directory.prepare()
        if has_disks:
            self._open_disks()
        self.broker.start()
        self._start_postgres()
        # Passwords and configuration were written without the care that data get.
        os.sync()
        stack.servers = ServerAddresses(
            nats_url=self.broker.url,
            nats_monitor_url=self.broker.monitor_url,
            database_url=self.postgres.url(),
        )
        stack.prepare_environment(_clean_environment())
        stack.environment["NIGHTDESK_REPLICAS"] = str(self.broker.replicas)
        stack.run_command("migrate")
        for kind in KINDS:
            for number in (1, 2):
                self._add(kind, number)
        self.wait_ready()
        stack.environment["NIGHTDESK_GATEWAY_URL"] = self.gateways[0]
        stack.run_command("seed")
        neighbour = ("--email", self.houses[1], "--password", _PASSWORD)
        stack.run_command("account", "create", "Neighbour", *neighbour)

    def _start_postgres(self) -> None:
        path = self.stack.directory.path
        settings = PostgresSettings(
            directory=make_enterable(path / "postgres"),
            log=self.stack.directory.log("postgres"),
            host=self.network.address("postgres"),
        )
        cluster = make_cluster(settings.directory, log=settings.log, durable=True)
        with (cluster.data / "pg_hba.conf").open("a") as who_may_come:
            who_may_come.write(f"host all all {SUBNET} scram-sha-256\n")
        self.stack.postgres = PostgresServer(settings)
        self._start_server("postgres")

    def _start_server(self, name: str) -> None:
        with self.network.inside(name):
            self.servers[name].start()

    def _open_disks(self) -> None:
        path = self.stack.directory.path
        try:
            for name in (*self.broker.servers, "postgres"):
                disk = Disk(path / f"{name}.img", path / name)
                disk.open()
                self._disks[name] = disk
            self.no_power = ""
        except NoDisk as err:
            self.no_power = str(err)

    @property
    def servers(self) -> dict[str, Server]:
        """The servers by name."""
        return {**self.broker.servers, "postgres": self.postgres}

    def cut_power(self, names: Sequence[str]) -> None:
        """The disks of these servers forget what was not synced, all at the same moment, and the servers die."""
        for name in names:
            self._disks[name].cut()
        for name in names:
            self.kill(name)
            self._disks[name].again()

    def fill_disk(self, name: str) -> None:
        """No room is left where this server writes."""
        self._disks[name].fill()

    def free_disk(self, name: str) -> None:
        """There is room again. nats-server takes no more until it is started again, so somebody does that."""
        self._disks[name].free()
        self.kill(name)

    def jump(self, name: str, seconds: float) -> None:
        """The clock of this service is so far from the true time from now on."""
        self._clock(name).write_text(str(seconds))

    def _clock(self, name: str) -> Path:
        return self.stack.directory.path / f"{name}.clock"

    def _add(self, kind: str, number: int) -> None:
        name = f"{kind}-{number}"
        environment = self.stack.environment | self._settings
        environment["NIGHTDESK_NATS_URL"] = self.broker.url_of(kind)
        environment[CLOCK] = str(self._clock(name))
        if kind == "gateway":
            port, host = free_port(), self.network.address(name)
            self.gateways.append(f"http://{host}:{port}")
            environment["NIGHTDESK_GATEWAY_HOST"] = host
            environment["NIGHTDESK_GATEWAY_PORT"] = str(port)
            environment["NIGHTDESK_GATEWAY_PUBLIC_URL"] = self.gateways[-1]
            environment["NIGHTDESK_GATEWAY_PROCESSES"] = "2"
            # So that tokens are refreshed in the midst of every fault.
            environment["NIGHTDESK_GATEWAY_ACCESS_TOKEN_S"] = _TOKEN_S
        if kind == "store":
            # Few events come at once here: so both ways of committing them are taken.
            environment["NIGHTDESK_STORE_STATEMENT_ENTRIES"] = "6"
        log = self.stack.directory.log(name)
        self._services[name] = ServiceProcess(kind, env=environment, log=log)
        self._start_service(name)

    def _start_service(self, name: str) -> None:
        with self.network.inside(name):
            self._services[name].start()

    def wait_ready(self, *, timeout_s: float = _READY_S) -> None:
        """Until every service says that it is ready. Raises StackError."""
        end = time.monotonic() + timeout_s
        while (why := self.why_not_ready()) is not None:
            if time.monotonic() > end:
                raise StackError("site", why, advice="read its log")
            self.tend()
            time.sleep(_LOOK_S)

    def why_not_ready(self) -> str | None:
        """None when everything runs and says so."""
        for name in self.servers:
            if name in self._down or name in self._paused:
                return f"{name} is away"
        if not self.broker.is_healthy():
            return "the log's servers are not healthy"
        for name, service in self._services.items():
            with self.network.inside(name):
                why = "ended" if not service.is_running else service.why_not_ready()
            if why is not None:
                return f"{name}: {why}"
        return None

    def tend(self) -> None:
        """Start again what is dead and due."""
        now = time.monotonic()
        for name, service in self._services.items():
            if service.is_running or name in self._down:
                continue
            if name not in self._start_at:
                self._note_death(name)
                self._start_at[name] = now + self._chance.uniform(0, 3)
            elif now >= self._start_at[name]:
                del self._start_at[name]
                self._start(name)

    def _start(self, name: str) -> None:
        """With the crash point that was set for it, once; without on every later start."""
        service = self._services[name]
        trap = self._traps.pop(name, "")
        environment = {k: v for k, v in service.spec.env.items() if k != CRASH_POINT}
        if trap:
            environment[CRASH_POINT] = trap
        service.spec = msgspec.structs.replace(service.spec, env=environment)
        (self._armed.add if trap else self._armed.discard)(name)
        self._start_service(name)

    def set_trap(self, name: str, point: str) -> None:
        """Start it again, to kill itself at a crash point."""
        self._services[name].kill()
        self._traps[name] = point
        self._start(name)

    def ask_to_stop(self) -> None:
        """SIGTERM to whoever has not come to its crash point."""
        for name in self.armed:
            self._services[name].ask_to_stop()

    def disarm(self) -> None:
        """Whoever never came to the crash point is started again without."""
        self._traps.clear()
        for name in self.armed:
            self._armed.discard(name)
            self._services[name].kill()

    def starting(self, names: Collection[str]) -> set[str]:
        """Which of those that have a crash point can't work yet."""
        found = set()
        for name in self.armed & set(names):
            with self.network.inside(name):
                if self._services[name].why_not_ready() is not None:
                    found.add(name)
        return found

    @property
    def armed(self) -> set[str]:
        """Who has a crash point and has not come to it."""
        running = {name for name in self._armed if self._services[name].is_running}
        return running - self.frozen

    @property
    def frozen(self) -> set[str]:
        """Who stopped itself at its crash point."""
        return {name for name in self._armed if self._is_stopped(name)}

    def thaw(self, name: str) -> None:
        """It goes on where it stopped."""
        self._note_sprung(name)
        self._armed.discard(name)
        self._services[name].resume()

    def _is_stopped(self, name: str) -> bool:
        pid = self._services[name].pid
        try:
            return pid is not None and psutil.Process(pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return False

    def _note_sprung(self, name: str) -> None:
        trap = self._services[name].spec.env.get(CRASH_POINT, "")
        self.sprung.add(f"{name.rpartition('-')[0]} {trap.partition(':')[0]}")

    def kill(self, name: str) -> None:
        """SIGKILL. A service is started again by `tend`, a server by `bring_back`."""
        if name in self.servers:
            self._down.add(name)
            self.servers[name].kill()
        else:
            self._services[name].kill()

    def take_away(self, name: str) -> None:
        """As `kill`, but nothing starts it again before `bring_back`."""
        self._down.add(name)
        self.kill(name)

    def bring_back(self, name: str) -> None:
        """Start a killed server or service, or let a paused one go on."""
        for pid in self._paused.pop(name, []):
            _signal(pid, signal.SIGCONT)
        if name in self._down:
            self._down.discard(name)
            if name in self.servers:
                self._start_server(name)

    def pause(self, name: str) -> None:
        """The process and all its children; connections stay open, once this returns nothing answers."""
        pid = self.servers[name].pid if name in self.servers else self._services[name].pid
        if pid is None:
            return
        self._paused[name] = [pid]
        # The parent first, so that it starts no more of them meanwhile.
        freeze(pid)
        children = [child.pid for child in psutil.Process(pid).children(recursive=True)]
        self._paused[name] += children
        freeze(*children)

    def sizes_mb(self) -> dict[str, int]:
        """How much memory each service holds."""
        found = {}
        for name, service in self._services.items():
            with contextlib.suppress(psutil.Error):
                if service.pid is not None:
                    found[name] = psutil.Process(service.pid).memory_info().rss // 1024**2
        return found

    def tracebacks(self) -> list[str]:
        """Errors that no service expected: the last line of each traceback in their logs, and how often."""
        found: Counter[str] = Counter()
        for name in self._services:
            log = self._services[name].spec.log
            lines = log.read_bytes().splitlines() if log.exists() else []
            for line in (x for x in lines if b'"exception"' in x):
                with contextlib.suppress(msgspec.DecodeError):
                    entry = msgspec.json.decode(line, type=dict[str, object])
                    last = str(entry.get("exception", "")).strip().splitlines()[-1]
                    found[f"{name}: {entry.get('event')}: {last}"] += 1
        return [f"{text} ({count} times)" for text, count in sorted(found.items())]

    def disclosed(self) -> list[str]:
        """What people wrote, or an address, in a log of any process."""
        found: Counter[str] = Counter()
        for log in sorted(self.stack.directory.path.glob("logs/*")):
            if log.name.partition(".")[0] not in _COMMANDS:
                found[log.name] = len(_PRIVATE.findall(log.read_bytes()))
        return [f"{name}: {count} times" for name, count in found.items() if count]

    def log_tail(self, name: str, *, lines: int = 20) -> list[str]:
        """The end of a service's log."""
        return tail(self._services[name].spec.log, lines=lines)

    def close(self) -> None:
        """End everything at once."""
        for name in list(self._paused):
            self.bring_back(name)
        for service in self._services.values():
            service.kill()
        for server in self.broker.servers.values():
            server.kill()
        self.stack.kill()
        for disk in self._disks.values():
            disk.close()
        self.network.close()

    def _note_death(self, name: str) -> None:
        # Told to stop, it may have come to its end without coming to its crash point.
        if name in self._armed and self._services[name].exit_code == -signal.SIGKILL:
            self._note_sprung(name)
        self.deaths[name] = self.deaths.get(name, 0) + 1
        said = self.log_tail(name, lines=1)
        if said and "refused to run" in said[0]:
            self.refused.append(f"{name}: {said[0]}")


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a site is wanted. `has_disks`: ones that can lose power or fill up; `has_network`: machines that can
    be cut apart. Neither where the machine can't."""

    replicas: int = 1
    sync: str = "always"
    has_disks: bool = False
    has_network: bool = False


SMALL = Extent()


@contextmanager
def open_site(
    *, seed: str, settings: dict[str, str] | None = None, extent: Extent = SMALL
) -> Iterator[Site]:
    """A site in a temporary directory, gone afterwards unless NIGHTDESK_PROVE_KEEP is set."""
    path = Path(tempfile.mkdtemp(prefix="nightdesk-prove-"))
    path.chmod(0o711)
    directory = RunDirectory(path)
    names = (*NODES, "postgres", *PROCESSES)
    network = machines(names, is_wanted=extent.has_network and extent.replicas > 1)
    broker: Broker
    if extent.replicas == 1:
        broker = One(directory, sync=extent.sync)
    else:
        broker = Three(directory, network, sync=extent.sync)
    site = Site(Stack(directory), seed=seed, settings=settings, broker=broker, network=network)
    try:
        site.open(has_disks=extent.has_disks)
        yield site
    finally:
        site.close()
        if not os.environ.get("NIGHTDESK_PROVE_KEEP"):
            wipe_cluster(path / "postgres")
            shutil.rmtree(path, ignore_errors=True)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        # It ended meanwhile, which is what a later look finds out.
        return


def _clean_environment() -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("NIGHTDESK_")}
    return {**kept, "NIGHTDESK_GATEWAY_PORT": str(free_port())}
