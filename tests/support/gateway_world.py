"""A store and a gateway as processes on the shared servers, accounts to use them with, and raw WebSocket devices."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import msgspec

from deploy.dev.ports import free_port
from deploy.dev.service_process import ServiceProcess
from shared import clock, crypto, events
from shared.bus import Bus
from shared.database import connect as connect_database
from shared.events import Author
from shared.ids import AccountId, AgentId, ContactId, ConversationId, DeviceId, InboxId, TeamId
from shared.keys import save_keys
from shared.subjects import Family
from tests.support.log import PATIENCE_S
from tests.support.services import Surroundings, TestLog, open_test_log, service

Frame = dict[str, Any]


class World(msgspec.Struct, frozen=True, kw_only=True):
    """The running services and what they need."""

    around: Surroundings
    store: ServiceProcess
    gateway: ServiceProcess
    port: int
    master: crypto.MasterKey

    @property
    def url(self) -> str:
        """Of REST."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """Of the WebSocket."""
        return f"ws://127.0.0.1:{self.port}/ws"


@contextmanager
def open_world(around: Surroundings, *, settings: dict[str, str] | None = None) -> Iterator[World]:
    """Start both services; they are killed at the end."""
    secret = secrets.token_bytes(32)
    key_file = Path(around.directory) / "master.key"
    key_file.write_text(secret.hex(), encoding="ascii")
    port = free_port()
    own = {
        "NIGHTDESK_MASTER_KEY_FILE": str(key_file),
        "NIGHTDESK_GATEWAY_PORT": str(port),
        **(settings or {}),
    }
    with (
        service("store", around, settings=_as_user(around, "store", own)) as store,
        service("gateway", around, settings=_as_user(around, "gateway", own)) as gateway,
    ):
        yield World(
            around=around,
            store=store,
            gateway=gateway,
            port=port,
            master=crypto.MasterKey(secret),
        )


@contextmanager
def open_twin(world: World, *, settings: dict[str, str] | None = None) -> Iterator[World]:
    """A second gateway beside the world's, on a port of its own; killed at the end."""
    port = free_port()
    own = {
        "NIGHTDESK_MASTER_KEY_FILE": str(world.around.directory / "master.key"),
        "NIGHTDESK_GATEWAY_PORT": str(port),
        **(settings or {}),
    }
    with service("gateway", world.around, settings=_as_user(world.around, "gateway", own)) as twin:
        yield msgspec.structs.replace(world, gateway=twin, port=port)


def _as_user(around: Surroundings, user: str, settings: dict[str, str]) -> dict[str, str]:
    return {"NIGHTDESK_NATS_URL": around.nats.url_of(user), **settings}


