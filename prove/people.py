"""Visitors who write and agents who answer, with devices that are cut, flap and roam between the gateways."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import NoReturn

import msgspec

from nightdesk_client import (
    Agent,
    ApiError,
    Client,
    NightdeskClientError,
    Options,
    Visitor,
    new_id,
)
from prove.device import Device, Opening, Reads
from prove.diary import Diary, Said, Screen, Shown, now_s

_WORDS = [
    "parcel",
    "invoice",
    "退款",
    "colour",
    "late",
    "thanks",
    "地址",
    "size",
    "broken",
    "when",
    "please",
    "订单",
    "again",
    "where",
]

_RECENT = 50
_LONG = 10_000
_LINE_S = 0.4
_BREATHS = (1, 1, 1, 3)


def _nowhere(_url: str, _options: Options) -> NoReturn:
    raise RuntimeError("this person has not arrived yet")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where people go. `house`: the account, by its administrator's address; `head`: the administrator's id."""

    gateways: Sequence[str]
    house: str
    head: str = ""
    inbox_key: str = ""


class Hours:
    """Whether people write now. In silence nobody begins a message; what is under way is carried through."""

    def __init__(self) -> None:
        self._open = asyncio.Event()

    def begin(self) -> None:
        """People write."""
        self._open.set()

    def silence(self) -> None:
        """Nobody begins anything."""
        self._open.clear()

    async def wait(self) -> None:
        """Until people write."""
        await self._open.wait()


class Person:
    """What visitors and agents share: numbered messages, devices that move."""

    kind = ""

    def __init__(self, diary: Diary, place: Place, hours: Hours, *, seed: str) -> None:
        self.id = ""
        self.opening: Opening = _nowhere
        self.devices: list[Device] = []
        self.is_at_desk = True
        self.chance = random.Random(seed)
        self._diary = diary
        self._place = place
        self._hours = hours
        self._numbers: dict[str, int] = {}

    def gateway(self) -> str:
        """One of them."""
        return self.chance.choice(self._place.gateways)

    def message(self, conversation_id: str) -> Said:
        """The next message of this person in a conversation; no text is ever written twice. It has no outcome from now on:
        whoever waits for silence waits for it, too."""
        number = self._numbers[conversation_id] = self._numbers.get(conversation_id, 0) + 1
        words = " ".join(self.chance.choices(_WORDS, k=self.chance.randint(3, 30)))
        said = Said(
            message_id=new_id(),
            conversation_id=conversation_id,
            sender=self.id,
            text=f"{self.id[-6:]} {conversation_id[-6:]} {number}: {words}",
            number=number,
            began_s=now_s(),
            house=self._place.house,
        )
        self._diary.said[said.message_id] = said
        return said

    def reads(self, _device: str) -> Reads:
        """What this person looks at there."""
        return "all"

    async def add_device(self, name: str) -> Device:
        """One more device, without any memory, switched on."""
        screen = Screen(
            name=f"{self.kind} {self.id[-6:]} {name}",
            owner=self.id,
            kind=self.kind,
            house=self._place.house,
        )
        device = Device(self._diary, screen, self.opening)
        device.reads = self.reads(name)
        self.devices.append(device)
        await device.be_at(self.gateway())
        return device

    async def come_back(self) -> None:
        """Every device is switched on."""
        for device in self.devices:
            await device.come_back(self.gateway())

    async def wander(self, device: Device, *, is_steady: bool) -> None:
        """Cut it, move it, and (unless it is somebody's only steady one) switch it off for a while."""
        while True:
            await asyncio.sleep(self.chance.uniform(2, 12))
            await self._hours.wait()
            deed = self.chance.random()
            if deed < 0.5 and device.client is not None:
                device.client.cut(after_next_send=self.chance.random() < 0.5)
            elif not self.is_at_desk and is_steady:
                continue
            elif deed < 0.8 or is_steady:
                await device.be_at(self.gateway())
            else:
                await device.be_at("")
                await asyncio.sleep(self.chance.uniform(0.5, 8))
                await device.be_at(self.gateway())


