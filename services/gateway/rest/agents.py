"""Agents: who they are, what they can, whether they take conversations. Names and addresses are sealed before
anything else sees them; the password never leaves `auth`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from services.gateway.rest import documents
from services.gateway.rest.loads import loads_of
from services.gateway.rest.route import (
    ADMIN,
    DESK,
    LEAD,
    STAFF,
    Call,
    Reply,
    Route,
    forbidden,
    not_found,
)
from shared.commands import AgentPresence
from shared.directory import Account, Directory
from shared.errors import Rejected, Unavailable
from shared.events import AccountEvent, AgentRemoved, AgentSaved
from shared.ids import AgentId
from shared.passwords import normal_email
from shared.wire.bodies import (
    Agents,
    AgentState,
    AgentStates,
    ChangeAgent,
    SaveAgent,
    SetAvailability,
    Wished,
)
from shared.wire.views import AgentView, LoadView

_OWN_FIELDS = frozenset({"name", "password"})


async def _presences(call: Call[object, object]) -> dict[AgentId, AgentPresence]:
    """How the agents are now; nothing when presence is away, which is no reason to show no agents."""
    try:
        return await call.parts.presence.agents(call.account_id)
    except Unavailable:
        return {}


def _view(
    call: Call[object, object],
    agent_id: AgentId,
    now: AgentPresence | None = None,
    load: LoadView | None = None,
) -> AgentView:
    if agent_id not in call.parts.directory.account(call.account_id).agents:
        raise not_found()
    view = call.parts.views.agent(
        call.account_id,
        agent_id,
        call.who,
        online=now.online if now else None,
        availability=now.availability if now else None,
    )
    return msgspec.structs.replace(view, load=load)


async def show_list(call: Call[None, None]) -> Reply:
    """Every agent and how they are now."""
    agents = call.parts.directory.account(call.account_id).agents
    await call.parts.keys.ensure(call.account_id)
    now, loads = await asyncio.gather(_presences(call), loads_of(call))
    return Reply(body=Agents(data=[_view(call, a, now.get(a), loads.get(a)) for a in agents]))


async def show(call: Call[None, None]) -> Reply:
    """One agent."""
    agent_id = AgentId(call.id("agent_id"))
    await call.parts.keys.ensure(call.account_id)
    now, loads = await asyncio.gather(_presences(call), loads_of(call, agent_id))
    view = _view(call, agent_id, now.get(agent_id), loads.get(agent_id))
    return Reply(body=view, version=view.version)


async def show_presence(call: Call[None, None]) -> Reply:
    """How every agent is now. Unlike the list of agents it fails when presence can't be asked."""
    now = await call.parts.presence.agents(call.account_id)
    states = [
        AgentState(agent_id=p.agent_id, online=p.online, availability=p.availability)
        for p in now.values()
    ]
    return Reply(body=AgentStates(data=states))


# ---------------------------------------------------------------- make


async def make(call: Call[SaveAgent, None]) -> Reply:
    """A new agent. The address is checked twice: in the account under the fence, and over all accounts by its hash."""
    body, agent_id = call.body, AgentId(call.made_id("agents"))
    await call.parts.keys.ensure(call.account_id)
    await _check_elsewhere(call, body.email, agent_id)
    kept = await call.door.sign_in.passwords.hash(body.password)

    def build(directory: Directory, writer: str) -> Sequence[AccountEvent]:
        account = documents.account_in(directory, call.account_id)
        before = account.agents.get(agent_id)
        if before is not None:
            if not _is_as_asked(call, before):
                raise Rejected("idempotency_conflict", "this Idempotency-Key made another agent")
            return []
        _check_email(call, account, body.email, agent_id)
        return [_sealed(call, agent_id, writer, _fields(body))]

    if not await call.parts.directory.save(build, by=call.who.id):
        await _check_password(call)
    await call.door.sign_in.keep_password(call.account_id, agent_id, email=body.email, kept=kept)
    view = _view(call, agent_id)
    return Reply(body=view, version=view.version, position=view.version)


def _fields(body: SaveAgent) -> dict[str, Any]:
    return {
        "name": body.name,
        "email": body.email,
        "role": body.role,
        "capacity": body.capacity,
        "skills": body.skills,
        "channel_capacity": body.channel_capacity,
    }


