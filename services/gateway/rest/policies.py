"""Policies: how conversations are handed out, and by when they must be answered."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.gateway.rest import documents
from services.gateway.rest.route import ADMIN, DESK, Call, Reply, Route, not_found
from shared.directory import Account, Directory
from shared.errors import Rejected
from shared.events import AccountEvent, PolicyRemoved, PolicySaved
from shared.ids import PolicyId
from shared.policy.check import faults
from shared.wire.bodies import Policies
from shared.wire.policies import SavePolicy, fields_of
from shared.wire.views import PolicyView


async def _view(call: Call[object, object], policy_id: PolicyId) -> PolicyView:
    account = call.parts.directory.account(call.account_id)
    policy = account.policies.get(policy_id)
    if policy is None:
        raise not_found()
    await call.parts.conditions.cover(policy)
    rules = call.parts.conditions.rules(policy)
    return call.parts.views.policy(policy, account.versions.get(policy_id, 0), rules)


def _check(policy: PolicySaved, account: Account) -> None:
    """Raises `Rejected("invalid")` with everything that is wrong with the document as a whole."""
    found = faults(policy, account)
    if found:
        pointer, text = found[0]
        raise Rejected("invalid", text, pointer=pointer, faults=found)


async def show_list(call: Call[None, None]) -> Reply:
    """Every policy."""
    policies = call.parts.directory.account(call.account_id).policies
    return Reply(body=Policies(data=[await _view(call, policy_id) for policy_id in policies]))


async def show(call: Call[None, None]) -> Reply:
    """One policy."""
    view = await _view(call, PolicyId(call.id("policy_id")))
    return Reply(body=view, version=view.version)


async def make(call: Call[SavePolicy, None]) -> Reply:
    """A new policy; fields left out have their defaults."""
    policy_id = PolicyId(call.made_id("policies"))
    documents.named(call.body)
    await call.parts.keys.ensure(call.account_id)

    def build(directory: Directory, writer: str) -> Sequence[AccountEvent]:
        account = documents.account_in(directory, call.account_id)
        before = account.policies.get(policy_id)
        conceal = call.parts.conditions.concealing(call.account_id, policy_id, before)
        made = PolicySaved(
            account_id=call.account_id,
            writer=writer,
            policy_id=policy_id,
            **fields_of(call.body, conceal),
        )
        if documents.check_repeat(before, made):
            return []
        _check(made, account)
        return [made]

    await call.parts.directory.save(build, by=call.who.id)
    view = await _view(call, policy_id)
    return Reply(body=view, version=view.version, position=view.version)


async def change(call: Call[SavePolicy, None]) -> Reply:
    """Absent fields stay."""
    policy_id = PolicyId(call.id("policy_id"))
    await call.parts.keys.ensure(call.account_id)

    def build(directory: Directory, writer: str) -> Sequence[AccountEvent]:
        account = documents.account_in(directory, call.account_id)
        before = account.policies.get(policy_id)
        if before is None:
            raise not_found()
        documents.check_version(account, policy_id, call.given.if_match)
        conceal = call.parts.conditions.concealing(call.account_id, policy_id, before)
        fields = fields_of(call.body, conceal)
        after = msgspec.structs.replace(before, writer=writer, **fields)
        if documents.same(before, after):
            return []
        _check(after, account)
        return [after]

    await call.parts.directory.save(build, by=call.who.id)
    view = await _view(call, policy_id)
    return Reply(body=view, version=view.version, position=view.version)


async def remove(call: Call[None, None]) -> Reply:
    """Inboxes that it ruled are ruled by the defaults; both stand in the log in one batch."""
    policy_id = PolicyId(call.id("policy_id"))

    def build(directory: Directory, writer: str) -> Sequence[AccountEvent]:
        account = documents.account_in(directory, call.account_id)
        if policy_id not in account.policies:
            raise not_found()
        documents.check_version(account, policy_id, call.given.if_match)
        freed = [
            msgspec.structs.replace(inbox, writer=writer, policy_id=None)
            for inbox in account.inboxes.values()
            if inbox.policy_id == policy_id
        ]
        gone = PolicyRemoved(account_id=call.account_id, writer=writer, policy_id=policy_id)
        return [*freed, gone]

    positions = await call.parts.directory.save(build, by=call.who.id)
    return Reply(status=204, position=positions[-1])


ROUTES = (
    Route(
        method="GET",
        path="/policies",
        handler=show_list,
        summary="Every policy",
        roles=DESK,
        tag="policies",
        gives=Policies,
    ),
    Route(
        method="POST",
        path="/policies",
        key="id",
        handler=make,
        summary="Make a policy",
        roles=ADMIN,
        tag="policies",
        takes=SavePolicy,
        gives=PolicyView,
        status=201,
        errors=("idempotency_conflict", "conflict"),
    ),
    Route(
        method="GET",
        path="/policies/{policy_id}",
        handler=show,
        summary="One policy",
        roles=DESK,
        tag="policies",
        gives=PolicyView,
    ),
    Route(
        method="PATCH",
        path="/policies/{policy_id}",
        handler=change,
        summary="Change a policy; absent fields stay",
        roles=ADMIN,
        tag="policies",
        takes=SavePolicy,
        gives=PolicyView,
        errors=("version_mismatch", "conflict"),
    ),
    Route(
        method="DELETE",
        path="/policies/{policy_id}",
        handler=remove,
        summary="Remove a policy; the defaults rule the inboxes that it ruled",
        roles=ADMIN,
        tag="policies",
        status=204,
        errors=("version_mismatch", "conflict"),
    ),
)
