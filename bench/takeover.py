"""How long nobody decides when a process of ours dies: the active dispatcher, or the active presence, is killed or
frozen while a standby folds the same log; and how long after the log server was killed and is back it takes each.

python -m bench.takeover [--runs 5]

From the kill (or the server's return) to the first decision in the log, by this process's clock. What is given twice
makes it void.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import statistics
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Literal, get_args

import msgspec
import uvloop

from bench.backlog import Backlog, Size
from bench.dispatch import Servers, append, environment, make_servers
from deploy.dev.ports import LOOPBACK
from deploy.dev.service_process import ServiceProcess
from shared import bus, codec
from shared.commands import Beats, Connection
from shared.database import migrate
from shared.errors import Unavailable
from shared.events import AgentOnline, ConversationAssigned, Event
from shared.ids import AgentId, DeviceId
from shared.subjects import beats_subject

_Death = Literal["killed", "frozen", "log back"]
_DEATHS: tuple[_Death, ...] = get_args(_Death)
_PATIENCE_S = 30.0
_FREEZE_S = 4.0
_BEAT_S = 0.25
_AGENTS = 40


class Pair:
    """Two processes of one service, one of them active."""

    def __init__(self, name: str, servers: Servers, shard: str) -> None:
        self.name = name
        self._servers = servers
        self._shard = shard
        self._started = 0
        self.processes = [self._start(), self._start()]

    def _start(self) -> ServiceProcess:
        self._started += 1
        log = self._servers.directory / f"{self.name}-{self._shard}-{self._started}.log"
        env = environment(self._servers, self._shard, user=self.name)
        process = ServiceProcess(self.name, env=env, log=log)
        process.start()
        return process

    async def active(self) -> ServiceProcess:
        """The one that writes, once both are ready and exactly one does."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                ready = [each.why_not_ready() is None for each in self.processes]
                writing = [each for each in self.processes if _is_active(each, self.name)]
                if all(ready) and len(writing) == 1:
                    return writing[0]
                await asyncio.sleep(0.05)

    def replace(self, dead: ServiceProcess) -> None:
        """Another one in its place."""
        self.processes.remove(dead)
        self.processes.append(self._start())

    def close(self) -> None:
        """Kill both."""
        for process in self.processes:
            process.resume()
            process.kill()


class Watch:
    """Everything in the log, with the moment at which it was read."""

    def __init__(self, log: bus.Bus, shard: str) -> None:
        self.seen: list[tuple[float, Event]] = []
        self._reader = bus.Reader(log, shard, bus.Start())

    async def run(self) -> None:
        """Until cancelled."""
        async for batch in self._reader.batches():
            now = time.monotonic()
            self.seen += [(now, codec.decode_event(each.payload)) for each in batch.deliveries]

    async def first(self, after: float, is_it: Callable[[Event], bool]) -> float:
        """Seconds from that moment to the first such event."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                found = next((at for at, event in self.seen if at > after and is_it(event)), None)
                if found is not None:
                    return found - after
                await asyncio.sleep(0.01)


class Takeovers(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of each run, by what was done; how many conversations were given twice."""

    dispatcher: dict[_Death, list[float]]
    presence: dict[_Death, list[float]]
    doubled: int


async def measure(runs: int) -> Takeovers:
    """On durable servers of their own."""
    with tempfile.TemporaryDirectory(prefix="nightdesk-bench-") as name:
        servers = make_servers(Path(name))
        servers.nats.start()
        servers.postgres.start()
        try:
            await migrate(servers.postgres.url())
            return await _measure(servers, runs)
        finally:
            servers.postgres.kill()
            servers.nats.kill()


