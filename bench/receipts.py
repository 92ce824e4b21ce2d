"""What visitors are told about their messages: that a device of the agent has them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

import msgspec

RECEIPTS = b'{"op":"receipts"'


class _By(msgspec.Struct, frozen=True):
    kind: str


class _Receipt(msgspec.Struct, frozen=True):
    conversation_id: str
    by: _By
    received: int


class _Frame(msgspec.Struct, frozen=True):
    receipts: list[_Receipt]


_frame_of = msgspec.json.Decoder(_Frame).decode


class Told:
    """Messages that wait for their receipt, by visitor, each with a conversation of its own. A receipt may overtake
    the answer to the message it is about."""

    def __init__(self, conversations: Sequence[str]) -> None:
        self._received = [0] * len(conversations)
        self._waiting: list[deque[tuple[int, float]]] = [deque() for _ in conversations]
        self.latencies_s: list[float] = []
        self.missing = 0

    def begin(self) -> None:
        """A run begins."""
        self.latencies_s = []
        self.missing = 0
        for waiting in self._waiting:
            waiting.clear()

    def expect(self, visitor: int, position: int, due: float) -> None:
        """A message was accepted."""
        if position <= self._received[visitor]:
            self.latencies_s.append(time.perf_counter() - due)
            return
        self._waiting[visitor].append((position, due))
        self.missing += 1

    def hear(self, visitor: int, payload: bytes) -> None:
        """A `receipts` frame."""
        now = time.perf_counter()
        for receipt in _frame_of(payload).receipts:
            if receipt.by.kind == "agent":
                self._received[visitor] = max(self._received[visitor], receipt.received)
        waiting = self._waiting[visitor]
        while waiting and waiting[0][0] <= self._received[visitor]:
            self.latencies_s.append(now - waiting.popleft()[1])
            self.missing -= 1

    def is_over(self) -> bool:
        """Whether every message has its receipt."""
        return not self.missing