def _sealed(
    call: Call[object, object], agent_id: AgentId, writer: str, fields: dict[str, Any]
) -> AgentSaved:
    ring = call.parts.keys.ring
    sealed = {
        part: ring.seal(call.account_id, fields[part].encode(), of=agent_id, part=part)
        for part in ("name", "email")
    }
    return AgentSaved(
        account_id=call.account_id, writer=writer, agent_id=agent_id, **(fields | sealed)
    )


def _is_as_asked(call: Call[SaveAgent, None], agent: AgentSaved) -> bool:
    kept = _opened(call, agent)
    return kept == _fields(call.body)


def _opened(call: Call[object, object], agent: AgentSaved) -> dict[str, Any]:
    views, of = call.parts.views, agent.agent_id
    return {
        "name": views.text(call.account_id, agent.name, of=of, part="name"),
        "email": views.text(call.account_id, agent.email, of=of, part="email"),
        "role": agent.role,
        "capacity": agent.capacity,
        "skills": dict(agent.skills),
        "channel_capacity": dict(agent.channel_capacity),
    }


async def _check_password(call: Call[SaveAgent, None]) -> None:
    """A repeat has the same password, too."""
    kept = await call.door.sign_in.kept_password(call.body.email)
    if kept and not await call.door.sign_in.passwords.fits(call.body.password, kept):
        raise Rejected("idempotency_conflict", "this Idempotency-Key made another agent")


def _check_email(
    call: Call[object, object], account: Account, email: str, agent_id: AgentId
) -> None:
    for other in account.agents.values():
        if other.agent_id == agent_id:
            continue
        text = call.parts.views.text(call.account_id, other.email, of=other.agent_id, part="email")
        if text is not None and normal_email(text) == normal_email(email):
            raise _duplicate()


async def _check_elsewhere(call: Call[object, object], email: str, agent_id: AgentId) -> None:
    """An address signs in to one agent of the installation; that of a removed agent is free again."""
    taken = await call.door.sign_in.is_taken(email, by_other_than=agent_id)
    if taken is None:
        return
    other = call.parts.directory.state.accounts.get(taken.account_id)
    if taken.account_id != call.account_id or (other and AgentId(taken.subject_id) in other.agents):
        raise _duplicate()


def _duplicate() -> Rejected:
    return Rejected("duplicate_email", "the address belongs to an agent already", pointer="/email")


# ---------------------------------------------------------------- change


async def change(call: Call[ChangeAgent, None]) -> Reply:
    """Administrators change anybody; everybody their own name and password."""
    agent_id = AgentId(call.id("agent_id"))
    changes = documents.given(call.body)
    if call.who.role != "admin" and (call.who.id != agent_id or not changes.keys() <= _OWN_FIELDS):
        raise forbidden("agents change their own name and password only")
    password = changes.pop("password", None)
    await call.parts.keys.ensure(call.account_id)
    before = call.parts.directory.account(call.account_id).agents.get(agent_id)
    if before is None:
        raise not_found()
    email_before = str(_opened(call, before)["email"])
    email = str(changes.get("email", email_before))
    if normal_email(email) != normal_email(email_before):
        await _check_elsewhere(call, email, agent_id)
    await call.parts.directory.save(
        lambda directory, writer: _changed(call, directory, writer, changes), by=call.who.id
    )
    await _keep_credentials(
        call, agent_id, password=password, email=email, email_before=email_before
    )
    view = _view(call, agent_id)
    return Reply(body=view, version=view.version, position=view.version)


def _changed(
    call: Call[object, object], directory: Directory, writer: str, changes: dict[str, Any]
) -> Sequence[AccountEvent]:
    agent_id = AgentId(call.id("agent_id"))
    account = documents.account_in(directory, call.account_id)
    before = account.agents.get(agent_id)
    if before is None:
        raise not_found()
    documents.check_version(account, agent_id, call.given.if_match)
    if "email" in changes:
        _check_email(call, account, changes["email"], agent_id)
    if changes.get("role", "admin") != "admin":
        _check_admins(account, agent_id)
    opened = _opened(call, before)
    after = opened | changes
    return [] if after == opened else [_sealed(call, agent_id, writer, after)]


def _check_admins(account: Account, without: AgentId) -> None:
    """Somebody must be left who can change the configuration."""
    admins = {a.agent_id for a in account.agents.values() if a.role == "admin"}
    if admins == {without}:
        raise Rejected("last_admin", "the last administrator has to stay one")


