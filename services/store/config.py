"""Settings of the store."""

from __future__ import annotations

from typing import Annotated

import msgspec


def _d(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Read as NIGHTDESK_STORE_<NAME>."""

    batch_entries: Annotated[
        int, msgspec.Meta(ge=1, le=10_000, description="events in one commit at most")
    ] = 8000
    behind_entries: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="events waiting in the log from which on a commit waits until it is full",
        ),
    ] = 2000
    statement_entries: Annotated[
        int,
        msgspec.Meta(
            ge=0, description="events up to which a batch is one statement; larger ones are copied"
        ),
    ] = 1000
    cache_rows: Annotated[
        int, msgspec.Meta(ge=1000, description="rows held in memory before they are dropped")
    ] = 300_000
    query_connections: Annotated[
        int, msgspec.Meta(ge=1, le=50, description="questions answered at once")
    ] = 4
    query_timeout_s: Annotated[float, _d("longest time a statement of a question may take")] = 5.0
    commit_timeout_s: Annotated[float, _d("longest time a statement of a batch may take")] = 30.0
    wait_s: Annotated[
        float, _d("how long a question waits for its position before the answer is 'behind'")
    ] = 1.0
    poison_limit: Annotated[
        int, msgspec.Meta(ge=1, description="unreadable events in 10,000 that stop the store")
    ] = 10
