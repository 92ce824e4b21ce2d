"""Who can do what: an account's agents by skill, so that a pool is opened without a look at each of them for each pool.
Derived from the configuration; pure."""

from __future__ import annotations

from collections.abc import Collection

from shared.directory import Account
from shared.ids import AgentId, TeamId


class Talents:
    """Good as long as no agent or team is saved."""

    def __init__(self, account: Account) -> None:
        self._agents = account.agents
        self._teams = account.teams
        self._levels: dict[str, dict[AgentId, int]] = {}
        self._sizes: dict[TeamId, int] = {}
        for agent_id, agent in account.agents.items():
            for skill, level in agent.skills.items():
                self._levels.setdefault(skill, {})[agent_id] = level

    def holders(self, skill: str) -> Collection[AgentId]:
        """Everybody who has the skill, at whatever level."""
        return self._levels.get(skill, {})

    def hopefuls(self, skills: Collection[tuple[str, int]]) -> Collection[AgentId]:
        """Everybody who may have all of these skills: those who have the rarest at its level."""
        found: Collection[AgentId] = self._agents
        for skill, wanted in skills:
            if wanted <= 0:
                continue
            levels = self._levels.get(skill, {})
            if len(levels) < len(found) or found is self._agents:
                found = levels
        return found

    def size(self, team_id: TeamId | None) -> int:
        """How many agents are members; with no team, how many there are."""
        if team_id is None:
            return len(self._agents)
        size = self._sizes.get(team_id)
        if size is None:
            members = self._teams[team_id].members
            size = self._sizes[team_id] = sum(each in self._agents for each in members)
        return size
