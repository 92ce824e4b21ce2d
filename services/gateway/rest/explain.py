"""Why this owner, what the conversation waits for, and every decision so far."""

from __future__ import annotations

from services.gateway.rest.conversations import fetch
from services.gateway.rest.route import DESK, Call, Reply, Route
from services.gateway.rest.story import Names, decisions, read_history, waiting_for
from shared.wire.bodies import Explained


async def show(call: Call[None, None]) -> Reply:
    """Folded from the conversation's own events; nothing is computed anew."""
    row = await fetch(call)
    history = await read_history(
        call.parts, call.who, row.conversation_id, max(call.given.at_least, row.version)
    )
    account = call.parts.directory.account(call.account_id)
    names = Names(
        agents={a: call.parts.views.agent_name(call.account_id, a) or a for a in account.agents},
        teams={t.team_id: t.name for t in account.teams.values()},
    )
    return Reply(
        body=Explained(
            conversation_id=row.conversation_id,
            status=row.status,
            owner=row.agent_id,
            waiting_for=waiting_for(row, names),
            decisions=decisions(history, names),
        )
    )


ROUTES = (
    Route(
        method="GET",
        path="/conversations/{conversation_id}/explain",
        handler=show,
        summary="Why this owner, what it waits for, and every decision so far",
        roles=DESK,
        tag="conversations",
        gives=Explained,
    ),
)
