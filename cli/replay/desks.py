"""The agents' side: each desk is an agent with one device who may hold several conversations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Protocol

import aiohttp

from cli.replay.record import Record
from cli.stage import Credentials
from nightdesk_client import Agent, Client, Entry, Options, Reset


class Held(Protocol):
    """What a desk tells a conversation (the play of it, or a test's stand-in)."""

    def given_to(self, desk: Desk, position: int) -> None:
        """The desk holds the conversation from `position` on."""

    def taken_from(self, desk: Desk, position: int) -> None:
        """The desk does not hold it any more."""

    def not_with(self, desk: Desk) -> None:
        """A reload shows that the desk does not hold it."""

    def shown(self) -> None:
        """The desk was shown something of it."""


class Desk:
    """One agent on duty."""

    def __init__(self, credentials: Credentials, *, find: Callable[[str], Held | None]) -> None:
        self._credentials = credentials
        self._find = find
        self._stack = AsyncExitStack()
        self._reader: asyncio.Task[None] | None = None
        self._client: Client | None = None
        self._held: set[str] = set()
        self.agent_id = credentials.agent_id
        self.record = Record()

    @property
    def client(self) -> Client:
        """The signed-in client."""
        if self._client is None:
            raise RuntimeError("this desk is not signed in")
        return self._client

    @property
    def repeats(self) -> int:
        """Repeats on the wire: messages sent again and entries received again."""
        if self._client is None:
            return 0
        return self._client.statistics.repeats_dropped + self._client.statistics.resends

    async def sign_in(self, url: str, http: aiohttp.ClientSession) -> None:
        """On duty until `sign_out`."""
        signing_in = Agent.sign_in(
            url, self._credentials.email, self._credentials.password, options=Options(http=http)
        )
        self._client = await self._stack.enter_async_context(signing_in)
        self._reader = asyncio.create_task(self._work(self._client), name="desk")

    async def sign_out(self) -> None:
        """Off duty."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
            self._reader = None
        await self._stack.aclose()

    def check(self) -> None:
        """Raises what ended the desk's work, if something did."""
        if self._reader is not None and self._reader.done():
            self._reader.result()

    async def _work(self, client: Client) -> None:
        async for item in client.entries():
            match item:
                case Entry():
                    self._take(item)
                case Reset():
                    self._reload(item)

    def _reload(self, reset: Reset) -> None:
        """What happened while this device had no cursor is told by no entry: the list says what the desk holds."""
        mine = {x.conversation_id: x for x in reset.conversations if x.agent_id == self.agent_id}
        for conversation_id in self._held - mine.keys():
            if play := self._find(conversation_id):
                play.not_with(self)
        self._held = set(mine)
        for conversation_id, conversation in mine.items():
            if play := self._find(conversation_id):
                play.given_to(self, conversation.version)

    def _take(self, entry: Entry) -> None:
        play = self._find(entry.conversation_id)
        if play is None:
            return
        match entry.kind:
            case "message" if entry.message is not None:
                self.record.note(entry.message)
                play.shown()
            case "conversation_assigned":
                self._held.add(entry.conversation_id)
                play.given_to(self, entry.position)
            case "conversation_left":
                self._held.discard(entry.conversation_id)
                play.taken_from(self, entry.position)
            case _:
                return
