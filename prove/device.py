"""A device of a visitor or an agent: the client library in the hands of an application that cuts, resends and roams.

Roaming closes the client and goes on with the same bookmark and outbox at another gateway, as an application does
that is restarted with its state on disk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Literal

from nightdesk_client import (
    Alert,
    Bookmark,
    Client,
    Closed,
    Entry,
    Item,
    MemoryOutbox,
    NightdeskClientError,
    Options,
    Reset,
    SendRefused,
    Sent,
    Unreachable,
)
from prove.diary import Diary, Ring, Said, Screen, Shown, now_s

Opening = Callable[[str, Options], AbstractAsyncContextManager[Client]]
Reads = Literal["all", "called", "nothing"]
"""What is marked as read: a mark of every device at once would answer for the one that did not ring."""
_LEAVE_S = 10.0
_AGAIN_S = 0.5
_CLOSED_S = 0.05


class Device:
    """One device. `be_at` brings it to a gateway (or away, with an empty address)."""

    def __init__(self, diary: Diary, screen: Screen, opening: Opening) -> None:
        self.screen = screen
        self.client: Client | None = None
        self.reads: Reads = "all"
        self.on_shown: Callable[[Shown], None] = lambda _shown: None
        self._opening = opening
        self._outbox = MemoryOutbox()
        self._gaps = 0
        self._moving = asyncio.Lock()
        self._bookmark: Bookmark | None = None
        self._life: asyncio.Task[None] | None = None
        self._here = asyncio.Event()
        self._leave = asyncio.Event()
        self._turns: dict[str, asyncio.Lock] = {}
        diary.screens.append(screen)

    async def be_at(self, url: str) -> None:
        """Go on at this gateway; an empty address: switched off. A move once begun is carried through: one that was
        cancelled half-way would leave a device that is neither here nor there."""
        await asyncio.shield(asyncio.ensure_future(self._move(url)))

    async def come_back(self, url: str) -> None:
        """Switched on, if it is not."""
        async with self._moving:
            is_on = self._life is not None and not self._life.done()
        if not is_on:
            await self.be_at(url)

    async def _move(self, url: str) -> None:
        async with self._moving:
            await self._go()
            if not url:
                return
            self._leave = asyncio.Event()
            self._life = asyncio.create_task(self._live(url), name=self.screen.name)
            self._life.add_done_callback(self._lived)

    async def here(self) -> Client:
        """The client, as soon as there is one."""
        while self.client is None:
            await self._here.wait()
        return self.client

    async def say(self, said: Said) -> None:
        """Send until the outcome is known, over as many clients as that takes."""
        sending = await self._hand_over(said)
        while not said.told_s and not said.refused:
            try:
                sent = await sending
            except SendRefused as err:
                said.refused = err.code
            except Closed:
                sending = await self._hand_over(said)
            else:
                said.position, said.told_s = sent.position, now_s()

    async def _hand_over(self, said: Said) -> asyncio.Task[Sent]:
        """Put it into the outbox, behind what was said before: two who wait for the same client need not come to it in
        their order, and that would be nobody's fault but ours."""
        async with self._turns.setdefault(said.conversation_id, asyncio.Lock()):
            while True:
                client = await self.here()
                sending = asyncio.create_task(
                    client.send(said.conversation_id, said.text, message_id=said.message_id)
                )
                # It is in the outbox with its first step, or the client has ended.
                await asyncio.sleep(0)
                if not sending.done() or not isinstance(sending.exception(), Closed):
                    return sending
                await asyncio.sleep(_CLOSED_S)

    async def _go(self) -> None:
        life, self._life = self._life, None
        if life is None:
            return
        self._leave.set()
        await asyncio.wait([life], timeout=_LEAVE_S)
        if not life.done():
            life.cancel()
            await asyncio.wait([life], timeout=_LEAVE_S)

    async def _live(self, url: str) -> None:
        """One life of the application, begun again while the door can't be reached, as a person would."""
        while not self._leave.is_set():
            try:
                await self._live_once(url)
            except Unreachable:
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    async def _live_once(self, url: str) -> None:
        options = Options(bookmark=self._bookmark, outbox=self._outbox, on_alert=self._ring)
        screen = self.screen
        try:
            async with self._opening(url, options) as client:
                screen.life += 1
                screen.is_open = True
                self.client = client
                self._here.set()
                await self._read_until_leaving(client)
        except Unreachable:
            raise
        except NightdeskClientError as err:
            screen.ended = f"{type(err).__name__} {err}"
        finally:
            self._here.clear()
            self.client = None
            screen.is_open = False

    def _lived(self, life: asyncio.Task[None]) -> None:
        """What nobody expected to end a client is a finding too."""
        if not life.cancelled() and (fault := life.exception()) is not None:
            self.screen.ended = f"{type(fault).__name__} {fault}"

    async def _read_until_leaving(self, client: Client) -> None:
        reader = asyncio.create_task(self._read(client))
        leaving = asyncio.create_task(self._leave.wait())
        await asyncio.wait([reader, leaving], return_when=asyncio.FIRST_COMPLETED)
        self.client = None
        self._here.clear()
        for task in (reader, leaving):
            task.cancel()
        await asyncio.wait([reader, leaving], timeout=_LEAVE_S)
        self._bookmark = client.bookmark
        self._gaps += client.statistics.gaps
        if reader.done() and not reader.cancelled():
            reader.result()

    async def _read(self, client: Client) -> None:
        async for item in client.entries():
            self._take(client, item)

    def _take(self, client: Client, item: Item) -> None:
        screen = self.screen
        screen.gaps = self._gaps + client.statistics.gaps
        if isinstance(item, Reset):
            screen.reset_in = screen.life
            screen.held = {
                x.conversation_id: x.version
                for x in item.conversations
                if x.agent_id == screen.owner
            }
            return
        if item.kind == "conversation_assigned":
            screen.held[item.conversation_id] = item.position
        elif item.kind == "conversation_left":
            screen.held.pop(item.conversation_id, None)
        elif item.kind == "message" and item.message is not None:
            self._show(client, item)

    def _ring(self, alert: Alert) -> None:
        self.screen.rings.append(Ring(position=alert.position, at_s=time.time()))

    def _show(self, client: Client, entry: Entry) -> None:
        message = entry.message
        if message is None:
            return
        shown = Shown(
            message_id=message.message_id,
            conversation_id=message.conversation_id,
            position=message.position,
            seq=message.seq,
            text=message.text or "",
            author=message.author.id,
            life=self.screen.life,
            is_history=entry.is_history,
            at_s=now_s(),
        )
        is_first = shown.message_id not in self.screen.ids
        self.screen.shown.append(shown)
        self.screen.ids.add(shown.message_id)
        is_looked_at = self.reads == "all" or (self.reads == "called" and entry.alert)
        if shown.author != self.screen.owner and is_looked_at:
            client.read(shown.conversation_id, entry.position)
        if is_first:
            self.on_shown(shown)
