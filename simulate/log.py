"""The log in memory: positions, log times, and the fence of the families that have one writer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from shared import codec
from shared.events import (
    AccountEvent,
    Event,
    MessageEvent,
    PresenceEvent,
    ReceiptEvent,
    RoutingEvent,
    WriterStarted,
)
from shared.subjects import Family

_STEP_NS = 1_000


class Entry(msgspec.Struct, frozen=True):
    """An event at its place."""

    position: int
    at_ns: int
    family: Family
    event: Event
    writer: str


class Log:
    """`now_ns` is the log's clock. `watch` is told of each entry as it is stored."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.entries: list[Entry] = []
        self.last: dict[Family, int] = {}
        self.watch: list[Callable[[Entry], None]] = []

    @property
    def end(self) -> int:
        """Position of the last entry."""
        return len(self.entries)

    def append(self, event: Event, *, family: Family, writer: str = "") -> int:
        """Store one event; the log's time never stands still."""
        self.now_ns += _STEP_NS
        # Through the codec, as in life: nothing may hang on the identity of an object.
        copied = codec.decode_event(codec.encode_event(event))
        entry = Entry(self.end + 1, self.now_ns, family, copied, writer)
        self.entries.append(entry)
        self.last[family] = entry.position
        for tell in self.watch:
            tell(entry)
        return entry.position

    def append_fenced(
        self, events: Sequence[Event], *, family: Family, writer: str, expected: int
    ) -> bool:
        """Store all if the writer has folded the family's last event, else nothing."""
        if self.last.get(family, 0) != expected:
            return False
        for event in events:
            self.append(event, family=family, writer=writer)
        return True


def family_of(event: Event) -> Family:
    """The family that an event belongs to."""
    if isinstance(event, MessageEvent):
        return "message"
    if isinstance(event, ReceiptEvent):
        return "receipt"
    if isinstance(event, AccountEvent):
        return "account"
    if isinstance(event, PresenceEvent):
        return "presence"
    if isinstance(event, RoutingEvent):
        return "routing"
    if isinstance(event, WriterStarted):
        raise TypeError("a claim names its family itself")
    return "conversation"
