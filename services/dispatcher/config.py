"""Every setting of the dispatcher, read as NIGHTDESK_DISPATCHER_…"""

from __future__ import annotations

from typing import Annotated

import msgspec


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The first three decide: give them to every dispatcher of a shard alike."""

    burst: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="unacknowledged assignments an agent may have when they come; up to eight times that while their devices acknowledge within 2 s",
        ),
    ] = 3
    pardon_s: Annotated[
        int,
        msgspec.Meta(
            ge=0, description="how long an agent is not asked again for what they left lying"
        ),
    ] = 60
    round_events: Annotated[
        int, msgspec.Meta(ge=1, le=1000, description="most events appended at once")
    ] = 1000
    overdue_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="a standby claims when a decision is overdue this long"),
    ] = 0.7
    store_silence_s: Annotated[
        float, msgspec.Meta(gt=0, description="a store not heard this long counts as lagging")
    ] = 3.0
    snapshot_events: Annotated[
        int, msgspec.Meta(ge=1, description="events between two snapshots")
    ] = 100_000
    snapshot_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="seconds between two snapshots when something happened"),
    ] = 300.0
    recall_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="how long the log may be read to explain an old decision"),
    ] = 5.0
