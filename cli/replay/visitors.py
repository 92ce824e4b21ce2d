"""The visitor's side of one conversation: one or two devices that come and go, each with its own bookmark."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import aiohttp
import msgspec

from cli.replay.record import Record
from nightdesk_client import Bookmark, Client, Entry, Options, Sent, Visitor


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """Where visitors of the run arrive."""

    url: str
    inbox_key: str
    http: aiohttp.ClientSession


class Device:
    """One device. It keeps its bookmark while it is away, and what it was shown for ever."""

    def __init__(self, door: Door, *, on_shown: Callable[[], None]) -> None:
        self._door = door
        self._on_shown = on_shown
        self._bookmark: Bookmark | None = None
        self._stack = AsyncExitStack()
        self._reader: asyncio.Task[None] | None = None
        self._client: Client | None = None
        self._repeats = 0
        self.record = Record()

    @property
    def client(self) -> Client | None:
        """The connected client, None while the device is away."""
        return self._client

    @property
    def repeats(self) -> int:
        """Repeats on the wire: messages sent again and entries received again."""
        return self._repeats + (_repeats(self._client) if self._client else 0)

    async def arrive(self) -> str:
        """The visitor's first visit; the token with which they come back."""
        options = Options(http=self._door.http)
        arriving = Visitor.arrive(self._door.url, self._door.inbox_key, options=options)
        client = await self._stack.enter_async_context(arriving)
        self._begin(client)
        return await client.token()

    async def come(self, token: str) -> Client:
        """Connected, where the device stood before."""
        if self._client is not None:
            return self._client
        options = Options(http=self._door.http, bookmark=self._bookmark)
        returning = Visitor.returning(self._door.url, token, options=options)
        return self._begin(await self._stack.enter_async_context(returning))

    async def leave(self) -> None:
        """Gone, with nothing forgotten."""
        if self._client is None or self._reader is None:
            return
        self._repeats += _repeats(self._client)
        self._reader.cancel()
        await asyncio.wait([self._reader])
        self._bookmark, self._client, self._reader = self._client.bookmark, None, None
        await self._stack.aclose()
        self._stack = AsyncExitStack()

    def _begin(self, client: Client) -> Client:
        self._client = client
        self._reader = asyncio.create_task(self._look(client), name="visitor-device")
        return client

    async def _look(self, client: Client) -> None:
        async for item in client.entries():
            if not isinstance(item, Entry) or item.message is None or item.kind != "message":
                continue
            self.record.note(item.message)
            if item.message.author.kind != "visitor":
                client.read(item.conversation_id, item.position)
            self._on_shown()


class VisitorSide:
    """A visitor with their devices."""

    def __init__(self, door: Door, *, devices: int, on_shown: Callable[[], None]) -> None:
        self.devices = [Device(door, on_shown=on_shown) for _ in range(devices)]
        self._token = ""

    async def arrive(self) -> Client:
        """The first device arrives; the others come with its token when they are needed."""
        self._token = await self.devices[0].arrive()
        client = self.devices[0].client
        assert client is not None
        return client

    async def on(self, device: int) -> Client:
        """That device, connected."""
        return await self.devices[device].come(self._token)

    async def come_back(self) -> None:
        """Every device is connected."""
        for device in self.devices:
            await device.come(self._token)

    async def leave(self) -> None:
        """Nobody is there."""
        for device in self.devices:
            await device.leave()

    def has_seen(self, sent: list[Sent]) -> bool:
        """Whether every device was shown all of these messages."""
        return all(device.record.has(x.message_id) for device in self.devices for x in sent)


def _repeats(client: Client) -> int:
    return client.statistics.repeats_dropped + client.statistics.resends
