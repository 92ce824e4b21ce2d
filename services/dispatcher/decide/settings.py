"""What decisions depend on besides the folded state: settings of the installation and evidence of the moment."""

from __future__ import annotations

import msgspec

from shared.ids import Position

PLACED_AT_ONCE = 4_000
"""Some 30 ms, after which a dispatcher looks at what else there is."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`burst`: unacknowledged assignments an agent may have at first, so that who signs in first is not buried; see
    `pace` for what becomes of it.
    `pardon_s`: how long an agent whose lease lapsed is not asked for the same wait. `round_events`: the most that
    one round appends. `placed_at_once`: conversations that are looked at again in one go at the start and when a document
    was saved that concerns many; 0 all."""

    burst: int = 3
    pardon_s: int = 60
    round_events: int = 1000
    placed_at_once: int = 0


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """`stored`: how far the store has committed, as last heard. `fresh_ns`: log time before which nothing speaks
    against an agent (start, reconnect, a lagging store): leases count from it at the earliest."""

    stored: Position = 0
    fresh_ns: int = 0