async def _measure(servers: Servers, runs: int) -> Takeovers:
    shard = f"b{uuid.uuid4().hex[:12]}"
    backlog = Backlog(Size(waiting=len(_DEATHS) * runs, agents=_AGENTS + 3 * runs, skills=1))
    arrivals = list(backlog.arrivals())
    log = await bus.connect(bus.BusSettings(url=servers.nats.url))
    await bus.ensure_stream(log, shard, bus.StreamSettings(max_bytes=2**30))
    await append(
        log, shard, [*backlog.configuration(), *list(backlog.arriving_agents())[: _AGENTS // 2]]
    )
    watch = Watch(log, shard)
    async with _running(watch), _pair("dispatcher", servers, shard) as dispatchers:
        took: dict[_Death, list[float]] = {kind: [] for kind in _DEATHS}
        for number, kind in enumerate(_DEATHS * runs):
            active = await dispatchers.active()
            began = _strike(kind, active, servers)
            await append(log, shard, arrivals[2 * number : 2 * number + 2])
            took[kind].append(await watch.first(began, _is_assignment))
            await _mend(kind, active, dispatchers, began)
    presence = await _presence(log, shard, servers, backlog=backlog, runs=runs)
    given = Counter(e.conversation_id for _, e in watch.seen if isinstance(e, ConversationAssigned))
    await log.close()
    return Takeovers(
        dispatcher=took,
        presence=presence,
        doubled=sum(count - 1 for count in given.values()),
    )


async def _presence(
    log: bus.Bus, shard: str, servers: Servers, *, backlog: Backlog, runs: int
) -> dict[_Death, list[float]]:
    """Seconds until presence records a device that came meanwhile, by what happened to it."""
    watch = Watch(log, shard)
    took: dict[_Death, list[float]] = {kind: [] for kind in _DEATHS}
    agents = iter(backlog.agents[_AGENTS:])
    async with _running(watch), _pair("presence", servers, shard) as pair:
        for kind in _DEATHS * runs:
            active = await pair.active()
            agent_id = next(agents)
            began = _strike(kind, active, servers)
            connects = asyncio.create_task(_connect(log, shard, backlog, agent_id))
            took[kind].append(await watch.first(began, _is_online(agent_id)))
            connects.cancel()
            await _mend(kind, active, pair, began)
    return took


def _strike(kind: _Death, active: ServiceProcess, servers: Servers) -> float:
    """The moment from which nobody decides, or from which the log server is back."""
    began = time.monotonic()
    match kind:
        case "killed":
            active.kill()
        case "frozen":
            active.pause()
        case "log back":
            servers.nats.kill()
            servers.nats.start()
            began = time.monotonic()
    return began


async def _mend(kind: _Death, active: ServiceProcess, pair: Pair, began: float) -> None:
    """Two again, one of which may have been away."""
    if kind == "killed":
        pair.replace(active)
    elif kind == "frozen":
        await asyncio.sleep(max(0.0, began + _FREEZE_S - time.monotonic()))
        active.resume()


async def _connect(log: bus.Bus, shard: str, backlog: Backlog, agent_id: AgentId) -> None:
    """What a gateway says of a device that came, again and again, since a beat may be lost with a connection."""
    connection = Connection(
        account_id=backlog.account_id,
        agent_id=agent_id,
        device_id=DeviceId(agent_id),
        connection=f"bench:{agent_id}",
    )
    beats = codec.pack(Beats(gateway="bench", opened=(connection,), alive=(connection,)))
    while True:
        with contextlib.suppress(Unavailable):
            await log.publish(beats_subject(shard), beats)
        await asyncio.sleep(_BEAT_S)


def _is_online(agent_id: AgentId) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, AgentOnline) and event.agent_id == agent_id


def _is_assignment(event: Event) -> bool:
    return isinstance(event, ConversationAssigned)


@contextlib.asynccontextmanager
async def _running(watch: Watch) -> AsyncIterator[None]:
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=5)


@contextlib.asynccontextmanager
async def _pair(name: str, servers: Servers, shard: str) -> AsyncIterator[Pair]:
    pair = Pair(name, servers, shard)
    try:
        yield pair
    finally:
        pair.close()


def _is_active(process: ServiceProcess, name: str) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, process.health_port, timeout=1)
    try:
        connection.request("GET", "/metrics")
        return f"\nnightdesk_{name}_is_active 1.0" in connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    found = uvloop.run(measure(parser.parse_args().runs))
    for name, took in (("dispatcher", found.dispatcher), ("presence", found.presence)):
        for kind, times in took.items():
            median, longest = statistics.median(times), max(times)
            print(f"{name + ', ' + kind:<22}median {median:.2f} s, longest {longest:.2f} s")
    print(f"given twice: {found.doubled}{'  VOID' if found.doubled else ''}")


if __name__ == "__main__":
    main()
