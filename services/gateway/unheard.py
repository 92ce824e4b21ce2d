"""What agents' devices were told to alert for and who has answered, pure: one book for this gateway's share.

A device that is told may alert for a few seconds; then the lock may be somewhere else. An acknowledgement in that time,
or one that says "alerted", answers for everything up to there; a later one does not: the device was silent, as one
that was never told. Nor does one over a newer connection: what was told may have been lost with the old one.
What is read, or older than `alert_for_s`, needs no answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from shared.commands import Waiting
from shared.ids import AccountId, AgentId, DeviceId, Position

_MOST_ENTRIES = 256
_FIRST_S = 1.0
_AGAIN_S = 1.0
_KEPT_S = 600.0


class Alerting(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that is worth an alert until `until_ns` (log time)."""

    position: Position
    conversation_id: str
    until_ns: int


class Ear(msgspec.Struct, frozen=True, kw_only=True):
    """A device as it is connected since `since_s`."""

    device_id: DeviceId
    since_s: float


class _Told(msgspec.Struct, kw_only=True):
    """A device was told. `since_s`: its right runs from there; `sent_s`: when a frame last said so."""

    since_s: float
    sent_s: float


class _Entry:
    __slots__ = ("conversation_id", "handed_s", "told", "until_ns")

    def __init__(self, alerting: Alerting, now_s: float) -> None:
        self.conversation_id = alerting.conversation_id
        self.until_ns = alerting.until_ns
        self.handed_s = now_s
        self.told: dict[DeviceId, _Told] = {}


class _Book:
    """One agent's."""

    __slots__ = (
        "account_id",
        "acked_s",
        "entries",
        "heard",
        "said_s",
        "settled",
        "told_heard",
        "used_s",
    )

    def __init__(self, account_id: AccountId) -> None:
        self.account_id = account_id
        self.entries: dict[Position, _Entry] = {}
        self.heard: Position = 0
        self.told_heard: Position = 0
        self.settled: Position = 0
        self.acked_s: dict[DeviceId | None, float] = {}
        self.said_s: float | None = None
        """When presence was last told that something waits; None when it thinks that nothing does."""
        self.used_s = 0.0

    def silent(self) -> dict[DeviceId | None, tuple[float, Position]]:
        """Devices that owe an answer: since when, and the oldest entry of theirs."""
        found: dict[DeviceId | None, tuple[float, Position]] = {}
        for position, entry in self.entries.items():
            for device_id, told in entry.told.items():
                since_s, oldest = found.get(device_id, (told.since_s, position))
                found[device_id] = (min(since_s, told.since_s), min(oldest, position))
        return {
            device_id: (max(since_s, self.acked_s.get(device_id, since_s)), oldest)
            for device_id, (since_s, oldest) in found.items()
        }


