"""The store without PostgreSQL: its fold over the log in batches, and what every batch must keep true."""

from __future__ import annotations

from services.store.fold import Changes, Record, State, fold
from simulate.broken import require
from simulate.log import Log


class Store:
    """`position`: how far it has committed. While it `is_paused` it commits nothing. `answers`: whether each message, by
    its position, crossed another."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.state = State()
        self.position = 0
        self.is_paused = False
        self.is_silent = False
        self.batches = 0
        self.answers: dict[int, bool] = {}
        self._heads: dict[str, int] = {}
        self._given: set[tuple[str, str]] = set()

    def fold(self) -> None:
        """Commit what there is."""
        if not self.is_paused and self.position < self.log.end:
            self.fold_up_to(self.log.end)

    def fold_up_to(self, end: int) -> None:
        """One batch."""
        changes = Changes()
        for entry in self.log.entries[self.position : end]:
            record = Record(entry.position, entry.at_ns, entry.family, entry.event)
            fold(self.state, changes, record)
        self.position = end
        self.batches += 1
        self._check(changes)

    def _check(self, changes: Changes) -> None:
        for _, entry in changes.entries:
            head = self._heads.get(entry.owner_id, 0)
            about = (entry.conversation_id,)
            require(entry.prev == head < entry.position, "inbox_chain", "a broken chain", about)
            self._heads[entry.owner_id] = entry.position
            if entry.kind == "message" and entry.message is not None:
                once = (entry.owner_id, entry.message.message_id)
                require(once not in self._given, "message_once", "a message came twice", about)
                self._given.add(once)
        for row in changes.messages.values():
            self.answers[row.position] = row.crossed
        lost = [f"position {record.position}: {why}" for record, why in changes.quarantined]
        require(not lost, "quarantine", ", ".join(lost))


def rows(state: State) -> dict[str, object]:
    """Everything that would lie in tables, for comparing."""
    return {
        "conversations": state.conversations,
        "message_ids": state.message_ids,
        "messages": state.messages,
        "contacts": state.contacts,
        "holdings": state.holdings,
        "receipts": state.receipts,
        "primaries": state.primaries,
    }


def refolded(log: Log, up_to: int, batch: int) -> State:
    """Another store that folded the same log in batches of another size."""
    other = Store(log)
    while other.position < up_to:
        other.fold_up_to(min(up_to, other.position + batch))
    return other.state
