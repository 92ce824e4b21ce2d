"""From frames to the application: every entry exactly once, in order, with the messages that came along.

The connection hands entries in (`offer`), the application iterates. Between them is a bounded
queue. When it is full, entries are left with the server until the application has caught up; then the client
resumes from its cursor. Confirmations of sends never wait behind it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

import msgspec

from nightdesk_client.alarm import Alarm
from nightdesk_client.errors import NightdeskClientError
from nightdesk_client.history import History
from nightdesk_client.items import Bookmark, Entry, Item, Reset, Statistics, entry_of, history_entry
from nightdesk_client.sequence import Sequence, Shown, Verdict
from nightdesk_client.wire import Conversation, Entries, InboxEntry, Message, Welcome

QUEUE_ENTRIES = 5_000


class _Mark(msgspec.Struct, frozen=True):
    """The end of a frame: where the device stands once everything before is handled."""

    cursor: str | None
    position: int | None


class _Restart(msgspec.Struct, frozen=True, eq=False):
    """The chain begins anew: load everything."""

    cursor: str | None
    position: int | None


_Arrival = InboxEntry | _Mark | _Restart


class Feed:
    """The inbox of one device as its application sees it."""

    def __init__(
        self, history: History, bookmark: Bookmark, statistics: Statistics, *, alarm: Alarm
    ) -> None:
        self._history = history
        self._alarm = alarm
        self.statistics = statistics
        self._sequence = Sequence(cursor=bookmark.cursor, position=bookmark.position)
        self._shown = Shown(bookmark.ahead)
        self._ahead = dict(bookmark.ahead)
        self._queue: deque[_Arrival] = deque()
        self._filled = asyncio.Event()
        self._fault: NightdeskClientError | None = None
        self._is_full = False
        self._is_asked = False
        self._ready: deque[Item] = deque()
        self._to_load: deque[Conversation] = deque()
        self._reloading: _Restart | None = None
        self._taking = 0
        self._taking_of = ""
        self._seen: dict[str, int] = {}
        self.bookmark = bookmark
        self.on_taken: Callable[[int], None] = lambda _position: None
        self.on_drained: Callable[[], None] = lambda: None

    @property
    def cursor(self) -> str | None:
        """Where to resume."""
        return self._sequence.cursor

    def seen_up_to(self, conversation_id: str) -> int | None:
        """Position of the last entry of the conversation that the application was given."""
        return self._seen.get(conversation_id)

    def offer(self, frame: Entries) -> bool:
        """Take in a frame. False: an entry before it is missing, resume from the cursor."""
        self._is_full = self._is_full or len(self._queue) >= QUEUE_ENTRIES
        if self._is_full:
            return True
        for entry in frame.entries:
            match self._sequence.judge(entry):
                case Verdict.NEW:
                    self._put(entry)
                case Verdict.REPEAT:
                    self.statistics.repeats_dropped += 1
                case Verdict.GAP:
                    self.statistics.gaps += 1
                    return False
        self._sequence.cursor = frame.cursor
        self._put(_Mark(frame.cursor, self._sequence.position))
        return True

    def restart(self, welcome: Welcome) -> None:
        """The server starts afresh: what is queued is still good, then everything is loaded."""
        self._sequence.restart(cursor=welcome.cursor, position=welcome.position)
        self._is_full = False
        self.statistics.resets += 1
        self._put(_Restart(welcome.cursor, welcome.position))

    def forget_cursor(self) -> None:
        """Ask for a fresh start on the next hello."""
        self._sequence.cursor = None

    def resumed(self) -> None:
        """The server goes on from the cursor: what was left with it comes now."""
        self._is_full = False

    def fail(self, fault: NightdeskClientError) -> None:
        """Nothing more comes: the application gets what is queued, then the fault."""
        self._fault = fault
        self._filled.set()

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        """The next item. Taking it acknowledges it and moves the bookmark past it: an application that keeps the
        bookmark does so once it is done with the item. Giving up the wait loses nothing."""
        if self._is_asked:
            raise RuntimeError("entries() has one reader; share what it yields instead")
        self._is_asked = True
        try:
            while not self._ready:
                await self._prepare()
        finally:
            self._is_asked = False
        item = self._ready.popleft()
        is_last = not self._ready and not self._to_load
        if isinstance(item, Entry) and (item.is_history or is_last):
            # An assignment counts as seen only with the last of the messages that it brought.
            self._see(item.conversation_id, item.position)
        if is_last:
            self._see(self._taking_of, self._taking)
            self._taken()
        return item

    def _taken(self) -> None:
        """Everything up to `_taking` is with the application."""
        self.on_taken(self._taking)
        cursor, position = self.bookmark.cursor, self.bookmark.position
        if self._taking_of:
            position = self._taking
        while self._queue and (isinstance(self._queue[0], _Mark) or self._is_reloaded()):
            mark = self._queue.popleft()
            assert not isinstance(mark, InboxEntry)
            cursor, position = mark.cursor, mark.position
        if self._ahead:
            self._ahead = {x: at for x, at in self._ahead.items() if at > (position or 0)}
        self.bookmark = Bookmark(
            device=self.bookmark.device,
            cursor=cursor,
            position=position,
            ahead=self._ahead,
            alerted=self._alarm.alerted,
        )

    def _is_reloaded(self) -> bool:
        return self._queue[0] is self._reloading and not self._to_load

    async def _prepare(self) -> None:
        """One step towards the next item. Nothing leaves the queue before what it needs was read."""
        if self._to_load:
            await self._load(self._to_load[0])
            self._to_load.popleft()
            return
        arrival = await self._first()
        if isinstance(arrival, InboxEntry):
            self._ready.extend(await self._expand(arrival))
            self._taking, self._taking_of = arrival.position, arrival.conversation_id
            self._queue.popleft()
        elif isinstance(arrival, _Restart) and arrival is not self._reloading:
            conversations = await self._history.conversations()
            self._reloading = arrival
            self._to_load.extend(x for x in conversations if x.last_seq)
            self._taking, self._taking_of = arrival.position or 0, ""
            self._ready.append(Reset(conversations=conversations))
        if not self._ready:
            self._taken()
        if self._is_full and len(self._queue) < QUEUE_ENTRIES // 4:
            self.on_drained()

    async def _first(self) -> _Arrival:
        while not self._queue:
            if self._fault is not None:
                raise self._fault
            self._filled.clear()
            await self._filled.wait()
        return self._queue[0]

    async def _load(self, conversation: Conversation) -> None:
        seq, message_id = self._shown.last(conversation.conversation_id)
        found = await self._history.since(
            conversation.conversation_id, seq=seq, message_id=message_id
        )
        for message in found:
            if self._take(message):
                # The inbox may still come to it after the cursor; a restarted application must know then.
                self._ahead[message.message_id] = message.position
                self._ready.append(history_entry(message))

    def _put(self, arrival: _Arrival) -> None:
        self._queue.append(arrival)
        self._filled.set()

    async def _expand(self, entry: InboxEntry) -> list[Item]:
        items: list[Item] = []
        messages = [*await self._before(entry), *entry.messages]
        if entry.more:
            messages += await self._rest_of(entry)
        is_alerting = self._alarm.taken(entry)
        posted = entry.message if entry.kind == "message" else None
        if posted is None or self._take(posted):
            items.append(entry_of(entry, alert=is_alerting))
        items += [history_entry(x) for x in messages if self._take(x)]
        return items

    async def _before(self, entry: InboxEntry) -> list[Message]:
        """A conversation that comes back brings what its owner's inbox was not given yet. A device that was not there
        the first time has nothing of what lies before."""
        if entry.kind != "conversation_assigned":
            return []
        last_seq = entry.conversation.last_seq if entry.conversation else 0
        up_to_seq = entry.from_seq - 1 if entry.to_seq else last_seq
        known_seq, _ = self._shown.last(entry.conversation_id)
        if known_seq >= up_to_seq:
            return []
        return await self._history.messages(
            entry.conversation_id, after_seq=known_seq, up_to_seq=up_to_seq
        )

    async def _rest_of(self, entry: InboxEntry) -> list[Message]:
        after_seq = entry.messages[-1].seq if entry.messages else entry.from_seq - 1
        return await self._history.messages(
            entry.conversation_id, after_seq=after_seq, up_to_seq=entry.to_seq
        )

    def _take(self, message: Message) -> bool:
        if self._shown.take(message):
            return True
        self.statistics.repeats_dropped += 1
        return False

    def _see(self, conversation_id: str, position: int) -> None:
        self._seen[conversation_id] = max(self._seen.get(conversation_id, 0), position)