class Device:
    """One connection. What came is kept in `frames`; `until` waits for what is still to come."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.frames: list[Frame] = []
        self.close_code: int | None = None
        self._moved = asyncio.Condition()
        self._seen = 0
        self._ids = 0
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                async with self._moved:
                    self.frames.append(msgspec.json.decode(message.data))
                    self._moved.notify_all()
        async with self._moved:
            self.close_code = self.socket.close_code
            self._moved.notify_all()

    async def say(self, **frame: Any) -> None:
        """Send a frame."""
        await self.socket.send_str(msgspec.json.encode(frame).decode())

    async def until(
        self, matches: Callable[[Frame], bool], *, timeout_s: float = PATIENCE_S
    ) -> Frame:
        """The first frame, past or future, that matches."""
        async with asyncio.timeout(timeout_s), self._moved:
            while not any(map(matches, self.frames)):
                assert self.close_code is None, f"closed with {self.close_code}: {self.frames}"
                await self._moved.wait()
        return next(filter(matches, self.frames))

    async def op(self, name: str, *, timeout_s: float = PATIENCE_S) -> Frame:
        """The first frame of an op."""
        return await self.until(lambda frame: frame.get("op") == name, timeout_s=timeout_s)

    async def answer(self, frame_id: int, *, timeout_s: float = PATIENCE_S) -> Frame:
        """The `ok` or `err` of one of our frames."""
        return await self.until(lambda frame: frame.get("id") == frame_id, timeout_s=timeout_s)

    async def first(self, *, timeout_s: float = PATIENCE_S) -> None:
        """Wait for a frame or the end."""
        async with asyncio.timeout(timeout_s), self._moved:
            await self._moved.wait_for(lambda: bool(self.frames) or self.close_code is not None)

    async def closed(self, *, timeout_s: float = PATIENCE_S) -> int | None:
        """The close code."""
        async with asyncio.timeout(timeout_s), self._moved:
            await self._moved.wait_for(lambda: self.close_code is not None)
        return self.close_code

    async def hello(
        self, token: str, device: str | None = None, resume: str | None = None
    ) -> Frame:
        """Say hello; the welcome."""
        await self.say(op="hello", token=token, device=device or clock.new_id(), resume=resume)
        return await self.op("welcome")

    async def post(
        self, conversation_id: str, text: str, *, message_id: str | None = None, **more: Any
    ) -> Frame:
        """Send a message and wait for its answer."""
        self._ids += 1
        await self.say(
            op="send",
            id=self._ids,
            conversation_id=conversation_id,
            message_id=message_id or clock.new_id(),
            text=text,
            **more,
        )
        return await self.answer(self._ids)

    def entries(self) -> list[Frame]:
        """Every entry that came, in the order of arrival."""
        return [
            e for frame in self.frames if frame.get("op") == "entries" for e in frame["entries"]
        ]

    def texts(self) -> list[str]:
        """The texts that came, from messages and from assignments."""
        found = []
        for entry in self.entries():
            if entry["kind"] == "message":
                found.append(entry["message"]["text"])
            found += [message["text"] for message in entry["messages"]]
        return found

    async def until_texts(self, count: int, *, timeout_s: float = PATIENCE_S) -> list[str]:
        """Wait for that many texts."""
        async with asyncio.timeout(timeout_s), self._moved:
            while len(self.texts()) < count:
                assert self.close_code is None, f"closed with {self.close_code}"
                await self._moved.wait()
        return self.texts()

    @property
    def cursor(self) -> str:
        """The newest cursor that came."""
        cursors = [f["cursor"] for f in self.frames if f.get("op") in ("welcome", "entries")]
        return str(cursors[-1])

    async def stop_reading(self) -> None:
        """Leave the connection open and what comes in it."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def leave(self) -> None:
        """Close the connection."""
        await self.socket.close()
        await self.stop_reading()


