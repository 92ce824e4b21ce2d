"""Who the token is, and whose account it belongs to."""

from __future__ import annotations

from services.gateway.rest.route import EVERYONE, STAFF, Call, Reply, Route
from shared.errors import Rejected, Unavailable
from shared.ids import AgentId, ContactId
from shared.queries import GetContact
from shared.wire.bodies import AccountView, Me
from shared.wire.views import AgentView, ContactView


async def show(call: Call[None, None]) -> Reply:
    """Who asks, as the rest of Nightdesk sees them."""
    who = call.who
    await call.parts.keys.ensure(who.account_id)
    body = Me(
        kind=who.kind,
        id=who.id,
        account_id=who.account_id,
        role=who.role,
        agent=await _agent(call) if who.kind == "agent" else None,
        contact=await _contact(call) if who.kind == "visitor" else None,
    )
    return Reply(body=body)


async def _agent(call: Call[None, None]) -> AgentView:
    agent_id = AgentId(call.who.id)
    try:
        now = (await call.parts.presence.agents(call.account_id)).get(agent_id)
    except Unavailable:
        now = None
    return call.parts.views.agent(
        call.account_id,
        agent_id,
        call.who,
        online=now.online if now else None,
        availability=now.availability if now else None,
    )


async def _contact(call: Call[None, None]) -> ContactView | None:
    """None for a contact that arrived just now and is not stored yet."""
    try:
        row = await call.parts.asking.contact(
            GetContact(
                account_id=call.account_id,
                contact_id=ContactId(call.who.id),
                at_least=call.given.at_least,
            )
        )
    except Rejected as err:
        if err.code == "not_found":
            return None
        raise
    await call.parts.views.cover(call.account_id, [row])
    return call.parts.views.contact(row)


async def show_account(call: Call[None, None]) -> Reply:
    """The account."""
    account = call.parts.directory.account(call.account_id)
    await call.parts.keys.ensure(call.account_id)
    name = call.parts.views.text(call.account_id, account.name, of=call.account_id, part="name")
    version = account.versions.get(call.account_id, 0)
    body = AccountView(account_id=call.account_id, name=name, version=version)
    return Reply(body=body, version=version)


ROUTES = (
    Route(
        method="GET",
        path="/me",
        handler=show,
        summary="Who the token is",
        roles=EVERYONE,
        tag="me",
        gives=Me,
    ),
    Route(
        method="GET",
        path="/account",
        handler=show_account,
        summary="The account",
        roles=STAFF,
        tag="me",
        gives=AccountView,
    ),
)
