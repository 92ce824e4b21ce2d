"""The operator's commands beside a running gateway: accounts, administrators, the demo account."""

from __future__ import annotations

import asyncio

from shared.clock import new_id
from tests.support.gateway_world import World
from tests.support.log import PATIENCE_S
from tests.support.rest import PASSWORD, Api, Office, operator


async def _until_signed_in(anybody: Api, email: str, password: str) -> Api:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            body = {"email": email, "password": password}
            answer = await anybody.post("/auth/login", body)
            if answer.status == 200:
                return anybody.as_(answer.json["access_token"])


async def test_one_more_administrator_is_let_in(world: World, office: Office) -> None:
    """They sign in to the account and may configure it; the same address is not given twice."""
    email = f"second-{new_id()}@office.example"
    arguments = ("admin", "create", "--account", office.account_id, "--email", email)
    done = await asyncio.to_thread(operator, world, *arguments)
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout
    second = await _until_signed_in(office.anybody, email, PASSWORD)
    me = (await second.get("/me")).json
    assert (me["account_id"], me["role"]) == (office.account_id, "admin")
    again = await asyncio.to_thread(operator, world, *arguments)
    assert again.returncode == 2
    assert "signs in somebody else" in again.stderr
    assert (await office.admin.delete(f"/agents/{me['id']}")).status == 204


async def test_an_unknown_account_gets_no_administrator(world: World, anybody: Api) -> None:
    """Exit 2, one line, and nobody can sign in with the address."""
    email = f"nobody-{new_id()}@office.example"
    arguments = ("admin", "create", "--account", new_id(), "--email", email)
    done = await asyncio.to_thread(operator, world, *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    answer = await anybody.post("/auth/login", {"email": email, "password": PASSWORD})
    assert answer.status == 401


async def test_seeding_twice_is_seeding_once(world: World, anybody: Api) -> None:
    """Three agents who can sign in, two teams, an inbox through which visitors arrive; the same after a repeat."""
    first = await asyncio.to_thread(operator, world, "seed")
    assert first.returncode == 0, first.stderr
    again = await asyncio.to_thread(operator, world, "seed")
    assert again.stdout == first.stdout
    inbox, *logins = [line.split() for line in first.stdout.splitlines()]
    assert [role for role, _, _ in logins] == ["admin", "supervisor", "agent"]
    signed_in = [await anybody.sign_in(email, password) for _, email, password in logins]
    admin = signed_in[0]
    assert len((await admin.get("/agents")).json["data"]) == 3
    assert len((await admin.get("/teams")).json["data"]) == 2
    assert len((await admin.get("/labels")).json["data"]) == 2
    assert len((await admin.get("/inboxes")).json["data"]) == 1
    assert (await anybody.post(f"/inboxes/{inbox[1]}/contacts", {})).status == 201
