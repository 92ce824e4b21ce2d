"""The log and the messages beside it: JetStream and core NATS, and nothing else knows nats-py.

`connection` is the way to the server, `streams` the log as a thing, `commit` and `fence` the two ways
to append, `reader` the one way to read. `client`, `wire`, `acks`, `flight`, `cursor` are their inside.
"""

from __future__ import annotations

from shared.bus.commit import GroupCommit
from shared.bus.connection import Bus, BusSettings, CoreMessage, Handler, Subscription, connect
from shared.bus.cursor import CursorSettings
from shared.bus.delivery import Delivery, digest
from shared.bus.fence import FenceBusy, FencedWriter, FenceLost
from shared.bus.flight import CommitSettings, Entry, Positions
from shared.bus.reader import (
    Batch,
    LogHole,
    LogReplaced,
    RangePurged,
    Reader,
    ReaderSettings,
    Start,
)
from shared.bus.streams import (
    StreamSettings,
    StreamState,
    check_durability,
    ensure_stream,
    event_at,
    last_of,
    stream_name,
    stream_state,
)

__all__ = [
    "Batch",
    "Bus",
    "BusSettings",
    "CommitSettings",
    "CoreMessage",
    "CursorSettings",
    "Delivery",
    "Entry",
    "FenceBusy",
    "FenceLost",
    "FencedWriter",
    "GroupCommit",
    "Handler",
    "LogHole",
    "LogReplaced",
    "Positions",
    "RangePurged",
    "Reader",
    "ReaderSettings",
    "Start",
    "StreamSettings",
    "StreamState",
    "Subscription",
    "check_durability",
    "connect",
    "digest",
    "ensure_stream",
    "event_at",
    "last_of",
    "stream_name",
    "stream_state",
]