class Desk:
    """One account: agents ann and bob in a team, one inbox; facts are appended as the services would."""

    def __init__(self, world: World, log: TestLog, session: aiohttp.ClientSession) -> None:
        self.world = world
        self.log = log
        self.account_id = AccountId(clock.new_id())
        self.team_id = TeamId(clock.new_id())
        self.inbox_id = InboxId(clock.new_id())
        self.ann = AgentId(clock.new_id())
        self.bob = AgentId(clock.new_id())
        self._session = session
        self._devices: list[Device] = []

    @property
    def bus(self) -> Bus:
        """The test's own connection."""
        return self.log.bus

    async def open(self, *, origins: tuple[str, ...] = ()) -> None:
        """Make keys, then the configuration, and wait until the gateway knows it."""
        ring = self.ring = crypto.KeyRing(self.world.master)
        connection = await connect_database(self.world.around.database_url, name="test")
        keys = [
            crypto.new_stored_key(self.world.master, self.account_id, purpose)
            for purpose in ("data", "fingerprint")
        ]
        await save_keys(connection, *keys)
        await connection.close()
        for key in keys:
            ring.add(key)
        own: dict[str, Any] = {"account_id": self.account_id, "writer": "test"}
        agents = [
            events.AgentSaved(
                **own,
                agent_id=agent_id,
                name=ring.seal(self.account_id, name.encode(), of=agent_id, part="name"),
                email=b"",
            )
            for agent_id, name in ((self.ann, "Ann"), (self.bob, "Bob"))
        ]
        await self.log.append(
            "account",
            events.AccountCreated(**own, name=b""),
            *agents,
            events.TeamSaved(
                **own, team_id=self.team_id, name="desk", members={self.ann: 0, self.bob: 0}
            ),
            events.InboxSaved(
                **own,
                inbox_id=self.inbox_id,
                inbox_key=f"key-{self.inbox_id}",
                name="web",
                team_id=self.team_id,
                origins=origins,
            ),
        )
        await self._until_known()

    async def _until_known(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                device = await self.device()
                await device.say(
                    op="hello", token=self.agent_token(self.ann), device=clock.new_id()
                )
                await device.first()
                await device.leave()
                if device.frames:
                    return

    def token(self, *, life_s: int = 600, key: bytes | None = None, **claims: Any) -> str:
        """A token of this account with any claims."""
        now_s = clock.now_ns() // 1_000_000_000
        standard = {
            "aud": "nightdesk",
            "acc": self.account_id,
            "shard": self.world.around.shard,
            "iat": now_s - 1,
            "exp": now_s + life_s,
        }
        return jwt.encode(
            standard | claims, key or self.world.master.derive("token"), algorithm="HS256"
        )

    def agent_token(self, agent_id: str, **more: Any) -> str:
        """As the gateway gives an agent."""
        return self.token(sub=agent_id, kind="agent", **more)

    def visitor_token(self, contact_id: str, **more: Any) -> str:
        """As the gateway gives a visitor."""
        return self.token(sub=contact_id, kind="visitor", ibx=self.inbox_id, **more)

    async def device(self, *, origin: str | None = None, url: str = "") -> Device:
        """A fresh connection that has not said hello; `url`: to another gateway than the world's."""
        socket = await self._session.ws_connect(
            url or self.world.ws_url, protocols=["nightdesk.v1"], origin=origin, autoping=True
        )
        device = Device(socket)
        self._devices.append(device)
        return device

    async def visitor(self, contact_id: str, **more: Any) -> Device:
        """A visitor's device, welcomed."""
        device = await self.device()
        await device.hello(self.visitor_token(contact_id), **more)
        return device

    async def agent(self, agent_id: str, *, url: str = "", **more: Any) -> Device:
        """An agent's device, welcomed."""
        device = await self.device(url=url)
        await device.hello(self.agent_token(agent_id), **more)
        return device

    async def conversation(self) -> tuple[ContactId, ConversationId]:
        """A visitor and their conversation, started."""
        contact_id, conversation_id = ContactId(clock.new_id()), ConversationId(clock.new_id())
        own: dict[str, Any] = {
            "account_id": self.account_id,
            "contact_id": contact_id,
            "inbox_id": self.inbox_id,
        }
        await self.log.append(
            "conversation",
            events.ContactCreated(**own),
            events.ConversationStarted(
                **own,
                conversation_id=conversation_id,
                by=Author(kind="visitor", id=contact_id),
            ),
        )
        return contact_id, conversation_id

    async def assign(self, conversation_id: ConversationId, agent_id: AgentId) -> int:
        """As the dispatcher assigns; the position."""
        why = events.Explanation(trigger="queue", policy_version=0, state_position=0)
        (position,) = await self.append(
            "routing",
            events.ConversationAssigned(
                account_id=self.account_id,
                writer="test",
                conversation_id=conversation_id,
                agent_id=agent_id,
                team_id=self.team_id,
                why=why,
            ),
        )
        return position

    async def append(self, family: Family, *facts: events.Event) -> list[int]:
        """Append facts as any service would."""
        return await self.log.append(family, *facts)

    async def leave(self) -> None:
        """Close every device."""
        for device in self._devices:
            await device.leave()


@asynccontextmanager
async def open_desk(world: World, **more: Any) -> AsyncIterator[Desk]:
    """A fresh account in the world."""
    around = world.around
    async with (
        open_test_log(around.nats, around.shard) as log,
        aiohttp.ClientSession() as session,
    ):
        desk = Desk(world, log, session)
        await desk.open(**more)
        try:
            yield desk
        finally:
            await desk.leave()


def device_id() -> DeviceId:
    """A fresh device id."""
    return DeviceId(str(uuid.uuid4()))
