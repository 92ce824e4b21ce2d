"""The connection to NATS: connect, core publish, request/reply, subscribe, drain.

Lifecycle: `connect` once per process, `close` last of all. The connection comes back by itself for
ever; `reconnects` grows when it does, and readers and writers act on that.
Never: a wait without a time-out; a frame of a lost connection sent on the next one.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable

import msgspec
import nats.errors
import structlog
from nats.aio.client import Server
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from shared.bus import metrics
from shared.bus.backoff import jitter
from shared.bus.client import RawClient
from shared.errors import Malformed, Unavailable

log = structlog.get_logger(__name__)

_BACKOFF_FIRST_S = 0.05
_BACKOFF_MOST_S = 2.0


class BusSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach NATS. `url` may list several servers, separated by commas."""

    url: str = "nats://127.0.0.1:4222"
    name: str = "nightdesk"
    username: str | None = None
    password: str | None = None
    token: str | None = None
    tls_ca: str | None = None
    connect_timeout_s: float = 5.0
    request_timeout_s: float = 5.0
    drain_timeout_s: float = 10.0
    ping_interval_s: int = 2
    pending_bytes: int = 32 * 1024 * 1024


class CoreMessage:
    """A core NATS message as a handler sees it."""

    __slots__ = ("_bus", "_reply_to", "payload", "subject")

    def __init__(self, bus: Bus, message: Msg) -> None:
        self._bus = bus
        self._reply_to = message.reply
        self.subject = message.subject
        self.payload = message.data

    @property
    def wants_reply(self) -> bool:
        """Whether the sender waits for an answer."""
        return bool(self._reply_to)

    async def reply(self, payload: bytes) -> None:
        """Answer the sender; nothing happens if no answer was asked for or the connection is gone.

        Malformed: larger than the server takes."""
        if self._reply_to:
            await self._bus.publish(self._reply_to, payload)


Handler = Callable[[CoreMessage], Awaitable[None]]


