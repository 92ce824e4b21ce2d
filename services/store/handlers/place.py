"""Where a store works: its shard, its servers, its settings, its share of the processor."""

from __future__ import annotations

import msgspec

from services.store.config import Config
from shared.bus import Bus
from shared.weight import Share


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Given to every part of one store."""

    bus: Bus
    database_url: str
    shard: str
    config: Config
    share: Share
