"""Pure bookkeeping behind "exactly once, in order": the chain of an inbox and the messages already shown."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from enum import Enum

from nightdesk_client.wire import InboxEntry, Message

REMEMBERED_MESSAGES = 50_000


class Verdict(Enum):
    """What to do with an entry."""

    NEW = "new"
    REPEAT = "repeat"
    GAP = "gap"


class Sequence:
    """The chain of one inbox: an entry counts only if it names the one that this client holds.

    `cursor` goes with the last whole frame; `position` with the last entry, which may be further on.
    """

    def __init__(self, *, cursor: str | None = None, position: int | None = None) -> None:
        self.cursor = cursor
        self.position = position

    def judge(self, entry: InboxEntry) -> Verdict:
        """Whether the entry follows. NEW moves the position; the others change nothing."""
        if self.position is not None:
            if entry.position <= self.position:
                return Verdict.REPEAT
            if entry.prev != self.position:
                return Verdict.GAP
        self.position = entry.position
        return Verdict.NEW

    def restart(self, *, cursor: str | None, position: int | None) -> None:
        """The server began a new chain for us: nothing held before binds any more."""
        self.cursor = cursor
        self.position = position


class Shown:
    """Messages already given to the application: the last ones by id, and how far each conversation got."""

    def __init__(self, already: Iterable[str] = (), *, limit: int = REMEMBERED_MESSAGES) -> None:
        self._limit = limit
        self._ids: OrderedDict[str, None] = OrderedDict.fromkeys(already)
        self._last: dict[str, tuple[int, str]] = {}

    def take(self, message: Message) -> bool:
        """True the first time, and the message counts as shown from now on."""
        if message.message_id in self._ids:
            return False
        self._ids[message.message_id] = None
        if len(self._ids) > self._limit:
            self._ids.popitem(last=False)
        seq, _ = self._last.get(message.conversation_id, (0, ""))
        if message.seq > seq:
            self._last[message.conversation_id] = (message.seq, message.message_id)
        return True

    def last(self, conversation_id: str) -> tuple[int, str]:
        """`seq` and id of the newest message shown of a conversation, (0, "") when there was none."""
        return self._last.get(conversation_id, (0, ""))
