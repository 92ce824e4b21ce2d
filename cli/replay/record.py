"""What one side was shown: counts what must never happen, message by message."""

from __future__ import annotations

from collections import defaultdict

from nightdesk_client import Message


class Record:
    """Everything that one application (over all its connections) was shown."""

    def __init__(self) -> None:
        self._positions: dict[str, int] = {}
        self._last: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        self.shown_twice = 0
        self.out_of_order = 0

    def note(self, message: Message) -> None:
        """A message appeared on the screen."""
        if message.message_id in self._positions:
            self.shown_twice += 1
            return
        self._positions[message.message_id] = message.position
        here = (message.seq, message.position)
        last = self._last[message.conversation_id]
        if here[0] <= last[0] or here[1] <= last[1]:
            self.out_of_order += 1
        self._last[message.conversation_id] = here

    def has(self, message_id: str) -> bool:
        """Whether the message appeared."""
        return message_id in self._positions

    def __len__(self) -> int:
        return len(self._positions)
