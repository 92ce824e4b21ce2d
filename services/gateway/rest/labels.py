"""Labels that conversations may carry; their name is their id."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.gateway.rest import documents
from services.gateway.rest.route import DESK, LEAD, Call, Reply, Route, not_found
from shared.directory import Directory
from shared.errors import Rejected
from shared.events import AccountEvent, LabelRemoved, LabelSaved
from shared.wire.bodies import ChangeLabel, Labels, SaveLabel
from shared.wire.views import LabelView

_NO_PATHS = (".", "..")
"""Clients and proxies take these out of an address, so nobody could change or remove such a label."""


def _view(call: Call[object, object], name: str) -> LabelView:
    account = call.parts.directory.account(call.account_id)
    label = account.labels.get(name)
    if label is None:
        raise not_found()
    return call.parts.views.label(label, account.versions.get(name, 0))


async def show_list(call: Call[None, None]) -> Reply:
    """Every label."""
    labels = call.parts.directory.account(call.account_id).labels
    return Reply(body=Labels(data=[_view(call, name) for name in sorted(labels)]))


async def make(call: Call[SaveLabel, None]) -> Reply:
    """A new label. The same name and colour again is a repeat."""
    body = call.body
    if body.name in _NO_PATHS:
        raise Rejected("invalid", "can't stand in an address", pointer="/name")

    def build(directory: Directory, writer: str) -> Sequence[AccountEvent]:
        account = documents.account_in(directory, call.account_id)
        made = LabelSaved(
            account_id=call.account_id, writer=writer, name=body.name, colour=body.colour
        )
        before = account.labels.get(body.name)
        if before is not None and documents.same(before, made):
            return []
        if before is not None:
            raise Rejected("duplicate_name", "there is such a label already", pointer="/name")
        return [made]

    await call.parts.directory.save(build)
    view = _view(call, body.name)
    return Reply(body=view, version=view.version, position=view.version)


async def change(call: Call[ChangeLabel, None]) -> Reply:
    """Another colour."""
    name = call.given.path["name"]

    def build(directory: Directory, writer: str) -> Sequence[AccountEvent]:
        account = documents.account_in(directory, call.account_id)
        before = account.labels.get(name)
        if before is None:
            raise not_found()
        documents.check_version(account, name, call.given.if_match)
        after = msgspec.structs.replace(before, writer=writer, colour=call.body.colour)
        return [] if documents.same(before, after) else [after]

    await call.parts.directory.save(build)
    view = _view(call, name)
    return Reply(body=view, version=view.version, position=view.version)


async def remove(call: Call[None, None]) -> Reply:
    """Conversations that have it keep it. Not while a policy asks for a skill because of it."""
    name = call.given.path["name"]

    def build(directory: Directory, writer: str) -> Sequence[AccountEvent]:
        account = documents.account_in(directory, call.account_id)
        if name not in account.labels:
            raise not_found()
        documents.check_version(account, name, call.given.if_match)
        for policy in account.policies.values():
            if any(rule.label == name for rule in policy.skill_rules):
                raise Rejected("in_use", "a rule of a policy names this label")
        return [LabelRemoved(account_id=call.account_id, writer=writer, name=name)]

    positions = await call.parts.directory.save(build)
    return Reply(status=204, position=positions[-1])


ROUTES = (
    Route(
        method="GET",
        path="/labels",
        handler=show_list,
        summary="Every label",
        roles=DESK,
        tag="labels",
        gives=Labels,
    ),
    Route(
        method="POST",
        key="kept",
        path="/labels",
        handler=make,
        summary="Make a label",
        roles=LEAD,
        tag="labels",
        takes=SaveLabel,
        gives=LabelView,
        status=201,
        errors=("duplicate_name", "idempotency_conflict", "in_progress", "conflict"),
    ),
    Route(
        method="PATCH",
        path="/labels/{name}",
        handler=change,
        summary="Give a label another colour",
        roles=LEAD,
        tag="labels",
        takes=ChangeLabel,
        gives=LabelView,
        errors=("version_mismatch", "conflict"),
    ),
    Route(
        method="DELETE",
        path="/labels/{name}",
        handler=remove,
        summary="Remove a label; conversations that have it keep it",
        roles=LEAD,
        tag="labels",
        status=204,
        errors=("in_use", "version_mismatch", "conflict"),
    ),
)