async def _keep_credentials(
    call: Call[ChangeAgent, None],
    agent_id: AgentId,
    *,
    password: str | None,
    email: str,
    email_before: str,
) -> None:
    """The new address signs in with the password kept so far, or the new one; the old address no longer."""
    sign_in = call.door.sign_in
    has_moved = normal_email(email) != normal_email(email_before)
    kept = await sign_in.kept_password(email_before) if has_moved else None
    if password is not None:
        kept = await sign_in.passwords.hash(password)
    if kept is not None:
        await sign_in.keep_password(call.account_id, agent_id, email=email, kept=kept)
    if has_moved:
        await sign_in.forget_address(call.account_id, email_before)
    if password is not None:
        await sign_in.end_sessions(call.account_id, agent_id)


async def remove(call: Call[None, None]) -> Reply:
    """The agent leaves their teams with the same event batch; what they held returns to the queue."""
    agent_id = AgentId(call.id("agent_id"))
    await call.parts.keys.ensure(call.account_id)
    before = call.parts.directory.account(call.account_id).agents.get(agent_id)
    if before is None:
        raise not_found()
    email = str(_opened(call, before)["email"])

    def build(directory: Directory, writer: str) -> Sequence[AccountEvent]:
        account = documents.account_in(directory, call.account_id)
        if agent_id not in account.agents:
            raise not_found()
        documents.check_version(account, agent_id, call.given.if_match)
        _check_admins(account, agent_id)
        left = [
            msgspec.structs.replace(
                team,
                writer=writer,
                members={a: p for a, p in team.members.items() if a != agent_id},
            )
            for team in account.teams.values()
            if agent_id in team.members
        ]
        gone = AgentRemoved(account_id=call.account_id, writer=writer, agent_id=agent_id)
        return [*left, gone]

    positions = await call.parts.directory.save(build, by=call.who.id)
    await call.door.sign_in.forget_address(call.account_id, email)
    await call.door.sign_in.end_sessions(call.account_id, agent_id)
    return Reply(status=204, position=positions[-1])


async def set_availability(call: Call[SetAvailability, None]) -> Reply:
    """The agent's own word, or a supervisor's for them."""
    agent_id = AgentId(call.id("agent_id"))
    if agent_id not in call.parts.directory.account(call.account_id).agents:
        raise not_found()
    if call.who.id != agent_id and call.who.role not in LEAD:
        raise forbidden("only the agent or a supervisor")
    position = await call.parts.presence.set_availability(
        call.account_id, agent_id, call.body.availability
    )
    return Reply(body=Wished(position=position), position=position)


ROUTES = (
    Route(
        method="GET",
        path="/agents",
        handler=show_list,
        summary="Every agent and how they are now",
        roles=DESK,
        tag="agents",
        gives=Agents,
    ),
    Route(
        method="POST",
        path="/agents",
        key="id",
        handler=make,
        summary="Make an agent",
        roles=ADMIN,
        tag="agents",
        takes=SaveAgent,
        gives=AgentView,
        status=201,
        errors=("duplicate_email", "idempotency_conflict", "conflict"),
    ),
    Route(
        method="GET",
        path="/agents/{agent_id}",
        handler=show,
        summary="One agent",
        roles=DESK,
        tag="agents",
        gives=AgentView,
    ),
    Route(
        method="PATCH",
        path="/agents/{agent_id}",
        handler=change,
        summary="Change an agent; absent fields stay",
        roles=STAFF,
        tag="agents",
        takes=ChangeAgent,
        gives=AgentView,
        errors=("duplicate_email", "last_admin", "version_mismatch", "conflict"),
    ),
    Route(
        method="DELETE",
        path="/agents/{agent_id}",
        handler=remove,
        summary="Remove an agent; what they held returns to the queue",
        roles=ADMIN,
        tag="agents",
        status=204,
        errors=("last_admin", "version_mismatch", "conflict"),
    ),
    Route(
        method="PUT",
        path="/agents/{agent_id}/availability",
        handler=set_availability,
        summary="Say whether the agent takes conversations",
        roles=STAFF,
        tag="agents",
        takes=SetAvailability,
        gives=Wished,
    ),
    Route(
        method="GET",
        path="/presence",
        handler=show_presence,
        summary="How every agent is now",
        roles=DESK,
        tag="agents",
        gives=AgentStates,
    ),
)
