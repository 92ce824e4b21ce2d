"""An event with its place in the log, or what is left of one that can't be read."""

from __future__ import annotations

import msgspec

from shared.events import Envelope, Event
from shared.ids import Position
from shared.subjects import Family


class Broken(msgspec.Struct, frozen=True, gc=False):
    """Bytes that are no event this release knows; `envelope` if at least their outside can be read."""

    reason: str
    envelope: Envelope | None = None


class Record(msgspec.Struct, frozen=True, gc=False):
    """One entry of the log. `at_ns`: the log's time, nanoseconds since 1970."""

    position: Position
    at_ns: int
    family: Family
    event: Event | Broken
