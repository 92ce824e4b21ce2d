"""Sends drafts until each outcome is known: one at a time per conversation, under the same MessageID.

Within a conversation the next draft waits for a definite outcome of the one before, so a retry can never be
overtaken. Conversations don't wait for each other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from nightdesk_client.backoff import Backoff
from nightdesk_client.errors import NightdeskClientError, SendRefused
from nightdesk_client.items import Sent, Statistics
from nightdesk_client.outbox import Draft, Outbox
from nightdesk_client.wire import Err, Ok, Send

ANSWER_S = 15.0
IN_FLIGHT = 64


class _Pending:
    """A draft and where it stands."""

    def __init__(self, draft: Draft, *, outcome: asyncio.Future[Sent]) -> None:
        self.draft = draft
        self.outcome = outcome
        self.is_kept = False
        self.is_waiting = False
        self.may_be_stored = False
        self.frame_id: int | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.backoff = Backoff()

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Sender:
    """Owns the outbox. `due` hands out frames, `on_ok` and `on_err` take the answers."""

    def __init__(self, outbox: Outbox, statistics: Statistics, *, wake: Callable[[], None]) -> None:
        self._outbox = outbox
        self._statistics = statistics
        self._wake = wake
        self._lanes: dict[str, deque[_Pending]] = {}
        self._pending: dict[str, _Pending] = {}
        self._ready: deque[_Pending] = deque()
        self._in_flight: dict[int, _Pending] = {}
        self._next_frame = 0
        self._fault: NightdeskClientError | None = None

    async def open(self) -> None:
        """Take up what an earlier client left; it may have been stored, so it goes out as a resend."""
        for draft in await self._outbox.open():
            pending = self._enqueue(draft)
            pending.is_kept = pending.may_be_stored = True
            self._offer(draft.conversation_id)

    @property
    def unconfirmed(self) -> int:
        """Drafts whose outcome is not known yet."""
        return len(self._pending)

    async def send(self, draft: Draft) -> Sent:
        """Returns once the message is durable. Cancelling the wait does not take the message back.

        Raises `SendRefused` when the server will never accept it, and what closed the client when it closed first.
        """
        if self._fault is not None:
            raise self._fault
        pending = self._pending.get(draft.message_id)
        if pending is None:
            pending = self._enqueue(draft)
            await self._outbox.add(draft)
            pending.is_kept = True
            self._offer(draft.conversation_id)
        return await asyncio.shield(pending.outcome)

    def due(self) -> Send | None:
        """The next frame to write, or None when there is nothing to write now."""
        if not self._ready or len(self._in_flight) >= IN_FLIGHT:
            return None
        pending = self._ready.popleft()
        self._next_frame += 1
        pending.frame_id = self._next_frame
        self._in_flight[self._next_frame] = pending
        loop = asyncio.get_running_loop()
        pending.timer = loop.call_later(ANSWER_S, self._overdue, pending)
        self._statistics.resends += pending.may_be_stored
        draft = pending.draft
        return Send(
            id=self._next_frame,
            conversation_id=draft.conversation_id,
            message_id=draft.message_id,
            text=draft.text,
            resend=pending.may_be_stored,
            seen_up_to=draft.seen_up_to,
            only_if_seen=draft.only_if_seen,
        )

    async def on_ok(self, frame: Ok) -> None:
        """Durable. An answer to an earlier attempt counts as well: it is the same message."""
        flying = self._in_flight.get(frame.id)
        message_id = frame.message_id or (flying.draft.message_id if flying else "")
        pending = self._pending.get(message_id)
        if pending is None:
            return
        self._settle(pending)
        if not pending.outcome.done():
            pending.outcome.set_result(Sent(message_id=message_id, position=frame.position))
        await self._outbox.remove(message_id)

    async def on_err(self, frame: Err) -> None:
        """Refused for ever, or to be tried again later under the same id."""
        pending = self._in_flight.get(frame.id) if frame.id is not None else None
        if pending is None:
            return
        if frame.retry:
            pending.may_be_stored |= frame.code == "unknown"
            self._try_later(pending)
            return
        self._settle(pending)
        message_id = pending.draft.message_id
        if not pending.outcome.done():
            refusal = SendRefused(frame.code, frame.message, message_id=message_id)
            pending.outcome.set_exception(refusal)
        await self._outbox.remove(message_id)

    def on_lost(self) -> None:
        """The connection is gone: whatever was under way may have been stored."""
        for pending in list(self._in_flight.values()):
            pending.may_be_stored = True
            self._land(pending)
            self._offer(pending.draft.conversation_id)

    def fail(self, fault: NightdeskClientError) -> None:
        """Nothing will be sent any more; the drafts stay in the outbox."""
        self._fault = fault
        for pending in self._pending.values():
            pending.stop_timer()
            if not pending.outcome.done():
                pending.outcome.set_exception(fault)

    async def close(self) -> None:
        """Let go of the outbox."""
        await self._outbox.close()

    def _enqueue(self, draft: Draft) -> _Pending:
        outcome: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        # Nobody may be waiting (a draft of an earlier client, a cancelled caller): that is no error of ours.
        outcome.add_done_callback(lambda done: done.cancelled() or done.exception())
        pending = _Pending(draft, outcome=outcome)
        self._pending[draft.message_id] = pending
        self._lanes.setdefault(draft.conversation_id, deque()).append(pending)
        return pending

    def _offer(self, conversation_id: str) -> None:
        lane = self._lanes.get(conversation_id)
        if not lane:
            return
        head = lane[0]
        if head.is_kept and not head.is_waiting and head.frame_id is None:
            head.is_waiting = True
            self._again(head)

    def _again(self, pending: _Pending) -> None:
        pending.stop_timer()
        if pending.draft.message_id in self._pending and self._fault is None:
            self._ready.append(pending)
            self._wake()

    def _try_later(self, pending: _Pending) -> None:
        self._land(pending)
        pending.is_waiting = True
        delay_s = pending.backoff.next_s()
        pending.timer = asyncio.get_running_loop().call_later(delay_s, self._again, pending)
        self._wake()

    def _overdue(self, pending: _Pending) -> None:
        pending.may_be_stored = True
        self._try_later(pending)

    def _land(self, pending: _Pending) -> None:
        pending.stop_timer()
        if pending.frame_id is not None:
            self._in_flight.pop(pending.frame_id, None)
            pending.frame_id = None
        pending.is_waiting = False

    def _settle(self, pending: _Pending) -> None:
        self._land(pending)
        del self._pending[pending.draft.message_id]
        if pending in self._ready:
            self._ready.remove(pending)
        lane = self._lanes[pending.draft.conversation_id]
        lane.remove(pending)
        if lane:
            self._offer(pending.draft.conversation_id)
        else:
            del self._lanes[pending.draft.conversation_id]
        self._wake()
