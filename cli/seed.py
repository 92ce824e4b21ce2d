"""`nightdesk seed`: a demo account to try things out with. Running it again changes nothing.

The account and its administrator are made in the log, as an operator does; everything else through the API."""

from __future__ import annotations

import asyncio
import secrets
import sys

import click

from cli import demo, installation
from cli.account_log import Administrator, open_account_log
from nightdesk_client import NightdeskClientError, SignedOut, Staff
from nightdesk_client.api.account import AccountApi
from shared.errors import NightdeskError
from shared.ids import AccountId, AgentId

_SIGN_IN_TRIES = 50
_PAUSE_S = 0.1


@click.command()
def seed() -> None:
    """Make the demo account: 3 agents, 2 teams, 1 inbox, labels and a policy."""
    try:
        lines = asyncio.run(_seed())
    except (NightdeskError, NightdeskClientError) as err:
        click.echo(f"seed: {err}", err=True)
        sys.exit(2)
    click.echo("\n".join(lines))


async def _seed() -> list[str]:
    gateway_url = installation.find("gateway_url").gateway_url
    passwords = {agent.email: _password() for agent in demo.AGENTS}
    async with open_account_log() as log:
        is_there = demo.ACCOUNT_ID in (await log.fold()).accounts
        if is_there and not demo.is_development():
            return ["the demo account is there already; its passwords were shown when it was made"]
        await log.create_account(
            AccountId(demo.ACCOUNT_ID),
            demo.ACCOUNT_NAME,
            Administrator(
                agent_id=AgentId(demo.ADMIN_ID),
                name=demo.ADMIN.name,
                email=demo.ADMIN.email,
                password=passwords[demo.ADMIN.email],
                skills=demo.ADMIN.skills,
            ),
        )
    inbox_key = await _configure(gateway_url, passwords)
    logins = [f"{a.role:<10} {a.email:<18} {passwords[a.email]}" for a in demo.AGENTS]
    return [f"inbox      {inbox_key}", *logins]


def _password() -> str:
    return demo.DEVELOPMENT_PASSWORD if demo.is_development() else secrets.token_urlsafe(12)


async def _configure(gateway_url: str, passwords: dict[str, str]) -> str:
    """What is missing, by name; the inbox's public key."""
    email = demo.ADMIN.email
    for tries_left in range(_SIGN_IN_TRIES, -1, -1):
        try:
            async with Staff.sign_in(gateway_url, email, passwords[email]) as staff:
                return await _configure_by(staff.account, passwords)
        except SignedOut:
            # The gateway reads the new account from the log a moment after it was appended.
            if not tries_left:
                raise
        await asyncio.sleep(_PAUSE_S)
    raise AssertionError


async def _configure_by(account: AccountApi, passwords: dict[str, str]) -> str:
    agents = await _agents(account, passwords)
    teams = await _teams(account, agents)
    return await _inbox(account, teams[demo.TEAMS[0]])


async def _agents(account: AccountApi, passwords: dict[str, str]) -> dict[str, str]:
    """Address to id. Administrators are shown addresses, so nobody is made twice."""
    ids = {each.email: each.agent_id for each in await account.agents() if each.email}
    for agent in demo.AGENTS:
        if agent.email not in ids:
            made = await account.create_agent(
                key=f"seed-{agent.email}",
                name=agent.name,
                email=agent.email,
                password=passwords[agent.email],
                role=agent.role,
                skills=agent.skills,
            )
            ids[agent.email] = made.agent_id
    return ids


async def _teams(account: AccountApi, agents: dict[str, str]) -> dict[str, str]:
    ids = {team.name: team.team_id for team in await account.teams()}
    for name in demo.TEAMS:
        if name not in ids:
            members = {agents[a.email]: 0 for a in demo.AGENTS if name in a.teams}
            made = await account.create_team(key=f"seed-{name}", name=name, members=members)
            ids[name] = made.team_id
    return ids


async def _inbox(account: AccountApi, team_id: str) -> str:
    for inbox in await account.inboxes():
        if inbox.name == demo.INBOX_NAME:
            return inbox.inbox_key
    for name, colour in demo.LABELS.items():
        await account.create_label(name, colour=colour)
    policy = await account.create_policy(key="seed-policy", name="Demo", first_response_s=3600)
    made = await account.create_inbox(
        key="seed-inbox", name=demo.INBOX_NAME, team_id=team_id, policy_id=policy.policy_id
    )
    await account.replace_identity_secret(made.inbox_id)
    return made.inbox_key
