"""Where a conversation stands in the queue: facts for whoever waits, without a word that could be a promise."""

from __future__ import annotations

import datetime as dt

from services.gateway.rest.conversations import fetch
from services.gateway.rest.route import EVERYONE, Call, Reply, Route
from services.gateway.views import at_or_none
from services.gateway.waiting import ask_queue
from shared.policy.zones import zone_of
from shared.wire.bodies import QueuePlace


async def show(call: Call[None, None]) -> Reply:
    """As the dispatcher knows it; what nobody knows is null."""
    row = await fetch(call)
    parts = call.parts
    told = await ask_queue(parts.bus, parts.shared.shard, row.account_id, row.conversation_id)
    return Reply(
        body=QueuePlace(
            conversation_id=row.conversation_id,
            state=told.state or row.status,
            place=told.place or None,
            expected_s=told.expected_s,
            is_open=told.is_open,
            opens_at=at_or_none(told.opens_ns),
            opens_at_local=_local(told.opens_ns, told.zone) if told.opens_ns else None,
            zone=told.zone or None,
            is_escalated=told.is_escalated,
            waiting_since_at=at_or_none(row.waiting_since_ns),
            given_at=at_or_none(told.given_ns),
        )
    )


def _local(at_ns: int, zone: str) -> str:
    """By the wall clock of the team, which is what "back on Monday at nine" means."""
    return dt.datetime.fromtimestamp(at_ns // 1_000_000_000, zone_of(zone)).isoformat()


ROUTES = (
    Route(
        method="GET",
        path="/conversations/{conversation_id}/queue",
        handler=show,
        summary="Its place in the queue and the expected time; null is not known",
        roles=EVERYONE,
        tag="conversations",
        gives=QueuePlace,
    ),
)