class Unheard:
    """The books of all agents. Times in seconds are the process's monotonic ones."""

    def __init__(self, *, wait_s: float) -> None:
        self._wait_s = wait_s
        self._books: dict[AgentId, _Book] = {}

    def handed(
        self,
        agent: tuple[AccountId, AgentId],
        entries: Iterable[Alerting],
        told: DeviceId | None,
        now_s: float,
    ) -> None:
        """Entries went to a device; `told` if it may alert."""
        book = self._book(agent, now_s)
        for alerting in entries:
            if alerting.position <= book.heard:
                continue
            entry = book.entries.get(alerting.position)
            if entry is None:
                entry = book.entries[alerting.position] = _Entry(alerting, now_s)
            if told is not None:
                entry.told.setdefault(told, _Told(since_s=now_s, sent_s=now_s)).sent_s = now_s
        while len(book.entries) > _MOST_ENTRIES:
            del book.entries[next(iter(book.entries))]

    def told(
        self, agent: tuple[AccountId, AgentId], device_id: DeviceId, alert: Alerting, now_s: float
    ) -> None:
        """An `alert` frame went to a device: it answers for everything up to there."""
        book = self._book(agent, now_s)
        if alert.position <= book.heard:
            return
        if alert.position not in book.entries:
            book.entries[alert.position] = _Entry(alert, now_s)
        for position, entry in book.entries.items():
            if position <= alert.position:
                entry.told[device_id] = _Told(since_s=now_s, sent_s=now_s)
        book.acked_s.pop(device_id, None)

    def acked(
        self,
        agent_id: AgentId,
        up_to: Position,
        *,
        alerted: Position | None,
        by: Ear,
        now_s: float,
    ) -> Alerting | None:
        """A device acknowledged. Not None: it was told of this, and was too late to be heard, or told over a
        connection that is gone."""
        device_id = by.device_id
        book = self._books.get(agent_id)
        if book is None:
            return None
        if alerted is not None and alerted > book.heard:
            self._answer(book, alerted)
        mine = [p for p, e in book.entries.items() if p <= up_to and device_id in e.told]
        if not mine:
            return None
        book.acked_s[device_id] = now_s
        newest = max(mine)
        told = book.entries[newest].told[device_id]
        is_in_time = now_s - told.since_s <= self._wait_s and told.sent_s >= by.since_s
        if alerted is None and is_in_time:
            self._answer(book, newest)
            return None
        entry = book.entries[newest]
        for position in mine:
            del book.entries[position].told[device_id]
        return Alerting(
            position=newest, conversation_id=entry.conversation_id, until_ns=entry.until_ns
        )

    def answered(self, agent: tuple[AccountId, AgentId], up_to: Position, now_s: float) -> None:
        """A device was heard, as presence knows."""
        if up_to > self.heard(agent[1]):
            self._answer(self._book(agent, now_s), up_to)

    def read(self, agent_id: AgentId, conversation_id: str, up_to: Position) -> None:
        """The person saw a conversation, on whatever device."""
        book = self._books.get(agent_id)
        if book is not None and book.entries:
            for position in [
                p
                for p, e in book.entries.items()
                if p <= up_to and e.conversation_id == conversation_id
            ]:
                del book.entries[position]
                book.settled = max(book.settled, position)

    def heard(self, agent_id: AgentId) -> Position:
        """Up to where the agent is known to have been heard."""
        book = self._books.get(agent_id)
        return book.heard if book is not None else 0

    def is_settled(self, agent_id: AgentId, position: Position) -> bool:
        """Whether what stands there is known to be answered or read."""
        book = self._books.get(agent_id)
        return book is not None and position <= max(book.heard, book.settled)

    def right(
        self, agent_id: AgentId, by: Ear, position: Position, now_s: float
    ) -> tuple[float, bool]:
        """For how many seconds a device may still alert for what stands there, and whether it was told so over the
        connection that it has now."""
        book = self._books.get(agent_id)
        entry = book.entries.get(position) if book is not None else None
        told = entry.told.get(by.device_id) if entry is not None else None
        if told is None:
            return 0.0, False
        return max(0.0, told.since_s + self._wait_s - now_s), told.sent_s >= by.since_s

    def newest(self, agent_id: AgentId) -> Alerting | None:
        """The newest entry that waits for an answer, whether or not a device here was told of it."""
        book = self._books.get(agent_id)
        if book is None or not book.entries:
            return None
        position = max(book.entries)
        entry = book.entries[position]
        return Alerting(
            position=position, conversation_id=entry.conversation_id, until_ns=entry.until_ns
        )

    def owed(self, agent_id: AgentId) -> Alerting | None:
        """The newest entry that a device here was told of and that waits for an answer."""
        book = self._books.get(agent_id)
        newest = max((p for p, e in book.entries.items() if e.told), default=0) if book else 0
        if book is None or not newest:
            return None
        entry = book.entries[newest]
        return Alerting(
            position=newest, conversation_id=entry.conversation_id, until_ns=entry.until_ns
        )

    def forget_old(self, now_s: float, now_ns: int) -> None:
        """Drop what is too old for an alert, and books that nobody needs."""
        for agent_id, book in tuple(self._books.items()):
            for position in [p for p, e in book.entries.items() if e.until_ns <= now_ns]:
                del book.entries[position]
            is_idle = not book.entries and book.said_s is None
            if is_idle and now_s - book.used_s > _KEPT_S:
                del self._books[agent_id]

    def overdue(self, now_s: float, *, after_s: float) -> Iterator[tuple[AccountId, AgentId]]:
        """Agents for whom something waits that long: perhaps the lock has moved and we were not told."""
        for agent_id, book in self._books.items():
            if any(now_s - entry.handed_s > after_s for entry in book.entries.values()):
                yield book.account_id, agent_id

    def due(self, now_s: float) -> list[Waiting]:
        """What presence must hear at once: devices that do not answer, and answers it does not expect any more."""
        found: list[Waiting] = []
        for agent_id, book in self._books.items():
            if self._is_due(book, now_s):
                found += self._say(agent_id, book, now_s)
        return found

    def all(self, now_s: float) -> list[Waiting]:
        """Everything that waits and every new answer, for the beat."""
        found: list[Waiting] = []
        for agent_id, book in self._books.items():
            if book.entries or book.said_s is not None or book.heard != book.told_heard:
                found += self._say(agent_id, book, now_s)
        return found

    def of(self, agent_id: AgentId, now_s: float) -> list[Waiting]:
        """What is known of one agent, when a device says goodbye."""
        book = self._books.get(agent_id)
        return self._say(agent_id, book, now_s) if book is not None else []

    # ------------------------------------------------------------ inside

    def _book(self, agent: tuple[AccountId, AgentId], now_s: float) -> _Book:
        account_id, agent_id = agent
        book = self._books.get(agent_id)
        if book is None:
            book = self._books[agent_id] = _Book(account_id)
        book.used_s = now_s
        return book

    @staticmethod
    def _answer(book: _Book, up_to: Position) -> None:
        book.heard = max(book.heard, up_to)
        for position in [p for p in book.entries if p <= up_to]:
            del book.entries[position]

    def _is_due(self, book: _Book, now_s: float) -> bool:
        if not book.entries:
            return book.said_s is not None
        since_s = min(entry.handed_s for entry in book.entries.values())
        if now_s - since_s < min(_FIRST_S, self._wait_s / 2):
            return False
        if book.said_s is None:
            return True
        silent = book.silent().values()
        has_just_lost = any(book.said_s - at_s < self._wait_s <= now_s - at_s for at_s, _ in silent)
        return bool(silent) and (has_just_lost or now_s - book.said_s >= _AGAIN_S)

    @staticmethod
    def _say(agent_id: AgentId, book: _Book, now_s: float) -> list[Waiting]:
        book.told_heard = book.heard
        if not book.entries:
            book.said_s = None
            clear = Waiting(account_id=book.account_id, agent_id=agent_id, heard=book.heard)
            return [clear]
        book.said_s = now_s
        newest, oldest = max(book.entries), min(book.entries)
        handed_s = min(entry.handed_s for entry in book.entries.values())
        told = book.silent() or {None: (handed_s, oldest)}
        return [
            Waiting(
                account_id=book.account_id,
                agent_id=agent_id,
                device_id=device_id,
                oldest=first,
                newest=newest,
                until_ns=book.entries[newest].until_ns,
                age_s=max(0.0, now_s - since_s),
                heard=book.heard,
            )
            for device_id, (since_s, first) in told.items()
        ]
