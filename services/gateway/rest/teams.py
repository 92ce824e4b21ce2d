"""Teams: who is in them, and who is asked first."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.gateway.rest import documents
from services.gateway.rest.route import ADMIN, DESK, Call, Reply, Route, not_found
from shared.directory import Directory
from shared.errors import Rejected
from shared.events import AccountEvent, TeamRemoved, TeamSaved
from shared.ids import TeamId
from shared.wire.bodies import SaveTeam, Teams
from shared.wire.views import TeamView


def _view(call: Call[object, object], team_id: TeamId) -> TeamView:
    account = call.parts.directory.account(call.account_id)
    team = account.teams.get(team_id)
    if team is None:
        raise not_found()
    return call.parts.views.team(team, account.versions.get(team_id, 0))


async def show_list(call: Call[None, None]) -> Reply:
    """Every team."""
    teams = call.parts.directory.account(call.account_id).teams
    return Reply(body=Teams(data=[_view(call, team_id) for team_id in teams]))


async def show(call: Call[None, None]) -> Reply:
    """One team."""
    view = _view(call, TeamId(call.id("team_id")))
    return Reply(body=view, version=view.version)


async def make(call: Call[SaveTeam, None]) -> Reply:
    """A new team."""
    team_id = TeamId(call.made_id("teams"))
    name = documents.named(call.body)

    def build(directory: Directory, writer: str) -> Sequence[AccountEvent]:
        account = documents.account_in(directory, call.account_id)
        members = documents.given(call.body).get("members", {})
        made = TeamSaved(
            account_id=call.account_id,
            writer=writer,
            team_id=team_id,
            name=name,
            members=documents.members_of(account, members),
        )
        return [] if documents.check_repeat(account.teams.get(team_id), made) else [made]

    await call.parts.directory.save(build, by=call.who.id)
    view = _view(call, team_id)
    return Reply(body=view, version=view.version, position=view.version)


async def change(call: Call[SaveTeam, None]) -> Reply:
    """Absent fields stay."""
    team_id = TeamId(call.id("team_id"))

    def build(directory: Directory, writer: str) -> Sequence[AccountEvent]:
        account = documents.account_in(directory, call.account_id)
        before = account.teams.get(team_id)
        if before is None:
            raise not_found()
        documents.check_version(account, team_id, call.given.if_match)
        changes = documents.given(call.body)
        if "members" in changes:
            changes["members"] = documents.members_of(account, changes["members"])
        after = msgspec.structs.replace(before, writer=writer, **changes)
        return [] if documents.same(before, after) else [after]

    await call.parts.directory.save(build, by=call.who.id)
    view = _view(call, team_id)
    return Reply(body=view, version=view.version, position=view.version)


async def remove(call: Call[None, None]) -> Reply:
    """Not while an inbox hands its conversations to it or a policy falls back on it. What waits for it by wish returns
    to the inbox's team."""
    team_id = TeamId(call.id("team_id"))

    def build(directory: Directory, writer: str) -> Sequence[AccountEvent]:
        account = documents.account_in(directory, call.account_id)
        if team_id not in account.teams:
            raise not_found()
        documents.check_version(account, team_id, call.given.if_match)
        if any(inbox.team_id == team_id for inbox in account.inboxes.values()):
            raise Rejected("in_use", "an inbox hands its conversations to this team")
        for policy in account.policies.values():
            if any(step.team_id == team_id for step in policy.fallback_teams):
                raise Rejected("in_use", "a policy falls back on this team")
        return [TeamRemoved(account_id=call.account_id, writer=writer, team_id=team_id)]

    positions = await call.parts.directory.save(build, by=call.who.id)
    return Reply(status=204, position=positions[-1])


ROUTES = (
    Route(
        method="GET",
        path="/teams",
        handler=show_list,
        summary="Every team",
        roles=DESK,
        tag="teams",
        gives=Teams,
    ),
    Route(
        method="POST",
        path="/teams",
        key="id",
        handler=make,
        summary="Make a team",
        roles=ADMIN,
        tag="teams",
        takes=SaveTeam,
        gives=TeamView,
        status=201,
        errors=("idempotency_conflict", "conflict"),
    ),
    Route(
        method="GET",
        path="/teams/{team_id}",
        handler=show,
        summary="One team",
        roles=DESK,
        tag="teams",
        gives=TeamView,
    ),
    Route(
        method="PATCH",
        path="/teams/{team_id}",
        handler=change,
        summary="Change a team; absent fields stay",
        roles=ADMIN,
        tag="teams",
        takes=SaveTeam,
        gives=TeamView,
        errors=("version_mismatch", "conflict"),
    ),
    Route(
        method="DELETE",
        path="/teams/{team_id}",
        handler=remove,
        summary="Remove a team that no inbox and no policy needs",
        roles=ADMIN,
        tag="teams",
        status=204,
        errors=("in_use", "version_mismatch", "conflict"),
    ),
)
