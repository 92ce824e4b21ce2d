"""All people of a run, in a thread with an event loop of its own, so that restarts of servers never hold them up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import msgspec

from nightdesk_client import NightdeskClientError, Staff
from prove.deaf import DeafDevice
from prove.diary import Diary, now_s
from prove.office import Office
from prove.people import AgentPerson, Hours, Person, Place, VisitorPerson
from prove.prying import pry

T = TypeVar("T")

_PASSWORD = "nightdesk-demo"
_NEIGHBOURS = (2, 1)
"""Visitors and agents of the second account."""
_CALL_S = 120.0
_SETTLED = 2
# Short, so that a dispatcher which judges when it must not is found out within a fault.
LEASE_S = 12


class Crowd:
    """People of two accounts, the second of which pries. `open`, then `begin` and `silence` in turn, `finish` before anything is judged, `close`."""

    def __init__(self, houses: Sequence[Place], *, seed: int, visitors: int, agents: int) -> None:
        self.diary = Diary()
        self._houses = houses
        self._seed = seed
        self._counts = (visitors, agents)
        self._hours = Hours()
        self._visitors: list[VisitorPerson] = []
        self._agents: list[AgentPerson] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._turns: list[tuple[float, bool]] = []
        self._deaf: list[DeafDevice] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="people", daemon=True)

    @property
    def people(self) -> list[Person]:
        return [*self._agents, *self._visitors]

    def open(self) -> None:
        """Everybody arrives; nobody writes yet."""
        self._thread.start()
        self._call(self._arrive())

    def begin(self) -> None:
        """People write."""
        self._turns.append((now_s(), True))
        self._loop.call_soon_threadsafe(self._hours.begin)

    def silence(self) -> None:
        """Nobody begins a message."""
        self._turns.append((now_s(), False))
        self._loop.call_soon_threadsafe(self._hours.silence)

    def failures(self) -> list[str]:
        """Faults of the harness itself: tasks that ended."""
        return [
            f"{task.get_name()}: {task.exception()!r}"
            for task in self._tasks
            if task.done() and not task.cancelled() and task.exception() is not None
        ]

    def longest_pause_s(self) -> float:
        """How long at most nobody was told "sent" while people wrote."""
        told = sorted(said.told_s for said in self.diary.accepted())
        longest_s = 0.0
        for (since_s, is_writing), (until_s, _) in pairwise(self._turns):
            if is_writing:
                inside = [at_s for at_s in told if since_s < at_s < until_s]
                marks = [since_s, *inside, until_s]
                longest_s = max(longest_s, *(b - a for a, b in pairwise(marks)))
        return longest_s

    def come_back(self) -> None:
        """Nobody moves any more, every device is switched on."""
        self._call(self._settle())

    def add_fresh_devices(self) -> None:
        """A device without any memory for everybody: what it shows is what the service can still tell."""
        self._call(self._freshen())

    def deafen(self, count: int) -> None:
        """So many more devices of these people: half of them never read, the others read a little now and then."""
        self._call(self._connect_deaf(count))

    def undeafen(self) -> None:
        """They go, without a word."""
        self._call(self._disconnect_deaf())

    def leave_desks(self) -> None:
        """Every agent switches the desk off, wherever it is just now; the phone stays as it is."""
        self._call(self._leave_desks())

    def wake_desks(self) -> None:
        """They are on again."""
        self._call(self._wake_desks())

    def are_desks_on(self) -> bool:
        """Whether all of them are connected."""
        clients = [agent.devices[0].client for agent in self._agents]
        return all(client is not None and client.is_open for client in clients)

    def connections(self) -> tuple[frozenset[str], bool]:
        """The devices that are connected, and whether there are others that are on and are not."""
        on = {
            device.screen.name: client is not None and client.is_open
            for person in self.people
            for device in person.devices
            for client in (device.client,)
            if device.screen.is_open
        }
        return frozenset(name for name, is_open in on.items() if is_open), not all(on.values())

    def close(self) -> None:
        """Everybody goes."""
        if not self._thread.is_alive():
            return
        self._call(self._leave())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=_CALL_S)

    async def _arrive(self) -> None:
        for house, (visitors, agents) in zip(
            self._houses, (self._counts, _NEIGHBOURS), strict=True
        ):
            await self._move_in(house, visitors=visitors, agents=agents)
        for visitor in self._visitors:
            self._start(visitor.write(pause_s=0.6), "writing")
        moving = [x for x in self.people if not isinstance(x, VisitorPerson) or not x.is_settled]
        for person in moving:
            for number, device in enumerate(person.devices):
                self._start(person.wander(device, is_steady=number == 0), "wandering")

    async def _move_in(self, house: Place, *, visitors: int, agents: int) -> None:
        """The agents and visitors of one account arrive and get going."""
        place, names = await self._furnish(house, agents)
        hired = [await self._hire(place, email, agent_id) for email, agent_id in names.items()]
        for agent in hired:
            agent.colleagues = lambda: [x.id for x in hired]
            self._start(agent.chores(), "chores")
            if len(hired) > 1:
                self._start(agent.pass_on(), "passing on")
        for number in range(visitors):
            visitor = VisitorPerson(
                self.diary, place, self._hours, seed=f"{self._seed} {place.house} {number}"
            )
            visitor.is_settled = number < _SETTLED
            await visitor.arrive(devices=1 if visitor.is_settled else 1 + number % 2)
            self._visitors.append(visitor)
        office = Office(place, self._hours, email=place.house, password=_PASSWORD)
        self._start(office.work(), "office")
        if house is self._houses[-1]:
            head = await self._hire(place, place.house, place.head)
            for person in (head, *hired, *self._visitors[-visitors:]):
                self._start(pry(person, self.diary, self._hours, house=place.house), "prying")

    async def _furnish(self, house: Place, agents: int) -> tuple[Place, dict[str, str]]:
        """A team with its policy and inbox; the agents' ids by address."""
        name = house.house.partition("@")[2].partition(".")[0]
        async with Staff.sign_in(house.gateways[0], house.house, _PASSWORD) as admin:
            me = await admin.account.me()
            found = {}
            for number in range(agents):
                email = f"prove-{number}@{name}.prove.example"
                made = await admin.account.create_agent(
                    key=f"prove-{number}",
                    name=f"Prove {number}",
                    email=email,
                    password=_PASSWORD,
                    role="agent",
                    capacity=500,
                    skills={"lang:en": 3, "lang:zh": 3},
                )
                found[email] = made.agent_id
            members = dict.fromkeys(found.values(), 0)
            team = await admin.account.create_team(key="prove-team", name="Prove", members=members)
            policy = await admin.account.create_policy(
                key="prove-policy", name="Prove", assignment_lease_s=LEASE_S
            )
            inbox = await admin.account.create_inbox(
                key="prove-inbox",
                name="Prove",
                channel="web",
                team_id=team.team_id,
                policy_id=policy.policy_id,
            )
        return msgspec.structs.replace(house, head=me.id, inbox_key=inbox.inbox_key), found

    async def _hire(self, place: Place, email: str, agent_id: str) -> AgentPerson:
        person = AgentPerson(self.diary, place, self._hours, email=email, password=_PASSWORD)
        await person.sign_in(agent_id)
        self._agents.append(person)
        return person

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(self._loop.create_task(work, name=name))

    async def _settle(self) -> None:
        moving = [task for task in self._tasks if task.get_name() == "wandering"]
        for task in moving:
            task.cancel()
        if moving:
            await asyncio.wait(moving, timeout=30)
        for person in self.people:
            await person.come_back()

    async def _freshen(self) -> None:
        for person in self.people:
            await person.add_device("fresh")

    async def _connect_deaf(self, count: int) -> None:
        for number in range(count):
            person = self.people[number % len(self.people)]
            client = person.devices[0].client
            if client is None:
                continue
            try:
                token = await client.token()
                device = DeafDevice(person.gateway(), token, is_slow=number % 2 == 1)
                self._deaf.append(device)
                await device.open()
            except (NightdeskClientError, RuntimeError, OSError, TimeoutError):
                # A gateway that is away takes no deaf device either.
                continue

    async def _disconnect_deaf(self) -> None:
        for device in self._deaf:
            await device.close()
        self._deaf.clear()

    async def _leave_desks(self) -> None:
        for agent in self._agents:
            agent.is_at_desk = False
        await asyncio.gather(*(agent.devices[0].be_at("") for agent in self._agents))

    async def _wake_desks(self) -> None:
        for agent in self._agents:
            agent.is_at_desk = True
        await asyncio.gather(
            *(agent.devices[0].come_back(agent.gateway()) for agent in self._agents)
        )

    async def _leave(self) -> None:
        await self._disconnect_deaf()
        for task in self._tasks:
            task.cancel()
        for agent in self._agents:
            await agent.go_home()
        await asyncio.gather(
            *(device.be_at("") for person in self.people for device in person.devices)
        )
