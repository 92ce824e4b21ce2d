"""One device of one person, put together: outbox, live connection, feed and REST calls.

Lifecycle: made by `Visitor` or `Agent` as an asynchronous context manager; connects in the background, stays
connected until the block ends. Never call it from two event loops.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from nightdesk_client.alarm import Alarm
from nightdesk_client.api.account import AccountApi
from nightdesk_client.api.conversations import ConversationsApi
from nightdesk_client.api.routing import RoutingApi
from nightdesk_client.errors import Closed, NightdeskClientError
from nightdesk_client.feed import Feed
from nightdesk_client.history import History
from nightdesk_client.ids import new_id
from nightdesk_client.items import Alert, Bookmark, Item, Sent, Statistics
from nightdesk_client.live import Live, Place
from nightdesk_client.outbox import Draft, MemoryOutbox, Outbox
from nightdesk_client.outgoing import Outgoing
from nightdesk_client.rest import Rest
from nightdesk_client.sending import Sender
from nightdesk_client.tokens import TokenSource
from nightdesk_client.wire import Signal

_FLUSH_S = 1.0


def _ignore(_signal: Signal | Alert) -> None:
    return


class Options(msgspec.Struct, kw_only=True):
    """What an application may choose.

    `bookmark`: where this device stood before. `outbox`: where unconfirmed messages are kept. `on_signal` hears
    receipts, typing, who is looking and changed lists; `on_alert` is called once for each alert that this device,
    and no other of the same person, has to make. Neither may block. `http`: a session to share (its connector needs
    room for one connection per client). `origin`: the web origin to send, where an inbox lists its origins.
    """

    bookmark: Bookmark | None = None
    outbox: Outbox | None = None
    on_signal: Callable[[Signal], None] = _ignore
    on_alert: Callable[[Alert], None] = _ignore
    http: aiohttp.ClientSession | None = None
    origin: str | None = None


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """An identity: its id, its tokens, and the list that makes up its inbox."""

    id: str
    tokens: TokenSource
    view: str


class Client:
    """A device that stays in touch. `id` is the contact's or agent's id."""

    def __init__(
        self, http: aiohttp.ClientSession, base_url: str, *, who: Who, options: Options
    ) -> None:
        statistics = Statistics()
        wake = asyncio.Event()
        rest = Rest(http, base_url, tokens=who.tokens)
        conversations = ConversationsApi(rest)
        bookmark = options.bookmark or Bookmark(device=new_id())
        self._rest = rest
        alarm = Alarm(alerted=bookmark.alerted)
        alarm.on_alert = options.on_alert
        self._feed = Feed(History(conversations, view=who.view), bookmark, statistics, alarm=alarm)
        self._sender = Sender(options.outbox or MemoryOutbox(), statistics, wake=wake.set)
        self._outgoing = Outgoing(self._sender, wake, alarm=alarm)
        self._feed.on_taken = self._outgoing.received
        self._feed.on_drained = self.cut
        self._live = Live(
            http,
            Place(url=_socket_url(base_url), device=bookmark.device, origin=options.origin),
            who.tokens,
            feed=self._feed,
            outgoing=self._outgoing,
        )
        self._live.on_signal = options.on_signal
        self._tokens = who.tokens
        self._fault: NightdeskClientError | None = None
        self._ended = asyncio.Event()
        self.id = who.id
        self.conversations = conversations
        self.account = AccountApi(rest)
        self.routing = RoutingApi(rest)
        self.statistics = statistics

    @property
    def bookmark(self) -> Bookmark:
        """Where this device stands; keep it to go on after a restart of the application."""
        return self._feed.bookmark

    @property
    def is_open(self) -> bool:
        """Whether a session stands right now. Nothing needs to wait for it."""
        return self._live.opened.is_set()

    @property
    def unread(self) -> int | None:
        """Unread messages as the last welcome told them, None when unknown."""
        return self._live.welcome.unread if self._live.welcome else None

    @property
    def unconfirmed(self) -> int:
        """Messages whose outcome is not known yet."""
        return self._sender.unconfirmed

    async def token(self) -> str:
        """The token in use, to keep a visitor's for the next arrival."""
        return await self._tokens.current()

    async def opened(self) -> None:
        """Wait until a session stands. Raises what ended the client, if it ended first."""
        waits = [asyncio.create_task(x.wait()) for x in (self._live.opened, self._ended)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._fault is not None:
            raise self._fault

    async def send(
        self,
        conversation_id: str,
        text: str,
        *,
        message_id: str = "",
        seen_up_to: int | None = None,
        only_if_seen: bool = False,
    ) -> Sent:
        """Post a message; returns once it is durable, however many connections that takes.

        `seen_up_to` is filled with what this device was shown of the conversation. With `only_if_seen` an agent's answer
        is refused (code "crossed") when somebody else wrote after that. Raises `SendRefused`.
        """
        draft = Draft(
            conversation_id=conversation_id,
            message_id=message_id or new_id(),
            text=text,
            seen_up_to=seen_up_to or self._feed.seen_up_to(conversation_id),
            only_if_seen=only_if_seen,
        )
        sent = await self._sender.send(draft)
        self._rest.saw(sent.position)
        return sent

    def entries(self) -> AsyncIterator[Item]:
        """Everything that happens in the inbox, exactly once and in order. One reader at a time;
        leaving the loop and coming back later goes on where it stood."""
        return self._feed

    def read(self, conversation_id: str, up_to: int) -> None:
        """The person has seen the conversation up to a position."""
        self._outgoing.read(conversation_id, up_to)

    def typing(self, conversation_id: str, *, is_typing: bool = True) -> None:
        """The person types, or stopped."""
        self._outgoing.typing(conversation_id, is_typing=is_typing)

    def looking(self, conversation_id: str, *, is_looking: bool = True) -> None:
        """The agent has the conversation open on this device, or closed it. `LookingNow` tells who else has."""
        self._outgoing.looking(conversation_id, is_looking=is_looking)

    def cut(self, *, after_next_send: bool = False) -> None:
        """Break the connection as a dead network does; the client comes back by itself. For drills and tests."""
        self._live.cut(after_next_send=after_next_send)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Client]:
        """Connected for the length of the block."""
        await self._sender.open()
        task = asyncio.create_task(self._run(), name="nightdesk-client")
        try:
            yield self
        finally:
            await self._live.flush(timeout_s=_FLUSH_S)
            task.cancel()
            await asyncio.wait([task], timeout=5.0)
            self._fail(Closed("the client was closed"))
            await self._sender.close()

    async def _run(self) -> None:
        try:
            await self._live.run()
        except NightdeskClientError as fault:
            self._fail(fault)

    def _fail(self, fault: NightdeskClientError) -> None:
        self._fault = self._fault or fault
        self._ended.set()
        self._feed.fail(fault)
        self._sender.fail(fault)


@asynccontextmanager
async def http_session(options: Options) -> AsyncIterator[aiohttp.ClientSession]:
    """The shared session, or one of its own."""
    if options.http is not None:
        yield options.http
        return
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        yield http


def _socket_url(base_url: str) -> str:
    scheme, _, rest = base_url.rstrip("/").partition("://")
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws"
