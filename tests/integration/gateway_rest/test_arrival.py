"""Visitors arrive: anonymous, again, identified, merged; and what a forged identity gets."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from shared.clock import new_id
from tests.support.rest import Api, Json, Office, seconds_from_now


async def _secret(office: Office) -> str:
    made = await office.admin.made(f"/inboxes/{office.inbox['inbox_id']}/identity_secret")
    return str(made["secret"])


def _identity(secret: str, sub: str, **claims: Any) -> str:
    standard = {"sub": sub, "iat": seconds_from_now(-1), "exp": seconds_from_now(300)}
    return jwt.encode(standard | claims, secret, algorithm="HS256")


def _contacts(office: Office) -> str:
    return f"/inboxes/{office.inbox['inbox_key']}/contacts"


async def test_an_anonymous_visitor_is_made_and_known_again(office: Office) -> None:
    """Showing the token again gives the same contact and a fresh token; name and attributes are kept."""
    path = _contacts(office)
    body = {"name": "Mira", "email": "mira@example.org", "attributes": {"plan": "pro"}}
    first = await office.anybody.post(path, body)
    assert first.status == 201
    visitor = office.anybody.as_(first.json["visitor_token"])
    me = (await visitor.get("/me", Nightdesk_Position=first.position)).json
    assert me["contact"]["name"] == "Mira"
    assert me["contact"]["attributes"] == {"plan": "pro"}
    assert not me["contact"]["is_identified"]
    again = await office.anybody.post(path, {"visitor_token": visitor.token})
    assert (again.status, again.json["contact_id"]) == (200, first.json["contact_id"])


async def test_what_is_known_of_a_visitor_grows(office: Office) -> None:
    """A later arrival adds and replaces; what it leaves out stays."""
    path = _contacts(office)
    first = await office.anybody.post(path, {"name": "Mira", "attributes": {"plan": "pro"}})
    token = first.json["visitor_token"]
    body = {"visitor_token": token, "email": "m@example.org", "attributes": {"page": "cart"}}
    second = await office.anybody.post(path, body)
    assert second.json["contact_id"] == first.json["contact_id"]
    me = await office.anybody.as_(token).get("/me", Nightdesk_Position=second.position)
    contact = me.json["contact"]
    assert (contact["name"], contact["email"]) == ("Mira", "m@example.org")
    assert contact["attributes"] == {"plan": "pro", "page": "cart"}
    many = {"visitor_token": token, "attributes": {f"a{n}": "x" for n in range(50)}}
    assert (await office.anybody.post(path, many)).code == "too_large"


async def test_an_identified_visitor_is_one_contact_wherever_they_come_from(
    office: Office,
) -> None:
    """The id is a function of the site's id, so two devices at once are one contact; the site's name counts."""
    secret, sub = await _secret(office), new_id()
    token = _identity(secret, sub, name="Ada")
    first = await office.anybody.post(
        _contacts(office), {"identity_token": token, "name": "somebody else"}
    )
    second = await office.anybody.post(_contacts(office), {"identity_token": token})
    assert first.json["contact_id"] == second.json["contact_id"]
    me = (await office.anybody.as_(first.json["visitor_token"]).get("/me")).json
    assert me["contact"]["name"] == "Ada"
    assert me["contact"]["is_identified"]


async def test_an_anonymous_visitor_who_identifies_keeps_their_conversations(
    office: Office,
) -> None:
    """Merged: the conversation of before belongs to the identified contact; the old token reads it no longer."""
    anonymous, _ = await office.arrive()
    conversation_id, started = await office.start(anonymous)
    token = _identity(await _secret(office), new_id())
    arrived = await office.anybody.post(
        _contacts(office), {"identity_token": token, "visitor_token": anonymous.token}
    )
    known = office.anybody.as_(arrived.json["visitor_token"])
    at = {"Nightdesk_Position": arrived.position}
    listed = (await known.get("/conversations", **at)).json["data"]
    assert [c["conversation_id"] for c in listed] == [conversation_id]
    shown = await known.get(f"/conversations/{conversation_id}/messages", **at)
    assert [m["text"] for m in shown.json["data"]] == ["hello"]
    assert int(started.position) < int(arrived.position)
    assert (await anonymous.get(f"/conversations/{conversation_id}", **at)).status == 404


async def test_who_was_merged_may_repeat_what_they_began(office: Office) -> None:
    """The answer was lost, and meanwhile they identified themselves on another device: the repeat is told that it was
    taken, once, and shows nothing of what the contact reads now. Anybody else is told that there is none."""
    anonymous, _ = await office.arrive()
    body: Json = {
        "conversation_id": new_id(),
        "message": {"message_id": new_id(), "text": "is anybody there"},
    }
    first = await anonymous.post("/conversations", body)
    assert first.status == 201
    arrived = await office.anybody.post(
        _contacts(office),
        {
            "identity_token": _identity(await _secret(office), new_id()),
            "visitor_token": anonymous.token,
        },
    )
    known = office.anybody.as_(arrived.json["visitor_token"])
    at = {"Nightdesk_Position": arrived.position}
    answer = {"message_id": new_id(), "text": "it is me again"}
    path = f"/conversations/{body['conversation_id']}/messages"
    assert (await known.post(path, answer)).status == 201
    again = await anonymous.post("/conversations", body, **at)
    assert again.status == 200, again.json
    assert again.json["conversation_id"] == body["conversation_id"]
    assert again.json["last_seq"] <= 1
    shown = await known.get(path, **at)
    assert [m["text"] for m in shown.json["data"]] == ["is anybody there", "it is me again"]
    stranger, _ = await office.arrive()
    assert (await stranger.post("/conversations", body, **at)).status == 404


async def test_one_identified_visitor_is_never_merged_into_another(office: Office) -> None:
    """On a shared computer the visitor before this one is somebody else: their conversations stay theirs."""
    secret = await _secret(office)
    first, _ = await office.arrive(identity_token=_identity(secret, new_id()))
    conversation_id, _ = await office.start(first)
    second, _ = await office.arrive(
        identity_token=_identity(secret, new_id()), visitor_token=first.token
    )
    assert (await second.get("/conversations")).json["data"] == []
    assert (await second.get(f"/conversations/{conversation_id}")).status == 404
    assert (await first.get(f"/conversations/{conversation_id}")).status == 200


async def _forgeries(office: Office) -> dict[str, str]:
    secret = await _secret(office)
    standard: Json = {"sub": "u1", "iat": seconds_from_now(-1), "exp": seconds_from_now(300)}
    return {
        "wrong secret": jwt.encode(standard, "x" * 43, algorithm="HS256"),
        "no algorithm": jwt.encode(standard, "", algorithm="none"),
        "other algorithm": jwt.encode(standard, secret * 2, algorithm="HS512"),
        "expired": _identity(secret, "u1", exp=seconds_from_now(-600)),
        "no end": jwt.encode({"sub": "u1", "iat": seconds_from_now(-1)}, secret, algorithm="HS256"),
        "too long": _identity(secret, "u1", exp=seconds_from_now(90_000 * 2)),
        "from the future": _identity(secret, "u1", iat=seconds_from_now(600)),
        "nobody": _identity(secret, ""),
        "no text in the id": _identity(secret, "u\ud800"),
        "no text in the name": _identity(secret, "u1", name="a\0b"),
        "a name without end": _identity(secret, "u1", name="n" * 121),
        "rubbish": "a.b.c",
    }


async def test_forged_identities_are_refused(office: Office) -> None:
    """Each kind of forgery gets the one answer, and no contact."""
    for name, token in (await _forgeries(office)).items():
        answer = await office.anybody.post(_contacts(office), {"identity_token": token})
        assert (answer.status, answer.code) == (401, "identity_invalid"), name


async def test_a_new_identity_secret_replaces_the_one_before(office: Office) -> None:
    """Tokens signed with the old one are worth nothing at once."""
    old, new = await _secret(office), await _secret(office)
    path = _contacts(office)
    refused = await office.anybody.post(path, {"identity_token": _identity(old, "u")})
    assert refused.status == 401
    taken = await office.anybody.post(path, {"identity_token": _identity(new, "u")})
    assert taken.status == 201


async def test_the_secret_of_another_inbox_vouches_for_nobody_here(
    office: Office, elsewhere: Office
) -> None:
    """A site speaks for its own visitors only."""
    await _secret(office)
    token = _identity(await _secret(elsewhere), "u1")
    answer = await office.anybody.post(_contacts(office), {"identity_token": token})
    assert (answer.status, answer.code) == (401, "identity_invalid")


async def test_an_unknown_inbox_and_a_foreign_visitor_token_open_nothing(
    office: Office, elsewhere: Office
) -> None:
    """404 for the key; a token of another account is not recognised and a new contact is made."""
    assert (await office.anybody.post("/inboxes/ib_nope/contacts", {})).status == 404
    foreigner, foreign_id = await elsewhere.arrive()
    _, contact_id = await office.arrive(visitor_token=foreigner.token)
    assert contact_id != foreign_id


@pytest.mark.parametrize("origin", ["https://shop.example", "https://evil.example"])
async def test_only_listed_origins_may_use_the_inbox(office: Office, origin: str) -> None:
    """The list is exact, for arriving and for everything after; a browser is told in the CORS headers."""
    await office.admin.patch(
        f"/inboxes/{office.inbox['inbox_id']}", {"origins": ["https://shop.example"]}
    )
    is_listed = origin == "https://shop.example"
    arrived = await office.anybody.post(_contacts(office), {}, Origin=origin)
    assert arrived.status == (201 if is_listed else 403)
    visitor: Api = (await office.arrive())[0]
    shown = await visitor.get("/conversations", Origin=origin)
    assert shown.status == (200 if is_listed else 403)
    if is_listed:
        assert shown.headers["Access-Control-Allow-Origin"] == origin
    else:
        assert shown.code == "origin_not_allowed"
