"""Sign-in of agents: password, refresh, sign-out."""

from __future__ import annotations

from services.gateway.auth import Session, wrong
from services.gateway.rest.route import NO_TOKEN, Call, Reply, Route
from shared.errors import Rejected
from shared.ids import AgentId
from shared.passwords import normal_email
from shared.wire.bodies import Login, Refresh, Tokens


async def login(call: Call[Login, None]) -> Reply:
    """The agent must exist and still have the address: what is kept of a password outlives neither."""
    body = call.body
    found = await call.door.sign_in.check_password(
        body.email, body.password, address=call.given.address
    )
    agent_id = AgentId(found.subject_id)
    account = call.parts.directory.state.accounts.get(found.account_id)
    agent = account.agents.get(agent_id) if account else None
    if agent is None:
        raise wrong()
    await call.parts.keys.ensure(found.account_id)
    email = call.parts.views.text(found.account_id, agent.email, of=agent_id, part="email")
    if email is None or normal_email(email) != normal_email(body.email):
        raise wrong()
    return _signed_in(call, await call.door.sign_in.open_family(found.account_id, agent_id))


async def refresh(call: Call[Refresh, None]) -> Reply:
    """Each refresh token is good once."""
    return _signed_in(call, await call.door.sign_in.rotate(call.body.refresh_token))


async def logout(call: Call[Refresh, None]) -> Reply:
    """Nothing is said about whether the token was good."""
    await call.door.sign_in.close_family(call.body.refresh_token)
    return Reply(status=204)


def _signed_in(call: Call[object, object], session: Session) -> Reply:
    account = call.parts.directory.state.accounts.get(session.account_id)
    agent = account.agents.get(session.agent_id) if account else None
    if agent is None:
        raise Rejected("refresh_reused", "the agent was removed")
    life_s = call.parts.config.access_token_s
    tokens = Tokens(
        access_token=call.parts.tokens.issue_access(
            session.account_id, session.agent_id, life_s=life_s
        ),
        expires_in_s=life_s,
        refresh_token=session.refresh_token,
        account_id=session.account_id,
        agent_id=session.agent_id,
        role=agent.role,
    )
    return Reply(body=tokens)


ROUTES = (
    Route(
        method="POST",
        path="/auth/login",
        handler=login,
        summary="Sign an agent in",
        roles=NO_TOKEN,
        tag="auth",
        takes=Login,
        gives=Tokens,
        errors=("invalid_credentials",),
    ),
    Route(
        method="POST",
        path="/auth/refresh",
        handler=refresh,
        summary="Exchange the refresh token for fresh tokens; it is good once",
        roles=NO_TOKEN,
        tag="auth",
        takes=Refresh,
        gives=Tokens,
        errors=("refresh_reused",),
    ),
    Route(
        method="POST",
        path="/auth/logout",
        handler=logout,
        summary="End the session that a refresh token belongs to",
        roles=NO_TOKEN,
        tag="auth",
        takes=Refresh,
        status=204,
    ),
)
