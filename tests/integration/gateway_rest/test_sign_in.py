"""Sign-in: what opens the door, what closes it, and what guessing gets."""

from __future__ import annotations

from shared.clock import new_id
from tests.support.rest import PASSWORD, Api, Office


async def _tokens(office: Office) -> dict[str, str]:
    body = {"email": office.admin_email, "password": PASSWORD}
    tokens: dict[str, str] = await office.anybody.made("/auth/login", body)
    return tokens


async def test_an_agent_signs_in_with_any_spelling_of_the_address(office: Office) -> None:
    """The address is compared without regard to case and spaces around it; the token names the agent."""
    body = {"email": f"{office.admin_email.upper()}", "password": PASSWORD}
    tokens = await office.anybody.made("/auth/login", body)
    me = await office.anybody.as_(tokens["access_token"]).get("/me")
    assert me.json["role"] == "admin"
    assert me.json["agent"]["email"] == office.admin_email
    assert me.json["account_id"] == office.account_id


async def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(office: Office) -> None:
    """Nobody learns who works here by trying."""
    wrong = await office.anybody.post(
        "/auth/login", {"email": office.admin_email, "password": "not this one"}
    )
    unknown = await office.anybody.post(
        "/auth/login", {"email": f"{new_id()}@nowhere.example", "password": "not this one"}
    )
    assert (wrong.status, unknown.status) == (401, 401)
    del wrong.json["request_id"], unknown.json["request_id"]
    assert wrong.json == unknown.json


async def test_guessing_is_slowed_down_and_told_when_to_come_back(anybody: Api) -> None:
    """Ten guesses for one address at once, then 429 with Retry-After; other addresses are not concerned."""
    body = {"email": f"{new_id()}@nowhere.example", "password": "guess"}
    answers = [await anybody.post("/auth/login", body) for _ in range(10)]
    assert [a.status for a in answers] == [401] * 10
    # Every five seconds one more is granted, so a slow machine gets a few in between.
    while answers[-1].status == 401 and len(answers) < 30:
        answers.append(await anybody.post("/auth/login", body))
    assert answers[-1].status == 429
    assert answers[-1].code == "rate_limited"
    assert int(answers[-1].headers["Retry-After"]) >= 1
    other = {"email": f"{new_id()}@nowhere.example", "password": "guess"}
    assert (await anybody.post("/auth/login", other)).status == 401


async def test_a_refresh_token_is_good_once_and_used_twice_it_ends_the_session(
    office: Office,
) -> None:
    """Used twice, somebody holds a copy: neither the copy nor its successor works any more."""
    first = (await _tokens(office))["refresh_token"]
    second = (await office.anybody.made("/auth/refresh", {"refresh_token": first}))["refresh_token"]
    assert second != first
    replayed = await office.anybody.post("/auth/refresh", {"refresh_token": first})
    assert (replayed.status, replayed.code) == (401, "refresh_reused")
    after = await office.anybody.post("/auth/refresh", {"refresh_token": second})
    assert (after.status, after.code) == (401, "refresh_reused")


async def test_signing_out_ends_the_session(office: Office) -> None:
    """The refresh token is worth nothing afterwards, and signing out twice does no harm."""
    body = {"refresh_token": (await _tokens(office))["refresh_token"]}
    assert (await office.anybody.post("/auth/logout", body)).status == 204
    assert (await office.anybody.post("/auth/refresh", body)).status == 401
    assert (await office.anybody.post("/auth/logout", body)).status == 204


async def test_rubbish_for_a_refresh_token_is_refused(anybody: Api) -> None:
    """Whatever is sent as a token gets the one answer."""
    for token in ("", "x", "ndr_", "ndr_.", "ndr_a.b", "ndr_\u00e9.x", "ndr_%00.x"):
        answer = await anybody.post("/auth/refresh", {"refresh_token": token})
        assert (answer.status, answer.code) == (401, "refresh_reused"), token


async def test_a_removed_agent_is_out_at_once(office: Office) -> None:
    """Neither the open access token nor the password outlives the agent."""
    email = f"leaver-{new_id()}@office.example"
    made = await office.admin.made(
        "/agents", {"name": "Leaver", "email": email, "password": PASSWORD}
    )
    leaver = await office.anybody.sign_in(email)
    assert (await leaver.get("/me")).status == 200
    assert (await office.admin.delete(f"/agents/{made['agent_id']}")).status == 204
    assert (await leaver.get("/me")).status == 401
    again = await office.anybody.post("/auth/login", {"email": email, "password": PASSWORD})
    assert (again.status, again.code) == (401, "invalid_credentials")


async def test_a_changed_password_ends_the_sessions(office: Office) -> None:
    """The refresh tokens of before are worth nothing, the new password signs in, the old one doesn't."""
    email = f"mover-{new_id()}@office.example"
    body = {"name": "Mover", "email": email, "password": PASSWORD}
    made = await office.admin.made("/agents", body)
    tokens = await office.anybody.made("/auth/login", {"email": email, "password": PASSWORD})
    mover = office.anybody.as_(tokens["access_token"])
    changed = await mover.patch(f"/agents/{made['agent_id']}", {"password": "another password"})
    assert changed.status == 200
    refreshed = await office.anybody.post(
        "/auth/refresh", {"refresh_token": tokens["refresh_token"]}
    )
    assert refreshed.status == 401
    await office.anybody.sign_in(email, "another password")
    old = await office.anybody.post("/auth/login", {"email": email, "password": PASSWORD})
    assert old.status == 401


async def test_an_api_key_works_until_it_is_revoked(office: Office) -> None:
    """It sees the account's conversations, manages nothing, and a repeat of its making is the same key."""
    made = await office.admin.made("/api_keys", {"name": "crm"}, Idempotency_Key=new_id())
    robot = office.anybody.as_(made["api_key"])
    assert (await robot.get("/conversations")).status == 200
    assert (await robot.post("/teams", {"name": "x"})).status == 403
    listed = (await office.admin.get("/api_keys")).json["data"]
    assert {"api_key_id": made["api_key_id"], "name": "crm", "api_key": None} == {
        k: v for k, v in listed[-1].items() if k != "created_at"
    }
    assert (await office.admin.delete(f"/api_keys/{made['api_key_id']}")).status == 204
    assert (await robot.get("/conversations")).status == 401


async def test_the_same_idempotency_key_makes_the_same_api_key(office: Office) -> None:
    """A lost answer is no lost key; the same Idempotency-Key for another name is a conflict."""
    key = new_id()
    first = await office.admin.made("/api_keys", {"name": "crm"}, Idempotency_Key=key)
    again = await office.admin.made("/api_keys", {"name": "crm"}, Idempotency_Key=key)
    assert first["api_key"] == again["api_key"]
    other = await office.admin.post("/api_keys", {"name": "shop"}, Idempotency_Key=key)
    assert (other.status, other.code) == (409, "idempotency_conflict")


async def test_forged_expired_and_foreign_tokens_get_one_answer(office: Office) -> None:
    """Nobody learns which part of a forged token was wrong."""
    body = {}
    for token in ("x", "a.b.c", "ndk_", "ndk_a_b", "ndk_0000000000000000_" + "x" * 40, "é"):
        answer = await office.anybody.as_(token).get("/me") if token.isascii() else None
        if answer is not None:
            del answer.json["request_id"]
            body[answer.status] = answer.json
    assert list(body) == [401]
    missing = await office.anybody.get("/me")
    assert missing.status == 401
    assert missing.headers["WWW-Authenticate"].startswith("Bearer")
