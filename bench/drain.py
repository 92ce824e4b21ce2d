"""B3, offline drain: agents come back and read what waits, to the client's decoded message; one by one, and all at
once. Beside it: the same rows read from PostgreSQL by keyset, ciphertext and all, without any of the rest."""

from __future__ import annotations

import asyncio
import functools
import time
from typing import Any

import psycopg
import uvloop

from bench import flame
from bench.device import Crowd, Opener, device_id, hello
from bench.figures import Beside, Faults, Measured, Row, Scale
from bench.pacing import until
from bench.people import People, open_people
from bench.places import RESULTS
from bench.screens import Screens
from bench.site import Meter, Site, costs_of, open_site
from bench.waiting import assign, write
from shared.events import Author
from shared.ids import AgentId

_CONVERSATIONS_EACH = 10
_WAIT_S = 60.0
_RAW = """
SELECT e.*, m.* FROM projection.entries e
JOIN projection.messages m ON m.account_id = e.account_id AND m.message_id = e.about_id
WHERE e.owner_id = %s AND e.position > %s ORDER BY e.position LIMIT 500
"""


class Drain:
    """Agents with a backlog each, and the cursors they had when they went away."""

    def __init__(self, site: Site, people: People) -> None:
        self.site = site
        self.people = people
        self.faults = Faults()
        self.agents: list[AgentId] = []
        self.expected: list[list[str]] = []
        self.cursors: list[str] = []
        self.waiting = 0
        self.after = 0

    async def fill(self, agents: int, messages: int) -> None:
        """Agents look in once (for their cursor), go, and messages come."""
        people = self.people
        self.agents = await people.found(agents)
        conversations = await people.start_conversations(agents * _CONVERSATIONS_EACH)
        await assign(people, self.agents, conversations)
        await people.stored()
        self.tokens = [people.agent_token(agent_id) for agent_id in self.agents]
        crowd = Crowd(self.site, lambda _device, _payload: None)
        await crowd.open(self.tokens)
        self.cursors = crowd.cursors
        crowd.leave()
        self.after = await people.end_of_log()
        authors = [Author(kind="visitor", id=contact) for contact, _ in conversations]
        each = messages // _CONVERSATIONS_EACH
        ids = await write(people, authors, conversations, each)
        # Agent n holds the conversations n, n + agents, …, and their messages were written in turns.
        self.expected = [
            [ids[c][turn] for turn in range(each) for c in range(n, len(ids), agents)]
            for n in range(agents)
        ]
        self.waiting = sum(map(len, self.expected))
        await people.stored()

    async def one_by_one(self) -> list[float]:
        """Each alone, from the first byte of the connection to the last decoded message; seconds each."""
        screens = Screens(len(self.agents), wanted=len(self.expected[0]))
        opener, taken = Opener(self.site.gateway_port), []
        for number in range(len(self.agents)):
            began = time.perf_counter()
            device = await opener.open(number, screens.hear)
            device.send(hello(self.tokens[number], device_id(number), self.cursors[number]))
            await until(functools.partial(screens.are_complete, number + 1), _WAIT_S, pause_s=0)
            taken.append(screens.of[number].updated - began)
            device.cut()
        self.faults = self.faults.plus(screens.faults(self.expected))
        return taken

    async def all_at_once(self) -> float:
        """Connections are open; all say hello in the same moment. Messages a second until the last is decoded."""
        screens = Screens(len(self.agents), wanted=len(self.expected[0]))
        opener = Opener(self.site.gateway_port)
        devices = await asyncio.gather(
            *(opener.open(number, screens.hear) for number in range(len(self.agents)))
        )
        self.meter = Meter(self.site)
        began = time.perf_counter()
        for number, device in enumerate(devices):
            device.send(hello(self.tokens[number], device_id(number), self.cursors[number]))
        await until(functools.partial(screens.are_complete, len(self.agents)), _WAIT_S)
        self.used_s = self.meter.used_s()
        rate = self.waiting / (max(screen.updated for screen in screens.of) - began)
        self.faults = self.faults.plus(screens.faults(self.expected))
        for device in devices:
            device.cut()
        return rate

    async def raw(self) -> tuple[float, float]:
        """The same rows by keyset, one agent after the other: rows a second, and the milliseconds of one."""
        async with await psycopg.AsyncConnection[tuple[Any, ...]].connect(
            self.site.database_url, autocommit=True
        ) as connection:
            began, count = time.perf_counter(), 0
            for agent_id in self.agents:
                cursor = connection.cursor(binary=True)
                await cursor.execute(_RAW, [agent_id, self.after], prepare=True)
                count += len(await cursor.fetchall())
            taken = time.perf_counter() - began
        if count != self.waiting:
            self.faults = self.faults.plus(Faults(lost=abs(self.waiting - count)))
        return count / taken, taken / len(self.agents) * 1000


async def _measure(site: Site, scale: Scale) -> Measured:
    async with open_people(site) as people:
        drain = Drain(site, people)
        await drain.fill(scale.of(200, 20), scale.of(500, 100))
        await drain.all_at_once()
        singles: list[float] = []
        rates: list[float] = []
        raw: list[tuple[float, float]] = []
        for _ in range(scale.runs):
            taken = sorted(await drain.one_by_one())
            singles.append(taken[len(taken) // 2] * 1000)
            rates.append(await drain.all_at_once())
            raw.append(await drain.raw())
        if flame.is_wanted():
            with flame.recording(site, "B3", ("gateway", "store"), RESULTS):
                for _ in range(scale.of(10, 3)):
                    await drain.all_at_once()
        return Measured(rows=_rows(drain, singles, rates, raw))


def _rows(
    drain: Drain, singles: list[float], rates: list[float], raw: list[tuple[float, float]]
) -> list[Row]:
    each = len(drain.expected[0])
    return [
        Row(
            figure="B3",
            what=f"{len(drain.agents)} agents × {each} waiting, all at once",
            unit="messages/s",
            ours=rates,
            reach=150_000,
            beside=[Beside(what="keyset read of the rows", runs=[rate for rate, _ in raw])],
            faults=drain.faults,
            costs=costs_of(drain.used_s, drain.waiting),
        ),
        Row(
            figure="B3",
            what=f"one agent's {each}, connection included",
            unit="ms",
            ours=singles,
            reach=5,
            is_less_better=True,
            beside=[Beside(what="keyset read of the rows", runs=[one_ms for _, one_ms in raw])],
            faults=drain.faults,
        ),
    ]


def measure(scale: Scale) -> Measured:
    """B3."""
    with open_site(away=("dispatcher",)) as site:
        return uvloop.run(_measure(site, scale))
