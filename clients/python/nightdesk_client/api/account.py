"""Setting an account up over REST: agents, teams, inboxes, policies, labels, API keys, availability."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from nightdesk_client.rest import Nothing, Rest

T = TypeVar("T")


class ChannelLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent has of one channel; `capacity` is None where there is no limit of its own."""

    channel: str
    held: int
    capacity: int | None = None


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent has: `held` fills the `capacity`. `occupation`: "free", or why they are given nothing."""

    held: int
    capacity: int
    owned: int
    occupation: str
    channels: list[ChannelLoad] = []
    unacknowledged: int = 0


class AgentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An agent. `version` goes into `change_agent`. `online`, `availability` and `load` are None where nobody knows just now;
    `load` is shown to supervisors, and to agents their own."""

    agent_id: str
    name: str
    role: str
    capacity: int
    version: int
    email: str | None = None
    skills: dict[str, int] = {}
    teams: list[str] = []
    online: bool | None = None
    availability: str | None = None
    load: Load | None = None


class TeamRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A team; `members` maps agent ids to their priority, lower is asked first."""

    team_id: str
    name: str
    version: int
    members: dict[str, int] = {}


class InboxRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A door for visitors; `inbox_key` is public."""

    inbox_id: str
    inbox_key: str
    name: str
    version: int
    channel: str = ""
    team_id: str | None = None
    skills: dict[str, int] = {}
    policy_id: str | None = None
    origins: list[str] = []


class PolicyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How conversations are handed out."""

    policy_id: str
    name: str
    version: int


class ApiKeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An API key; in full only when it was just made."""

    api_key_id: str
    name: str
    api_key: str | None = None


class IdentitySecret(msgspec.Struct, frozen=True, kw_only=True):
    """The secret with which a site's back end signs identity tokens; shown once."""

    inbox_id: str
    secret: str


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who the token is."""

    kind: str
    id: str
    account_id: str
    role: str


class _Listed(msgspec.Struct, Generic[T]):
    data: list[T]


class AccountApi:
    """Configuration of the account that the token belongs to. Most of it needs the role admin.

    `fields` are those of the API (see its reference). Creating takes an idempotency `key`: the same key again
    finds what the first call made.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def me(self) -> Identity:
        """Who the token is."""
        return await self._rest.get("/me", Identity)

    async def agents(self) -> list[AgentRecord]:
        """Every agent."""
        return (await self._rest.get("/agents", _Listed[AgentRecord])).data

    async def create_agent(self, *, key: str = "", **fields: object) -> AgentRecord:
        """name, email, password; role, capacity, skills."""
        return await self._rest.post("/agents", fields, AgentRecord, key=key)

    async def change_agent(self, agent: AgentRecord, **fields: object) -> AgentRecord:
        """Only the given fields change; refused (412) when somebody else was quicker."""
        path = f"/agents/{agent.agent_id}"
        return await self._rest.patch(path, fields, AgentRecord, version=agent.version)

    async def remove_agent(self, agent_id: str) -> None:
        """The agent can't sign in any more; what they hold goes back to the queue."""
        await self._rest.delete(f"/agents/{agent_id}")

    async def set_availability(self, agent_id: str, availability: str) -> None:
        """online, busy, away or offline."""
        await self._rest.put(
            f"/agents/{agent_id}/availability", {"availability": availability}, Nothing
        )

    async def teams(self) -> list[TeamRecord]:
        """Every team."""
        return (await self._rest.get("/teams", _Listed[TeamRecord])).data

    async def create_team(self, *, key: str = "", **fields: object) -> TeamRecord:
        """name; members."""
        return await self._rest.post("/teams", fields, TeamRecord, key=key)

    async def change_team(self, team: TeamRecord, **fields: object) -> TeamRecord:
        """Only the given fields change."""
        path = f"/teams/{team.team_id}"
        return await self._rest.patch(path, fields, TeamRecord, version=team.version)

    async def remove_team(self, team_id: str) -> None:
        """Refused (409) while an inbox still needs it."""
        await self._rest.delete(f"/teams/{team_id}")

    async def inboxes(self) -> list[InboxRecord]:
        """Every inbox."""
        return (await self._rest.get("/inboxes", _Listed[InboxRecord])).data

    async def create_inbox(self, *, key: str = "", **fields: object) -> InboxRecord:
        """name; channel, team_id, skills, policy_id, origins."""
        return await self._rest.post("/inboxes", fields, InboxRecord, key=key)

    async def change_inbox(self, inbox: InboxRecord, **fields: object) -> InboxRecord:
        """Only the given fields change."""
        path = f"/inboxes/{inbox.inbox_id}"
        return await self._rest.patch(path, fields, InboxRecord, version=inbox.version)

    async def remove_inbox(self, inbox_id: str) -> None:
        """Nobody can arrive there any more; its conversations stay."""
        await self._rest.delete(f"/inboxes/{inbox_id}")

    async def replace_identity_secret(self, inbox_id: str) -> IdentitySecret:
        """A new secret; tokens signed with the one before are refused from now on."""
        return await self._rest.post(f"/inboxes/{inbox_id}/identity_secret", {}, IdentitySecret)

    async def policies(self) -> list[PolicyRecord]:
        """Every policy."""
        return (await self._rest.get("/policies", _Listed[PolicyRecord])).data

    async def create_policy(self, *, key: str = "", **fields: object) -> PolicyRecord:
        """name; assignment_lease_s, offline_return_s, first_response_s, next_response_s, …"""
        return await self._rest.post("/policies", fields, PolicyRecord, key=key)

    async def change_policy(self, policy: PolicyRecord, **fields: object) -> PolicyRecord:
        """Only the given fields change, at once, for conversations that wait as well."""
        path = f"/policies/{policy.policy_id}"
        return await self._rest.patch(path, fields, PolicyRecord, version=policy.version)

    async def create_label(self, name: str, *, colour: str = "") -> None:
        """A label that conversations can carry."""
        await self._rest.post("/labels", {"name": name, "colour": colour}, Nothing)

    async def create_api_key(self, name: str, *, key: str = "") -> ApiKeyRecord:
        """For a program of yours; the key is shown this once."""
        return await self._rest.post("/api_keys", {"name": name}, ApiKeyRecord, key=key)

    async def api_keys(self) -> list[ApiKeyRecord]:
        """Every key that is good, without the keys themselves."""
        return (await self._rest.get("/api_keys", _Listed[ApiKeyRecord])).data

    async def remove_api_key(self, api_key_id: str) -> None:
        """The key is worth nothing from now on."""
        await self._rest.delete(f"/api_keys/{api_key_id}")
