"""A team, an inbox and agents for one run of a tool, made and removed through the public API.

Everything is created under keys drawn from the run's name, so a repeated request makes nothing twice, and two runs
don't disturb each other.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Coroutine
from typing import Any

import msgspec

from nightdesk_client import ApiError, Staff

_SPACE = uuid.UUID("5a3d8a0e-2f0c-5c9b-9d0e-6f4a1c2b7e11")


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent signs in."""

    agent_id: str
    email: str
    password: str


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """What was made for a run."""

    team_id: str
    inbox_id: str
    inbox_key: str
    agents: list[Credentials]


class Cast(msgspec.Struct, frozen=True, kw_only=True):
    """Who comes in a run, and by which channel. Of `refused` channels the agents take nothing: customers who wait for
    just anybody are not theirs."""

    agents: int
    capacity: int
    channel: str = "web"
    refused: frozenset[str] = frozenset()


async def build(admin: Staff, *, run: str, cast: Cast) -> Stage:
    """Make everything; `run` is its name (lower-case words and dashes). Raises `ApiError`."""
    password = secrets.token_urlsafe(16)
    makers = [
        _make_agent(admin, run=run, number=number, cast=cast, password=password)
        for number in range(1, cast.agents + 1)
    ]
    made = await asyncio.gather(*makers)
    members = {agent.agent_id: 0 for agent in made}
    team = await admin.account.create_team(key=_key(run, "team"), name=_title(run), members=members)
    inbox = await admin.account.create_inbox(
        key=_key(run, "inbox"), name=_title(run), channel=cast.channel, team_id=team.team_id
    )
    return Stage(
        team_id=team.team_id, inbox_id=inbox.inbox_id, inbox_key=inbox.inbox_key, agents=made
    )


async def clear(admin: Staff, stage: Stage) -> None:
    """Remove what was made; conversations stay. What something still needs stays as well."""
    for agent in stage.agents:
        await _unless_gone(admin.account.remove_agent(agent.agent_id))
    await _unless_gone(admin.account.remove_inbox(stage.inbox_id))
    await _unless_gone(admin.account.remove_team(stage.team_id))


async def _make_agent(
    admin: Staff, *, run: str, number: int, cast: Cast, password: str
) -> Credentials:
    email = f"{run}-{number:03d}@tools.example"
    made = await admin.account.create_agent(
        key=_key(run, f"agent {number}"),
        name=f"{_title(run)} {number:03d}",
        email=email,
        password=password,
        role="agent",
        capacity=cast.capacity,
        channel_capacity=dict.fromkeys(cast.refused, 0),
        skills={"lang:zh": 3, "lang:en": 3},
    )
    return Credentials(agent_id=made.agent_id, email=email, password=password)


async def _unless_gone(removing: Coroutine[Any, Any, None]) -> None:
    try:
        await removing
    except ApiError as err:
        if err.status not in {404, 409}:
            raise


def _title(run: str) -> str:
    return run.replace("-", " ").capitalize()


def _key(run: str, what: str) -> str:
    return str(uuid.uuid5(_SPACE, f"{run}\n{what}"))
