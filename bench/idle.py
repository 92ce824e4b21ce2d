"""B6, idle connections with heartbeat: what each holds in our services and uses in all processes, beside a bare aiohttp
echo server that does nothing but keep connections open and ping them."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import uvloop

from bench.device import Crowd, Device, Opener
from bench.figures import Beside, Measured, Row, Scale
from bench.people import People, open_people
from bench.site import Meter, Site, costs_of, open_site
from deploy.dev.ports import free_port
from shared.clock import new_id

_PING = b"{}"
_AGENTS_OF = 15
"""One connection in so many is an agent's."""


def _answer_ping(device: Device, payload: bytes) -> None:
    if payload == _PING:
        device.send(_PING)


class Idle:
    """Connections that do nothing but answer the heartbeat."""

    def __init__(self, site: Site, people: People, scale: Scale) -> None:
        self.site = site
        self.people = people
        self.count = scale.of(15_000, 500)
        self.seconds = float(scale.of(27, 2))
        self.settle_s = scale.of(20, 5) / 10

    async def prepare(self) -> None:
        """Tokens for everybody."""
        agents = await self.people.found(max(1, self.count // _AGENTS_OF))
        visitors = [new_id() for _ in range(self.count - len(agents))]
        await self.people.stored()
        self.tokens = [self.people.agent_token(agent_id) for agent_id in agents] + [
            self.people.visitor_token(contact_id) for contact_id in visitors
        ]

    async def ours(self) -> tuple[float, dict[str, float]]:
        """Per connection: kB in all our services, and µs of processor time a second by process. The gateway was just
        started."""
        self.site.kill("gateway")
        self.site.start("gateway")
        before = self._held()
        crowd = Crowd(self.site, _answer_ping)
        await crowd.open(self.tokens)
        await asyncio.sleep(self.settle_s)
        held = (self._held() - before) / self.count / 1000
        meter = Meter(self.site)
        await asyncio.sleep(self.seconds)
        used = costs_of(meter.used_s(), round(self.seconds * self.count))
        used.pop("generator", None)
        closed = Counter(device.closed for device in crowd.devices if device.transport is None)
        crowd.leave()
        if closed:
            raise RuntimeError(f"idle connections were closed, by code: {dict(closed)}")
        return held, used

    def _held(self) -> int:
        return sum(self.site.memory_bytes(name) for name in self.site.stack.services)

    async def bare(self) -> float:
        """kB per connection of the echo server."""
        with _echo_server() as (port, process):
            before = process.memory_full_info().uss
            opener = Opener(port)
            devices = await asyncio.gather(
                *(opener.open(number, _answer_ping) for number in range(self.count))
            )
            await asyncio.sleep(self.settle_s)
            held = (process.memory_full_info().uss - before) / self.count / 1000
            for device in devices:
                device.cut()
            return float(held)


def _all(used: dict[str, float]) -> float:
    return sum(used.values())


@contextmanager
def _echo_server() -> Iterator[tuple[int, psutil.Process]]:
    port = free_port()
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.echo", str(port)], stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        yield port, psutil.Process(child.pid)
    finally:
        child.kill()
        child.wait(timeout=10)


async def _measure(site: Site, scale: Scale) -> Measured:
    async with open_people(site) as people:
        idle = Idle(site, people, scale)
        await idle.prepare()
        ours: list[tuple[float, dict[str, float]]] = []
        bare: list[float] = []
        for _ in range(scale.runs):
            ours.append(await idle.ours())
            bare.append(await idle.bare())
        middle = sorted((used for _, used in ours), key=_all)[len(ours) // 2]
        what = f"{idle.count:,} idle connections with heartbeat"
        return Measured(
            rows=[
                Row(
                    figure="B6",
                    what=f"{what}: memory each",
                    unit="kB",
                    ours=[held for held, _ in ours],
                    reach=18,
                    is_less_better=True,
                    beside=[Beside(what="bare aiohttp echo", runs=bare, factor=1.35)],
                ),
                Row(
                    figure="B6",
                    what=f"{what}: processor time each",
                    unit="µs/s",
                    ours=[_all(used) for _, used in ours],
                    reach=5,
                    is_less_better=True,
                    costs=middle,
                ),
            ]
        )


def measure(scale: Scale) -> Measured:
    """B6."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with open_site() as site:
        return uvloop.run(_measure(site, scale))
