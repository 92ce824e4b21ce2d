"""Visitors and agents of a story: the client library, and what each device was shown. And one device that never says
that it has received anything."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Self

import aiohttp
import msgspec

from nightdesk_client import (
    Alert,
    Client,
    Closed,
    Entry,
    NightdeskClientError,
    Receipts,
    Reset,
    Signal,
)

_CLOSE_S = 5.0
_FRAME_S = 10.0


class Screen(msgspec.Struct, kw_only=True):
    """What one device showed. `texts`: messages in the order they appeared; `alerts`: positions it was heard for.
    `read_up_to`: how far its person has read, as it was told."""

    name: str
    texts: list[str] = []
    seqs: list[tuple[str, int]] = []
    held: dict[str, int] = {}
    alerts: list[int] = []
    read_up_to: int = 0

    def alert(self, alert: Alert) -> None:
        """The device made itself heard."""
        self.alerts.append(alert.position)

    def hear(self, me: str, signal: Signal) -> None:
        """Receipts of the same person tell what was read on another device."""
        if isinstance(signal, Receipts):
            mine = [each.read for each in signal.receipts if each.by.id == me]
            self.read_up_to = max([self.read_up_to, *mine])


class Member:
    """A person at one device. `on_message` hears every message of somebody else, once."""

    def __init__(self, client: Client, screen: Screen) -> None:
        self.client = client
        self.screen = screen
        self.ended = ""
        self.on_message: Callable[[Entry], None] = lambda _entry: None

    async def read(self) -> None:
        """Take in everything until the client ends."""
        try:
            async for item in self.client.entries():
                if isinstance(item, Reset):
                    self._reset(item)
                else:
                    self._take(item)
        except Closed:
            return
        except NightdeskClientError as err:
            self.ended = f"{type(err).__name__} {err}"

    def _reset(self, item: Reset) -> None:
        self.screen.held = {
            x.conversation_id: x.version for x in item.conversations if x.agent_id == self.client.id
        }

    def _take(self, entry: Entry) -> None:
        screen = self.screen
        if entry.kind == "conversation_assigned":
            screen.held[entry.conversation_id] = entry.position
        elif entry.kind == "conversation_left":
            screen.held.pop(entry.conversation_id, None)
        if entry.kind == "message" and entry.message is not None:
            screen.texts.append(entry.message.text or "")
            screen.seqs.append((entry.conversation_id, entry.message.seq))
            if entry.message.author.id != self.client.id:
                self.on_message(entry)


class Sleeper:
    """A device that is connected, answers pings, and acknowledges nothing: a laptop in a bag, a hung tab."""

    def __init__(self, gateway: str, token: str) -> None:
        self._url = gateway.replace("http", "ws", 1) + "/ws"
        self._token = token
        self.device = str(uuid.uuid4())
        self.frames: list[dict[str, object]] = []
        self._http: aiohttp.ClientSession | None = None
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession()
        socket = await self._http.ws_connect(self._url, protocols=["nightdesk.v1"])
        await socket.send_json({"op": "hello", "token": self._token, "device": self.device})
        self.frames.append(await socket.receive_json(timeout=_FRAME_S))
        self._reading = asyncio.create_task(self._read(socket))
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading], timeout=_CLOSE_S)
        if self._http is not None:
            await self._http.close()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            frame = message.json()
            if frame:
                self.frames.append(frame)
            else:
                await socket.send_json({})

    @property
    def alerts(self) -> int:
        """How often it was told to make itself heard."""
        loud = 0
        for frame in self.frames:
            entries = frame.get("entries")
            if isinstance(entries, list):
                loud += any(entry.get("alert") for entry in entries)
            loud += frame.get("op") == "alert"
        return loud


def faults(screen: Screen) -> list[str]:
    """Faults of one screen: a message shown twice, or out of the order of its conversation."""
    found = [
        f"{screen.name}: shown twice: {x}" for x in set(screen.texts) if screen.texts.count(x) > 1
    ]
    last: dict[str, int] = {}
    for conversation_id, seq in screen.seqs:
        if seq <= last.get(conversation_id, 0):
            found.append(f"{screen.name}: {seq} after {last[conversation_id]}")
        last[conversation_id] = seq
    return found
