"""B5, reconnect storm: every device is cut at once and has missed messages; all come back within a second, as the
protocol says, and each is to be current. Once with the gateway running, once with it killed and started again."""

from __future__ import annotations

import asyncio
import functools
import random
import time
import urllib.request

import uvloop

from bench import flame
from bench.device import Crowd, Device, Opener, device_id, hello
from bench.figures import Faults, Measured, Row, Scale
from bench.pacing import until
from bench.people import People, open_people
from bench.places import RESULTS
from bench.screens import Screens
from bench.site import Meter, Site, costs_of, open_site
from bench.waiting import assign, write
from shared.events import Author

_BACK_WITHIN_S = 1.0
_AGAIN_S = 0.25
_WAIT_S = 120.0
_AGENTS = 50


class Storm:
    """Visitors with the cursors they had when they were cut."""

    def __init__(self, site: Site, people: People) -> None:
        self.site = site
        self.people = people
        self.faults = Faults()
        self.reads_each = 0.0
        self.used_s: dict[str, float] = {}
        self.refused = 0

    async def fill(self, devices: int, missed: int) -> None:
        """Visitors look in, go, and their agents answer."""
        people = self.people
        agents = await people.found(_AGENTS)
        pairs = await people.start_conversations(devices)
        await assign(people, agents, pairs)
        await people.stored()
        self.tokens = [people.visitor_token(contact) for contact, _ in pairs]
        crowd = Crowd(self.site, lambda _device, _payload: None)
        await crowd.open(self.tokens)
        self.cursors = crowd.cursors
        crowd.leave()
        authors = [
            Author(kind="agent", id=agents[number % _AGENTS]) for number in range(len(pairs))
        ]
        self.expected = await write(people, authors, pairs, missed)
        await people.stored()

    async def come_back(self, *, is_restarted: bool) -> tuple[float, float]:
        """Seconds from the cut until the last device is current, and (restarted) until the gateway was ready."""
        count, missed = len(self.tokens), len(self.expected[0])
        crowd = Crowd(self.site, lambda _device, _payload: None)
        await crowd.open(self.tokens)
        screens = Screens(count, wanted=missed)
        reads = self._inbox_reads()
        meter = Meter(self.site)
        began = time.perf_counter()
        crowd.leave()
        if is_restarted:
            self.site.kill("gateway")
            self.site.stack.start_service("gateway")
        opener = Opener(self.site.gateway_port)
        tasks = [
            asyncio.create_task(self._return(opener, number, screens)) for number in range(count)
        ]
        ready = await self._ready(began) if is_restarted else 0.0
        await until(functools.partial(screens.are_complete, count), _WAIT_S)
        taken = max(screen.updated for screen in screens.of) - began
        self.used_s = meter.used_s()
        self.reads_each = max(self.reads_each, (self._inbox_reads() - reads) / count)
        self.faults = self.faults.plus(screens.faults(self.expected))
        for device in await asyncio.gather(*tasks):
            device.cut()
        return taken, ready

    async def _ready(self, began: float) -> float:
        """When the gateway said that it could be used."""
        service = self.site.stack.services["gateway"]
        await until(lambda: service.why_not_ready() is None, _WAIT_S, pause_s=0.02)
        return time.perf_counter() - began

    async def _return(self, opener: Opener, number: int, screens: Screens) -> Device:
        """A moment by chance within the first second, then again and again until somebody is there."""
        await asyncio.sleep(random.uniform(0, _BACK_WITHIN_S))
        while True:
            try:
                device = await opener.open(number, screens.hear)
            except OSError:
                self.refused += 1
                await asyncio.sleep(random.uniform(0, _AGAIN_S))
                continue
            device.send(hello(self.tokens[number], device_id(number), self.cursors[number]))
            return device

    def _inbox_reads(self) -> float:
        """Inbox pages that the store has read so far, by its own count."""
        address = self.site.stack.services["store"].health_url + "/metrics"
        with urllib.request.urlopen(address, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith("nightdesk_store_queries_total") and 'name="inbox"' in line
        )


async def _measure(site: Site, scale: Scale) -> Measured:
    async with open_people(site) as people:
        storm = Storm(site, people)
        await storm.fill(scale.of(5_000, 200), 20)
        running: list[float] = []
        restarted: list[float] = []
        started: list[float] = []
        costs: dict[str, float] = {}
        for _ in range(scale.runs):
            running.append((await storm.come_back(is_restarted=False))[0])
            costs = costs_of(storm.used_s, len(storm.tokens))
            taken, ready = await storm.come_back(is_restarted=True)
            restarted.append(taken)
            started.append(ready)
        if flame.is_wanted():
            with flame.recording(site, "B5", ("gateway", "store"), RESULTS):
                await storm.come_back(is_restarted=False)
        return Measured(rows=_rows(storm, running, restarted, started, costs))


def _rows(
    storm: Storm,
    running: list[float],
    restarted: list[float],
    started: list[float],
    costs: dict[str, float],
) -> list[Row]:
    what = f"{len(storm.tokens):,} devices cut, {len(storm.expected[0])} missed each"
    reads: dict[str, float | str] = {"indexed reads a device, at most": storm.reads_each}
    ready: dict[str, float | str] = {"gateway ready after s": sorted(started)[len(started) // 2]}
    return [
        Row(
            figure="B5",
            what=f"{what}: all current",
            unit="s",
            ours=running,
            reach=4,
            is_less_better=True,
            faults=storm.faults,
            costs=costs,
            notes=reads,
        ),
        Row(
            figure="B5",
            what=f"{what}, gateway killed and started: all current",
            unit="s",
            ours=restarted,
            reach=4,
            is_less_better=True,
            faults=storm.faults,
            notes=reads | ready,
        ),
    ]


def measure(scale: Scale) -> Measured:
    """B5."""
    with open_site(away=("dispatcher",)) as site:
        return uvloop.run(_measure(site, scale))
