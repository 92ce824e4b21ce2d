"""The routing document of the account: everything that decides who is asked, read and replaced in one piece. The
documents it is made of can be changed alone as well; all of them move its version."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import msgspec

from services.gateway.rest import documents
from services.gateway.rest.route import ADMIN, DESK, Call, Reply, Route, not_found
from services.gateway.versions import Version, changed
from services.gateway.views import at
from shared.directory import Account, Directory
from shared.errors import Rejected
from shared.events import (
    AccountEvent,
    AccountPart,
    AgentRemoved,
    AgentSaved,
    InboxRemoved,
    InboxSaved,
    PolicyRemoved,
    PolicySaved,
    RoutingSaved,
    TeamRemoved,
    TeamSaved,
)
from shared.ids import PolicyId
from shared.policy.conditions import Condition
from shared.policy.document import SkillRule
from shared.policy.whole import Draft, draft
from shared.wire.policies import Conceal
from shared.wire.routing import (
    RoutingChange,
    RoutingDocument,
    RoutingPlace,
    RoutingResult,
    RoutingVersion,
    RoutingVersions,
    document_of,
)

DOCUMENT_LIMIT_BYTES = 2 * 1024 * 1024
_PAGE = 50


class DocumentQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`version`: of an older document; without it the newest."""

    version: Annotated[int, msgspec.Meta(ge=1)] | None = None


class VersionsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`before`: only versions older than that one."""

    before: Annotated[int, msgspec.Meta(ge=1)] | None = None


async def show(call: Call[None, DocumentQuery]) -> Reply:
    """The document of now, or an older one that is still kept at hand."""
    account = call.parts.directory.account(call.account_id)
    wanted = call.query.version
    if wanted is not None and wanted != account.routing:
        found = call.parts.directory.versions.account(call.account_id, wanted)
        if found is None:
            raise Rejected("not_found", "there is no such version", pointer="?version")
        account = found
    await call.parts.keys.ensure(call.account_id)
    for policy in account.policies.values():
        await call.parts.conditions.cover(policy)
    document = _document(call, account)
    return Reply(body=document, version=account.routing)


def _document(call: Call[object, object], account: Account) -> RoutingDocument:
    conditions, views = call.parts.conditions, call.parts.views

    def reveal(policy: PolicySaved, rule: SkillRule) -> Condition | None:
        return conditions.reveal(account.account_id, policy.policy_id, rule)

    names = {a: views.agent_name(call.account_id, a) for a in account.agents}
    return document_of(account, reveal, names={str(k): v for k, v in names.items()})


async def replace(call: Call[RoutingDocument, None]) -> Reply:
    """All of it or nothing: what changed is one event. Nothing changed: nothing is appended."""
    await call.parts.keys.ensure(call.account_id)
    results: list[RoutingResult] = []

    def build(directory: Directory, writer: str) -> Sequence[AccountEvent]:
        drafted = _draft(call, directory, writer)
        # Now, because afterwards nobody knows what was removed.
        results.append(_result(call, drafted, is_dry_run=False))
        if not drafted.parts:
            return []
        saved = RoutingSaved(account_id=call.account_id, writer=writer, parts=drafted.parts)
        return [saved]

    positions = await call.parts.directory.save(build, by=call.who.id)
    if not positions:
        return Reply(body=results[-1], version=results[-1].version)
    result = msgspec.structs.replace(results[-1], version=positions[-1])
    return Reply(body=result, version=result.version, position=result.version)


async def check(call: Call[RoutingDocument, None]) -> Reply:
    """What `replace` would do now; nothing is saved."""
    await call.parts.keys.ensure(call.account_id)
    drafted = _draft(call, call.parts.directory.state, "")
    return Reply(body=_result(call, drafted, is_dry_run=True))


def _draft(call: Call[RoutingDocument, None], directory: Directory, writer: str) -> Draft:
    """A request that was carried out and is sent again, because its answer was lost, changes nothing and is fine."""
    account = documents.account_in(directory, call.account_id)
    named = {call.given.if_match, call.body.version} - {None, msgspec.UNSET}
    stale = Rejected(
        "version_mismatch",
        f"the routing document is at version {account.routing}",
        pointer="/version",
    )
    is_stale = bool(named - {account.routing})

    def concealing(policy_id: PolicyId, before: PolicySaved | None) -> Conceal:
        return call.parts.conditions.concealing(call.account_id, policy_id, before)

    try:
        drafted = draft(call.body, account, concealing, writer=writer)
    except Rejected as err:
        raise stale if is_stale else err from None
    if is_stale and drafted.parts:
        raise stale
    return drafted


def _result(
    call: Call[RoutingDocument, None], drafted: Draft, *, is_dry_run: bool
) -> RoutingResult:
    return RoutingResult(
        version=call.parts.directory.account(call.account_id).routing,
        is_dry_run=is_dry_run,
        changes=[_change(call, part) for part in drafted.parts],
        warnings=[RoutingPlace(pointer=place, detail=text) for place, text in drafted.warnings],
    )


async def show_versions(call: Call[None, VersionsQuery]) -> Reply:
    """Who changed what and when, newest first."""
    await call.parts.keys.ensure(call.account_id)
    kept = call.parts.directory.versions.newest(call.account_id, before=call.query.before)
    found = list(islice(kept, _PAGE + 1))
    data = [_version(call, each) for each in found[:_PAGE]]
    return Reply(body=RoutingVersions(data=data, more=len(found) > _PAGE))


def _version(call: Call[None, VersionsQuery], version: Version) -> RoutingVersion:
    by = version.by or None
    return RoutingVersion(
        version=version.position,
        at=at(version.at_ns),
        by=by,
        by_name=call.parts.views.agent_name(call.account_id, by) if by else None,
        changes=[_change(call, part) for part in changed(version)],
    )


def _change(call: Call[object, object], part: AccountPart) -> RoutingChange:
    account = call.parts.directory.account(call.account_id)
    name: str | None = None
    match part:
        case AgentSaved() | AgentRemoved():
            document_id: str = part.agent_id
            name = call.parts.views.agent_name(call.account_id, part.agent_id)
        case TeamSaved() | PolicySaved():
            document_id = part.team_id if isinstance(part, TeamSaved) else part.policy_id
            name = part.name
        case InboxSaved() | InboxRemoved():
            document_id = part.inbox_id
            name = part.name if isinstance(part, InboxSaved) else None
        case TeamRemoved():
            document_id = part.team_id
            name = _name(account.teams.get(part.team_id))
        case PolicyRemoved():
            document_id = part.policy_id
            name = _name(account.policies.get(part.policy_id))
        case _:
            raise not_found()
    return RoutingChange(what=str(part.__struct_config__.tag), id=document_id, name=name)


def _name(document: TeamSaved | PolicySaved | None) -> str | None:
    """Of what would be removed; afterwards nobody knows."""
    return document.name if document is not None else None


ROUTES = (
    Route(
        method="GET",
        path="/routing",
        handler=show,
        summary="The routing document: agents' skills and capacities, teams, policies, what inboxes hand to whom",
        roles=DESK,
        tag="routing",
        query=DocumentQuery,
        gives=RoutingDocument,
    ),
    Route(
        method="PUT",
        path="/routing",
        handler=replace,
        summary="Replace the routing document, all of it or nothing",
        roles=ADMIN,
        tag="routing",
        takes=RoutingDocument,
        gives=RoutingResult,
        errors=("version_mismatch", "conflict"),
        body_limit_bytes=DOCUMENT_LIMIT_BYTES,
    ),
    Route(
        method="POST",
        path="/routing/check",
        handler=check,
        summary="What replacing the routing document would do; nothing is saved",
        roles=ADMIN,
        tag="routing",
        takes=RoutingDocument,
        gives=RoutingResult,
        errors=("version_mismatch",),
        body_limit_bytes=DOCUMENT_LIMIT_BYTES,
    ),
    Route(
        method="GET",
        path="/routing/versions",
        handler=show_versions,
        summary="The versions of the routing document: who changed what, and when",
        roles=DESK,
        tag="routing",
        query=VersionsQuery,
        gives=RoutingVersions,
    ),
)