class Subscription:
    """A running subscription; `close` ends it."""

    def __init__(self, bus: Bus, handler: Handler, concurrency: int) -> None:
        self._bus = bus
        self._handler = handler
        self._places = asyncio.Semaphore(concurrency)
        self._is_serial = concurrency == 1
        self._tasks: set[asyncio.Task[None]] = set()
        self._inner: NatsSubscription | None = None

    async def open(self, subject: str, queue: str) -> None:
        """Subscribe at the server."""
        self._inner = await self._bus.client.subscribe(subject, queue=queue, cb=self._receive)

    async def close(self) -> None:
        """Unsubscribe; handlers that already run go on to their end."""
        inner, self._inner = self._inner, None
        self._bus.forget(self)
        if (
            inner is not None
            and not self._bus.client.is_closed
            and not self._bus.client.is_draining
        ):
            await inner.unsubscribe()

    async def finish(self, timeout_s: float) -> None:
        """Wait for handlers that still run."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    async def _receive(self, message: Msg) -> None:
        if self._is_serial:
            await self._handle(message)
            return
        await self._places.acquire()
        task = asyncio.create_task(self._handle(message))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._places.release()

    async def _handle(self, message: Msg) -> None:
        try:
            await self._handler(CoreMessage(self._bus, message))
        except Exception:
            log.exception("bus_handler_failed", subject=message.subject)


class Bus:
    """One connection to NATS, shared by everything in the process."""

    def __init__(self, settings: BusSettings) -> None:
        self.settings = settings
        self.client = RawClient()
        self.reconnects = 0
        self._lost_at: float | None = None
        self._up = asyncio.Event()
        self._on_loss: list[Callable[[], None]] = []
        self._subscriptions: list[Subscription] = []

    @property
    def is_connected(self) -> bool:
        """Whether the server can be reached now, as far as this client knows."""
        return self.client.is_connected and self._up.is_set()

    @property
    def disconnected_s(self) -> float:
        """For how long the connection has been down; 0 while it is up."""
        return 0.0 if self._lost_at is None else time.monotonic() - self._lost_at

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait for the connection; False if it is still down after `timeout_s`."""
        if self.is_connected:
            return True
        # nats-py knows of a loss a little before it says so; waiting for `_up` would return at once.
        self._note_loss()
        try:
            async with asyncio.timeout(timeout_s):
                await self._up.wait()
        except TimeoutError:
            return False
        return self.is_connected

    def on_loss(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, in the event loop, whenever the connection is lost."""
        self._on_loss.append(callback)

    def off_loss(self, callback: Callable[[], None]) -> None:
        """Forget a callback given to `on_loss`."""
        if callback in self._on_loss:
            self._on_loss.remove(callback)

    async def publish(self, subject: str, payload: bytes) -> None:
        """Core NATS, at most once: dropped and counted while the connection is down or about to be closed.

        Malformed: larger than the server takes.
        """
        if not self.is_connected:
            metrics.DROPPED.inc()
            return
        self._check_size(payload)
        try:
            await self.client.publish(subject, payload)
        except (nats.errors.ConnectionDrainingError, nats.errors.ConnectionClosedError):
            # A slow handler answers after its process was told to end: whoever asked asks somebody else.
            metrics.DROPPED.inc()

    async def request(
        self, subject: str, payload: bytes, *, timeout_s: float | None = None
    ) -> bytes:
        """Ask and wait for one answer. Unavailable: nobody listens, no answer in time, no connection."""
        if not self.is_connected:
            raise Unavailable("not connected to NATS", code="disconnected")
        self._check_size(payload)
        wait_s = self.settings.request_timeout_s if timeout_s is None else timeout_s
        task = asyncio.current_task()
        cancelled_before = task.cancelling() if task is not None else 0
        try:
            answer = await self.client.request(subject, payload, timeout=wait_s)
        except nats.errors.NoRespondersError as err:
            raise Unavailable(f"nobody answers on {subject}", code="no_responders") from err
        except (nats.errors.Error, TimeoutError, OSError) as err:
            raise Unavailable(f"no answer on {subject} within {wait_s} s", code="timeout") from err
        if task is not None and task.cancelling() > cancelled_before:
            # `wait_for` of Python 3.11 forgets a cancellation that comes in the same moment as the answer.
            raise asyncio.CancelledError
        return answer.data

    async def subscribe(
        self, subject: str, handler: Handler, *, queue: str = "", concurrency: int = 1
    ) -> Subscription:
        """Hand messages to `handler`, one after the other, or up to `concurrency` at a time.

        An exception in a handler is logged; the subscription goes on.
        """
        subscription = Subscription(self, handler, concurrency)
        await subscription.open(subject, queue)
        self._subscriptions.append(subscription)
        return subscription

    async def listen(self, subject: str, hear: Callable[[bytes], None]) -> None:
        """Hand payloads to `hear` where they are read from the connection, for as long as it lives: no queue, no task, no
        object a message. For what never waits and says no more than it must.

        An exception is logged; the next payload is handed over all the same.
        """

        def sink(_subject: bytes, _reply: bytes, payload: bytes, _headers: bytes) -> None:
            try:
                hear(payload)
            except Exception:
                log.exception("bus_handler_failed", subject=subject)

        await self.client.subscribe_raw(subject, sink)

    def forget(self, subscription: Subscription) -> None:
        """A subscription that was closed has nothing to finish when the bus closes."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    async def close(self) -> None:
        """Let handlers finish, send what is queued, close. Never longer than the drain time-out."""
        for subscription in tuple(self._subscriptions):
            await subscription.finish(self.settings.drain_timeout_s)
        try:
            async with asyncio.timeout(self.settings.drain_timeout_s):
                if self.client.is_connected:
                    await self.client.drain()
        except (nats.errors.Error, TimeoutError, OSError):
            log.warning("bus_drain_incomplete")
        if not self.client.is_closed:
            await self.client.close()
        self._up.clear()

    async def open(self) -> None:
        """Connect for the first time. Unavailable: no server answered in time."""
        settings = self.settings
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                await self.client.connect(
                    servers=[part.strip() for part in settings.url.split(",") if part.strip()],
                    name=settings.name,
                    error_cb=self._failed,
                    disconnected_cb=self._lost,
                    reconnected_cb=self._back,
                    closed_cb=self._closed,
                    connect_timeout=max(1, round(settings.connect_timeout_s)),
                    max_reconnect_attempts=-1,
                    ping_interval=settings.ping_interval_s,
                    max_outstanding_pings=2,
                    pending_size=settings.pending_bytes,
                    flush_timeout=settings.request_timeout_s,
                    drain_timeout=max(1, round(settings.drain_timeout_s)),
                    reconnect_to_server_handler=_next_server,
                    user=settings.username,
                    password=settings.password,
                    token=settings.token,
                    tls=_tls(settings.tls_ca),
                )
        except (nats.errors.Error, TimeoutError, OSError) as err:
            reason = type(self.client.last_error or err).__name__
            await self.client.close()
            raise Unavailable(f"no connection to NATS ({reason})", code="disconnected") from err
        self._up.set()

    def _check_size(self, payload: bytes) -> None:
        if len(payload) > self.client.max_payload:
            raise Malformed("the payload is larger than the server takes", code="too_large")

    async def _failed(self, err: Exception) -> None:
        if not isinstance(err, OSError):
            said = str(err) if type(err) is nats.errors.Error else ""
            log.warning("bus_client_error", kind=type(err).__name__, said=said)

    async def _lost(self) -> None:
        self._note_loss()
        self.client.forget_unsent()

    def _note_loss(self) -> None:
        if not self._up.is_set():
            return
        self._up.clear()
        self._lost_at = time.monotonic()
        if not self.client.is_closed:
            log.warning("bus_disconnected")
        for callback in tuple(self._on_loss):
            callback()

    async def _back(self) -> None:
        self.reconnects += 1
        self._lost_at = None
        self._up.set()
        metrics.RECONNECTS.inc()
        log.info("bus_reconnected", reconnects=self.reconnects)

    async def _closed(self) -> None:
        self._up.clear()


def _tls(ca_file: str | None) -> ssl.SSLContext | None:
    return None if ca_file is None else ssl.create_default_context(cafile=ca_file)


def _next_server(servers: list[Server], _info: dict[str, object]) -> tuple[Server, float]:
    """The server tried least, after a delay with full jitter, so that a fleet does not return at once."""
    server = min(servers, key=lambda each: (each.reconnects, jitter(1)))
    most_s = min(_BACKOFF_MOST_S, _BACKOFF_FIRST_S * 2 ** min(server.reconnects, 10))
    return server, jitter(most_s)


async def connect(settings: BusSettings) -> Bus:
    """Connect to NATS. Unavailable: no server answered within `connect_timeout_s`."""
    bus = Bus(settings)
    await bus.open()
    return bus
