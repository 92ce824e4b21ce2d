"""The only place that touches the inside of nats-py: raw writes and raw deliveries.

Why it stands apart: `Client.publish` awaits per message and swallows cancellation while it flushes, and
`Client._process_msg` parses headers and builds an object for every delivery (`parsing` hands most over before). Group commit and the
reader need neither. The version of nats-py is pinned and the contract tests hold these few lines.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import nats.errors
from nats.aio.client import Client, Srv
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport

from shared.bus.parsing import RawParser, Sink


class RawClient(Client):
    """A nats-py client with a write that never waits and subscriptions that skip the message object."""

    def __init__(self) -> None:
        super().__init__()
        self._sinks: dict[int, Sink] = {}
        self._ps = RawParser(self, self._sinks)

    def write(self, frames: bytes) -> None:
        """Write whole protocol frames, or queue them behind what nats-py has queued; the caller has checked
        `is_connected`.

        All frames of one call reach the transport together or not at all.
        """
        if not self._pending and isinstance(self._transport, TcpTransport):
            # The flusher is a task: waking it for each group of a few messages cost more than the write.
            self._transport.write(frames)  # type: ignore[no-untyped-call]
            return
        self._pending.append(frames)
        self._pending_data_size += len(frames)
        queue = cast("asyncio.Queue[asyncio.Future[None]]", self._flush_queue)
        if queue.empty():
            queue.put_nowait(asyncio.get_running_loop().create_future())

    async def hand_over(self) -> None:
        """Wait until the socket has taken what was queued, all but a little; at once when there is no connection."""
        task = asyncio.current_task()
        cancelled_before = task.cancelling() if task is not None else 0
        await self._flush_pending(force_flush=True)
        if task is not None and task.cancelling() > cancelled_before:
            # nats-py swallows it there; a service that was told to stop in this moment would go on for ever.
            raise asyncio.CancelledError

    def forget_unsent(self) -> None:
        """Drop frames that were queued for a lost connection.

        nats-py would send them on the next one, minutes late and beside our own second attempt.
        Subscriptions are replayed from its table, not from here.
        """
        self._pending.clear()
        self._pending_data_size = 0

    async def subscribe_raw(self, subject: str, sink: Sink) -> Subscription:
        """Subscribe with `sink` called in the read loop; there is no queue and no task."""
        subscription = await self.subscribe(subject)
        self._sinks[subscription._id] = sink  # noqa: SLF001
        return subscription

    async def unsubscribe_raw(self, subscription: Subscription) -> None:
        """End a raw subscription; harmless on a closed connection."""
        self._sinks.pop(subscription._id, None)  # noqa: SLF001
        if not self.is_closed and not self.is_draining:
            await subscription.unsubscribe()

    async def _process_err(self, err_msg: str) -> None:
        """Reconnect after what the server complains of; nats-py would close for ever.

        A missing permission is only reported: the connection stays.
        """
        if "permissions violation" in err_msg:
            await super()._process_err(err_msg)
            return
        err = nats.errors.Error(f"nats: {err_msg}")
        await self._error_cb(err)
        await self._process_op_err(err)

    async def _connect_to_server(self, s: Srv) -> None:
        """Close the socket of a handshake that failed; nats-py only forgets it."""
        if self._transport:
            self._transport.close()  # type: ignore[no-untyped-call]
        await super()._connect_to_server(s)

    @property
    def server_id(self) -> str:
        """Id of the server this client is connected to, as the server gave it."""
        info: dict[str, Any] = self._server_info
        return str(info.get("server_id", ""))

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        sink = self._sinks.get(sid)
        if sink is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            sink(subject, reply, data, headers)