class VisitorPerson(Person):
    """A visitor with a steady device and, some of them, a second one."""

    kind = "visitor"
    is_settled = False
    """Whether they stay where they are with one long conversation: who is connected goes on while the tables are away."""

    async def arrive(self, *, devices: int) -> None:
        """The first visit; the token is kept for every device."""
        async with Visitor.arrive(self.gateway(), self._place.inbox_key) as client:
            self.id, token = client.id, await client.token()
        self.opening = lambda url, options: Visitor.returning(
            url, token, contact_id=self.id, options=options
        )
        for number in range(devices):
            await self.add_device(str(number))

    async def write(self, *, pause_s: float) -> None:
        """Conversations, one after the other, from the devices in turn."""
        while True:
            conversation_id = new_id()
            await self._begin(conversation_id)
            for _ in range(_LONG if self.is_settled else self.chance.randint(5, 25)):
                await asyncio.sleep(self.chance.expovariate(1 / pause_s))
                await self._hours.wait()
                device = self.chance.choice([d for d in self.devices if d.client] or self.devices)
                # Sometimes three lines without waiting for an answer: none of them may overtake another.
                lines = [self.message(conversation_id) for _ in range(self.chance.choice(_BREATHS))]
                await asyncio.gather(
                    *(self._say(device, line, after_s=n * _LINE_S) for n, line in enumerate(lines))
                )

    async def _say(self, device: Device, line: Said, *, after_s: float) -> None:
        await asyncio.sleep(after_s)
        line.began_s = now_s()
        await device.say(line)

    async def _begin(self, conversation_id: str) -> None:
        await self._hours.wait()
        said = self.message(conversation_id)
        self._diary.contacts[conversation_id] = self.id
        while not said.told_s and not said.refused:
            client = await self.devices[0].here()
            try:
                started = await client.conversations.start(
                    said.text, conversation_id=conversation_id, message_id=said.message_id
                )
            except ApiError as err:
                if err.status < 500 and err.status != 429:
                    said.refused = err.code
                await asyncio.sleep(0.5)
            except (NightdeskClientError, RuntimeError):
                # The latter when the device moved meanwhile: its HTTP session is closed.
                await asyncio.sleep(0.5)
            else:
                # The answer tells the commit's position, which need not be the message's.
                assert started.message_id == said.message_id
                said.told_s = now_s()


class AgentPerson(Person):
    """An agent with a steady desk and a phone that comes and goes."""

    kind = "agent"

    def __init__(
        self, diary: Diary, place: Place, hours: Hours, *, email: str, password: str
    ) -> None:
        super().__init__(diary, place, hours, seed=email)
        self._email = email
        self._password = password
        self._waiting: dict[str, asyncio.Queue[str]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self.colleagues: Callable[[], Sequence[str]] = list

    async def sign_in(self, agent_id: str) -> None:
        """On duty, with both devices."""
        self.id = agent_id
        self.opening = lambda url, options: Agent.sign_in(
            url, self._email, self._password, options=options
        )
        desk = await self.add_device("desk")
        desk.on_shown = self._shown
        await self.add_device("phone")

    def reads(self, device: str) -> Reads:
        """They look at the desk when it calls; the phone is in a pocket."""
        return "called" if device == "desk" else "nothing"

    def _shown(self, shown: Shown) -> None:
        """The desk shows something: now and then it is answered."""
        if shown.author == self.id or self.chance.random() > 0.5:
            return
        queue = self._waiting.get(shown.conversation_id)
        if queue is None:
            queue = self._waiting[shown.conversation_id] = asyncio.Queue()
            task = asyncio.create_task(self._answer(shown.conversation_id, queue))
            self._answering.add(task)
        queue.put_nowait(shown.message_id)

    async def _answer(self, conversation_id: str, queue: asyncio.Queue[str]) -> None:
        while True:
            await queue.get()
            await asyncio.sleep(self.chance.uniform(0.05, 1.0))
            await self._hours.wait()
            if self.is_at_desk and conversation_id in self.devices[0].screen.held:
                await self.devices[0].say(self.message(conversation_id))

    async def pass_on(self) -> None:
        """Hand a conversation to a colleague or to the queue, every few seconds."""
        while True:
            await asyncio.sleep(self.chance.uniform(3, 9))
            await self._hours.wait()
            held = sorted(self.devices[0].screen.held)
            client: Client | None = self.devices[0].client
            if not held or client is None:
                continue
            to = self.chance.choice([x for x in self.colleagues() if x != self.id])
            try:
                await client.conversations.assign(self.chance.choice(held), agent_id=to)
            except (NightdeskClientError, RuntimeError):
                # Somebody else was quicker, a server is away, or the desk moved (its HTTP session is closed then):
                # the wish is no promise.
                continue

    async def chores(self) -> None:
        """What agents do beside answering, so that every way through the gateway is gone now and then."""
        while True:
            await asyncio.sleep(self.chance.uniform(0.3, 1.5))
            await self._hours.wait()
            client, held = self.devices[0].client, sorted(self.devices[0].screen.held)
            if client is None:
                continue
            try:
                await self._chore(client, held)
            except (NightdeskClientError, RuntimeError):
                # As above: nothing here is promised before it is answered.
                continue

    async def _chore(self, client: Client, held: Sequence[str]) -> None:
        match self.chance.randrange(9):
            case 0:
                await client.account.set_availability(self.id, "online")
            case 1:
                await client.account.agents()
                await client.conversations.counts()
            case 2 if held:
                client.typing(self.chance.choice(held))
            case 3 if held:
                await client.conversations.add_note(self.chance.choice(held), "noted")
            case 4 if held:
                await client.conversations.get(self.chance.choice(held))
            case 5 if held:
                client.looking(self.chance.choice(held), is_looking=self.chance.random() < 0.5)
            case 6 if held:
                await client.conversations.explain(self.chance.choice(held))
            case 7 if held:
                await client.conversations.place(self.chance.choice(held))
            case 8 if self.devices[0].screen.shown:
                shown = self.chance.choice(self.devices[0].screen.shown[-_RECENT:])
                await client.conversations.timeline(shown.message_id)

    async def go_home(self) -> None:
        """No more answers."""
        for task in self._answering:
            task.cancel()
        if self._answering:
            await asyncio.wait(self._answering, timeout=5)
