"""Every setting of presence, read as NIGHTDESK_PRESENCE_…"""

from __future__ import annotations

from typing import Annotated

import msgspec


def _d(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """See the module."""

    lease_s: Annotated[
        float, msgspec.Meta(gt=0, description="a connection without a beat this long has lapsed")
    ] = 15.0
    grace_s: Annotated[
        float,
        msgspec.Meta(ge=0, description="a device that returns within this time never was offline"),
    ] = 30.0
    overdue_s: Annotated[
        float, msgspec.Meta(gt=0, description="a standby claims when a fact is overdue this long")
    ] = 0.7
    answer_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="longest wait for a change of availability to be durable"),
    ] = 1.8
    primary_pause_s: Annotated[
        float,
        msgspec.Meta(ge=0, description="least time between two moves of an agent's primary device"),
    ] = 2.0
    snapshot_events: Annotated[
        int, msgspec.Meta(ge=1, description="events between two snapshots")
    ] = 100_000
    snapshot_s: Annotated[float, _d("seconds between two snapshots when something happened")] = (
        300.0
    )
