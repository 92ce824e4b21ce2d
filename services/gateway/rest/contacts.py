"""Visitors arrive: anonymous, or with an identity that the site's back end signed. An anonymous visitor who turns
out to be somebody known is merged into them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial

import msgspec

from services.gateway.rejudging import rejudged
from services.gateway.rest.profiles import Whose, find_contact, seal, see_through
from services.gateway.rest.route import DESK, NO_TOKEN, Call, Reply, Route, not_found
from services.gateway.tokens import Identity, check_identity
from services.gateway.views import Profile
from shared.clock import monotonic_s, new_id
from shared.errors import Rejected
from shared.events import ContactCreated, ContactMerged
from shared.ids import AccountId, ContactId, InboxId, Position, contact_of_external
from shared.queries import GetContact
from shared.wire.bodies import Arrive, Arrived, ChangeContact
from shared.wire.views import ContactView

_MOST_ATTRIBUTES = 50


class _Door(msgspec.Struct, frozen=True, kw_only=True):
    """The inbox that the visitor came through."""

    account_id: AccountId
    inbox_id: InboxId


async def arrive(call: Call[Arrive, None]) -> Reply:
    """Anonymous visitors keep their contact by showing their token again."""
    found = call.parts.directory.state.inbox_keys.get(call.given.path["inbox_key"])
    if found is None:
        raise not_found()
    call.door.limiter.charge("arrivals", call.given.address, monotonic_s())
    at = _Door(account_id=found[0], inbox_id=found[1])
    await call.parts.keys.ensure(at.account_id)
    before = _contact_before(call, at)
    if call.body.identity_token is not None:
        return await _identified(call, at, before)
    if before is not None:
        return await _again(call, at, before)
    contact_id = ContactId(new_id())
    said = _profile(call.body, None, Profile())
    profile = seal(call.door, at.account_id, contact_id, said)
    created = ContactCreated(
        account_id=at.account_id, contact_id=contact_id, inbox_id=at.inbox_id, profile=profile
    )
    positions = await call.parts.admission.append(contact_id, "conversation", [created])
    return _arrived(call, at, contact_id, position=positions[-1])


def _contact_before(call: Call[Arrive, None], at: _Door) -> ContactId | None:
    """The contact that this device was, if its token is good for this account; an old token is no reason to fail."""
    if call.body.visitor_token is None:
        return None
    try:
        who = call.parts.tokens.check(call.body.visitor_token)
    except Rejected:
        return None
    if who.kind != "visitor" or who.account_id != at.account_id or who.inbox_id != at.inbox_id:
        return None
    return ContactId(who.id)


async def _again(call: Call[Arrive, None], at: _Door, contact_id: ContactId) -> Reply:
    """The store is asked only when the page says something about the visitor."""
    position: Position | None = None
    if _profile(call.body, None, Profile()) != Profile():
        whose = Whose(account_id=at.account_id, contact_id=contact_id, comes_by=at.inbox_id)
        async with call.door.turns.of(contact_id):
            settled = await see_through(call.door, whose, partial(_profile, call.body, None))
        position = settled.position
    return _arrived(call, at, contact_id, position=position, status=200)


async def _identified(call: Call[Arrive, None], at: _Door, before: ContactId | None) -> Reply:
    identity = await _identity(call, at)
    contact_id = contact_of_external(at.account_id, at.inbox_id, identity.external_id)
    whose = Whose(
        account_id=at.account_id,
        contact_id=contact_id,
        comes_by=at.inbox_id,
        is_identified=True,
    )
    merge = partial(_profile, call.body, identity)
    async with call.door.turns.of(contact_id):
        settled = await see_through(call.door, whose, merge)
        position = settled.position
        if before is not None and before != contact_id and await _may_merge(call, at, before):
            merged = ContactMerged(account_id=at.account_id, contact_id=before, into=contact_id)
            # What they wrote before they were known is judged by what is known of them now.
            attributes = settled.profile.attributes
            judged = await rejudged(call.parts, at.account_id, before, attributes)
            settled = await see_through(call.door, whose, merge, first=[merged, *judged])
            position = settled.position
    return _arrived(call, at, contact_id, position=position)


async def _identity(call: Call[Arrive, None], at: _Door) -> Identity:
    """What the site says. The secret is looked up first, so an unknown inbox and a forged token look the same."""
    secret = await call.door.identities.find(at.account_id, at.inbox_id)
    try:
        return check_identity(
            call.body.identity_token or "", (secret or secrets.token_urlsafe(32)).encode()
        )
    except Rejected as err:
        raise Rejected("identity_invalid", "the identity token is not valid here") from err


async def _may_merge(call: Call[Arrive, None], at: _Door, before: ContactId) -> bool:
    """Only an anonymous contact, and only once: on a shared computer the visitor before this one is somebody else."""
    row = await find_contact(call.door, at.account_id, before)
    return row is not None and not row.is_identified and row.merged_into is None


def _profile(body: Arrive, identity: Identity | None, before: Profile) -> Profile:
    """What the site says goes before what the page says, and that before what was known; nothing is forgotten."""
    attributes = before.attributes | body.attributes
    _check_count(attributes)
    return Profile(
        name=(identity.name if identity else None) or body.name or before.name,
        email=(identity.email if identity else None) or body.email or before.email,
        attributes=attributes,
    )


def _check_count(attributes: Mapping[str, str]) -> None:
    if len(attributes) > _MOST_ATTRIBUTES:
        raise Rejected(
            "too_large", f"at most {_MOST_ATTRIBUTES} attributes are kept", pointer="/attributes"
        )


def _arrived(
    call: Call[Arrive, None],
    at: _Door,
    contact_id: ContactId,
    *,
    position: Position | None = None,
    status: int | None = None,
) -> Reply:
    life_s = call.parts.config.visitor_token_s
    token = call.parts.tokens.issue_visitor(at.account_id, contact_id, at.inbox_id, life_s=life_s)
    body = Arrived(contact_id=contact_id, visitor_token=token, expires_in_s=life_s)
    return Reply(body=body, position=position, status=status)


async def show(call: Call[None, None]) -> Reply:
    """Who a visitor is, for those who answer."""
    row = await call.parts.asking.contact(
        GetContact(
            account_id=call.account_id,
            contact_id=ContactId(call.id("contact_id")),
            at_least=call.given.at_least,
        )
    )
    await call.parts.views.cover(call.account_id, [row])
    return Reply(body=call.parts.views.contact(row))


async def change(call: Call[ChangeContact, None]) -> Reply:
    """What is known of the visitor; conversations that wait are judged again by it."""
    await call.parts.keys.ensure(call.account_id)
    whose = Whose(account_id=call.account_id, contact_id=ContactId(call.id("contact_id")))
    async with call.door.turns.of(whose.contact_id):
        settled = await see_through(
            call.door, whose, partial(_merged, call.body), by=call.who.author
        )
    assert settled.row is not None
    return Reply(body=call.parts.views.contact(settled.row), position=settled.position)


def _merged(body: ChangeContact, before: Profile) -> Profile:
    attributes = dict(before.attributes)
    if body.attributes is not msgspec.UNSET:
        for name, value in body.attributes.items():
            if value is None:
                attributes.pop(name, None)
            else:
                attributes[name] = value
    _check_count(attributes)
    return Profile(
        name=before.name if body.name is msgspec.UNSET else body.name,
        email=before.email if body.email is msgspec.UNSET else body.email,
        attributes=attributes,
    )


ROUTES = (
    Route(
        method="POST",
        path="/inboxes/{inbox_key}/contacts",
        handler=arrive,
        summary="A visitor arrives: anonymous, again, or identified by the site",
        roles=NO_TOKEN,
        tag="contacts",
        takes=Arrive,
        gives=Arrived,
        status=201,
        also=(200,),
        errors=("not_found", "identity_invalid", "origin_not_allowed"),
    ),
    Route(
        method="GET",
        path="/contacts/{contact_id}",
        handler=show,
        summary="Who a visitor is",
        roles=DESK,
        tag="contacts",
        gives=ContactView,
    ),
    Route(
        method="PATCH",
        path="/contacts/{contact_id}",
        handler=change,
        summary="Change what is known of a visitor; what waits is routed by it",
        roles=DESK,
        tag="contacts",
        takes=ChangeContact,
        gives=ContactView,
        errors=("too_large",),
    ),
)
