"""Inboxes: the doors for visitors, and the secrets with which sites vouch for who comes through them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from services.gateway.rest import documents
from services.gateway.rest.route import ADMIN, DESK, Call, Reply, Route, not_found
from shared.directory import Account, Directory
from shared.errors import Rejected
from shared.events import AccountEvent, InboxRemoved, InboxSaved
from shared.ids import InboxId
from shared.wire.bodies import IdentitySecret, Inboxes, SaveInbox
from shared.wire.views import InboxView

_ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+")


def _view(call: Call[object, object], inbox_id: InboxId) -> InboxView:
    account = call.parts.directory.account(call.account_id)
    inbox = account.inboxes.get(inbox_id)
    if inbox is None:
        raise not_found()
    return call.parts.views.inbox(inbox, account.versions.get(inbox_id, 0))


async def show_list(call: Call[None, None]) -> Reply:
    """Every inbox."""
    inboxes = call.parts.directory.account(call.account_id).inboxes
    return Reply(body=Inboxes(data=[_view(call, inbox_id) for inbox_id in inboxes]))


async def show(call: Call[None, None]) -> Reply:
    """One inbox."""
    view = _view(call, InboxId(call.id("inbox_id")))
    return Reply(body=view, version=view.version)


def _changes(account: Account, body: SaveInbox) -> dict[str, Any]:
    """The fields given, each checked against the account."""
    changes = documents.given(body)
    if "team_id" in changes:
        changes["team_id"] = documents.team_of(account, changes["team_id"])
    if "policy_id" in changes:
        changes["policy_id"] = documents.policy_of(account, changes["policy_id"])
    for skill, level in changes.get("skills", {}).items():
        documents.check_skill(account, skill, level, pointer="/skills")
    if "origins" in changes:
        changes["origins"] = tuple(dict.fromkeys(changes["origins"]))
        for number, origin in enumerate(changes["origins"]):
            if _ORIGIN.fullmatch(origin) is None:
                raise Rejected(
                    "invalid",
                    "must be an origin such as https://shop.example",
                    pointer=f"/origins/{number}",
                )
    return changes


async def make(call: Call[SaveInbox, None]) -> Reply:
    """A new inbox. Its public key is made from its id, so that a repeat gets the same."""
    inbox_id = InboxId(call.made_id("inboxes"))
    documents.named(call.body)

    def build(directory: Directory, writer: str) -> Sequence[AccountEvent]:
        account = documents.account_in(directory, call.account_id)
        made = InboxSaved(
            account_id=call.account_id,
            writer=writer,
            inbox_id=inbox_id,
            inbox_key=f"ib_{inbox_id.replace('-', '')}",
            **_changes(account, call.body),
        )
        return [] if documents.check_repeat(account.inboxes.get(inbox_id), made) else [made]

    await call.parts.directory.save(build, by=call.who.id)
    view = _view(call, inbox_id)
    return Reply(body=view, version=view.version, position=view.version)


async def change(call: Call[SaveInbox, None]) -> Reply:
    """Absent fields stay."""
    inbox_id = InboxId(call.id("inbox_id"))

    def build(directory: Directory, writer: str) -> Sequence[AccountEvent]:
        account = documents.account_in(directory, call.account_id)
        before = account.inboxes.get(inbox_id)
        if before is None:
            raise not_found()
        documents.check_version(account, inbox_id, call.given.if_match)
        after = msgspec.structs.replace(before, writer=writer, **_changes(account, call.body))
        return [] if documents.same(before, after) else [after]

    await call.parts.directory.save(build, by=call.who.id)
    view = _view(call, inbox_id)
    return Reply(body=view, version=view.version, position=view.version)


async def remove(call: Call[None, None]) -> Reply:
    """The door is closed; its conversations stay."""
    inbox_id = InboxId(call.id("inbox_id"))

    def build(directory: Directory, writer: str) -> Sequence[AccountEvent]:
        account = documents.account_in(directory, call.account_id)
        if inbox_id not in account.inboxes:
            raise not_found()
        documents.check_version(account, inbox_id, call.given.if_match)
        return [InboxRemoved(account_id=call.account_id, writer=writer, inbox_id=inbox_id)]

    positions = await call.parts.directory.save(build, by=call.who.id)
    return Reply(status=204, position=positions[-1])


async def replace_identity_secret(call: Call[None, None]) -> Reply:
    """A new secret; identity tokens signed with the one before are worth nothing at once."""
    inbox_id = InboxId(call.id("inbox_id"))
    _view(call, inbox_id)
    secret = await call.door.identities.replace(call.account_id, inbox_id)
    return Reply(body=IdentitySecret(inbox_id=inbox_id, secret=secret))


ROUTES = (
    Route(
        method="GET",
        path="/inboxes",
        handler=show_list,
        summary="Every inbox",
        roles=DESK,
        tag="inboxes",
        gives=Inboxes,
    ),
    Route(
        method="POST",
        path="/inboxes",
        key="id",
        handler=make,
        summary="Make an inbox",
        roles=ADMIN,
        tag="inboxes",
        takes=SaveInbox,
        gives=InboxView,
        status=201,
        errors=("idempotency_conflict", "conflict"),
    ),
    Route(
        method="GET",
        path="/inboxes/{inbox_id}",
        handler=show,
        summary="One inbox",
        roles=DESK,
        tag="inboxes",
        gives=InboxView,
    ),
    Route(
        method="PATCH",
        path="/inboxes/{inbox_id}",
        handler=change,
        summary="Change an inbox; absent fields stay",
        roles=ADMIN,
        tag="inboxes",
        takes=SaveInbox,
        gives=InboxView,
        errors=("version_mismatch", "conflict"),
    ),
    Route(
        method="DELETE",
        path="/inboxes/{inbox_id}",
        handler=remove,
        summary="Close an inbox; its conversations stay",
        roles=ADMIN,
        tag="inboxes",
        status=204,
        errors=("version_mismatch", "conflict"),
    ),
    Route(
        method="POST",
        path="/inboxes/{inbox_id}/identity_secret",
        handler=replace_identity_secret,
        summary="A new secret with which the site's back end signs identity tokens; shown this once",
        roles=ADMIN,
        tag="inboxes",
        gives=IdentitySecret,
        status=201,
    ),
)
