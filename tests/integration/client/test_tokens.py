"""Short tokens of agents: renewed when needed, by one request at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nightdesk_client import Agent, SignedOut, Visitor
from tests.support.scripted_gateway import WAIT_S, ScriptedGateway


def tokens(number: int, *, life_s: int = 900) -> dict[str, Any]:
    return {
        "access_token": f"access-{number}",
        "expires_in_s": life_s,
        "refresh_token": f"refresh-{number}",
        "account_id": "acc",
        "agent_id": "a1",
        "role": "agent",
    }


async def test_an_expired_token_is_renewed_and_the_session_comes_back(
    scripted_gateway: ScriptedGateway,
) -> None:
    """Close code 3009 leads to one refresh and a hello with the new token."""
    scripted_gateway.answer("POST /auth/login", (200, tokens(1)))
    scripted_gateway.answer("POST /auth/refresh", (200, tokens(2)))
    async with Agent.sign_in(scripted_gateway.url, "a@example.com", "secret"):
        session = await scripted_gateway.session()
        assert session.hello["token"] == "access-1"
        await session.welcome()
        await session.close(3009)
        assert (await scripted_gateway.session()).hello["token"] == "access-2"


async def test_many_refused_calls_share_one_refresh(scripted_gateway: ScriptedGateway) -> None:
    """Refresh tokens rotate, so ten calls that meet a 401 at once may use it only once."""
    me = {"kind": "agent", "id": "a1", "account_id": "acc", "role": "agent"}
    scripted_gateway.answer("POST /auth/login", (200, tokens(1)))
    scripted_gateway.answer("POST /auth/refresh", (200, tokens(2)), (401, {}))
    scripted_gateway.answer("GET /me", (200, me))
    scripted_gateway.refused_tokens.add("access-1")
    async with Agent.sign_in(scripted_gateway.url, "a@example.com", "secret") as agent:
        calls = [agent.account.me() for _ in range(10)]
        found = await asyncio.wait_for(asyncio.gather(*calls), WAIT_S)
    assert {identity.id for identity in found} == {"a1"}
    assert [call for call, _ in scripted_gateway.calls].count("POST /auth/refresh") == 1


async def test_a_spent_refresh_token_leads_to_a_new_sign_in(
    scripted_gateway: ScriptedGateway,
) -> None:
    """When the answer to a refresh was lost, the family is revoked; the password still works."""
    scripted_gateway.answer("POST /auth/login", (200, tokens(1, life_s=1)), (200, tokens(3)))
    scripted_gateway.answer("POST /auth/refresh", (401, {"code": "refresh_reused"}))
    async with Agent.sign_in(scripted_gateway.url, "a@example.com", "secret") as agent:
        session = await scripted_gateway.session()
        await session.welcome()
        await session.close(3009)
        assert (await scripted_gateway.session()).hello["token"] == "access-3"
        assert await agent.token() == "access-3"


async def test_a_refused_token_ends_the_client(scripted_gateway: ScriptedGateway) -> None:
    """A visitor's token can't be renewed: every call that waits is told instead of waiting for ever."""
    async with Visitor.returning(scripted_gateway.url, "forged") as visitor:
        opening = asyncio.create_task(visitor.opened())
        sending = asyncio.create_task(visitor.send("c1", "hello"))
        session = await scripted_gateway.session()
        await session.close(3501)
        for waiting in (opening, sending, anext(visitor.entries())):
            with pytest.raises(SignedOut):
                await asyncio.wait_for(waiting, WAIT_S)


async def test_a_wrong_password_is_told(scripted_gateway: ScriptedGateway) -> None:
    """Signing in with a wrong password raises at once."""
    scripted_gateway.answer("POST /auth/login", (401, {"code": "invalid_credentials"}))
    with pytest.raises(SignedOut):
        async with Agent.sign_in(scripted_gateway.url, "a@example.com", "wrong"):
            raise AssertionError("signed in with a wrong password")
