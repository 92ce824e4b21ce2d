"""A pool: the agents who may take one kind of conversation (team and skills), in the order of their score, and
the conversations of that kind that wait. Derived from the folded state."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Literal

import msgspec

from services.dispatcher.decide.line import Item, Line
from shared.directory import Account
from shared.events.conversation import Priority
from shared.ids import AgentId, TeamId
from shared.policy.document import Strategy

Status = Literal[
    "free", "offline", "not_available", "at_capacity", "pace", "channel_full", "manual"
]
Candidate = tuple[float, float, float, float, AgentId]
"""Score, lower first: four parts as the strategy orders them (`PARTS`), then the id."""
PARTS: dict[Strategy, tuple[str, str, str, str]] = {
    "balanced": ("skill_level", "team_priority", "load", "last_assigned"),
    "round_robin": ("team_priority", "last_assigned", "load", "skill_level"),
    "longest_idle": ("skill_level", "team_priority", "idle_since", "load"),
    "manual": ("skill_level", "team_priority", "load", "last_assigned"),
}
RANKS: dict[Priority, int] = {"urgent": 0, "high": 1, "normal": 2, "low": 3}


class PoolKey(msgspec.Struct, frozen=True):
    """What a conversation asks of its agent."""

    team_id: TeamId | None
    skills: tuple[tuple[str, int], ...]
    strategy: Strategy = "balanced"
    channel: str = ""


class Standing(msgspec.Struct, frozen=True):
    """How an agent stands now, in every pool alike. `full`: channels of which they take no more."""

    status: Status
    load: float
    last_assigned: int
    idle_since: int = 0
    full: frozenset[str] = frozenset()


class Roster:
    """The agents of a pool who are free, sorted by score, and how many of the others fell to which rule."""

    __slots__ = ("candidates", "counts", "key", "members")

    def __init__(
        self,
        key: PoolKey,
        members: dict[AgentId, tuple[int, int]],
        candidates: list[Candidate],
        counts: dict[str, int],
    ) -> None:
        self.key = key
        self.members = members
        self.candidates = candidates
        self.counts = counts

    def copy(self) -> Roster:
        """For a round that reserves agents without touching what is folded."""
        return Roster(self.key, self.members, self.candidates.copy(), self.counts.copy())

    def move(self, agent_id: AgentId, before: Standing | None, after: Standing) -> None:
        """The agent's standing changed; nothing happens if they are no member."""
        score = self.members.get(agent_id)
        if score is None:
            return
        if before is not None:
            self._leave(agent_id, score, before)
        status = self.status(after)
        if status == "free":
            insort(self.candidates, self._candidate(agent_id, score, after))
        else:
            self.counts[status] = self.counts.get(status, 0) + 1

    def find(self, agent_id: AgentId, standing: Standing | None) -> Candidate | None:
        """The agent as a candidate, None unless they are free."""
        score = self.members.get(agent_id)
        if score is None or standing is None or self.status(standing) != "free":
            return None
        return self._candidate(agent_id, score, standing)

    def status(self, standing: Standing) -> Status:
        """What the standing means in this pool."""
        if self.key.strategy == "manual":
            return "manual"
        if standing.status == "free" and self.key.channel in standing.full:
            return "channel_full"
        return standing.status

    def _candidate(
        self, agent_id: AgentId, score: tuple[int, int], standing: Standing
    ) -> Candidate:
        skill, priority = score
        load, last = standing.load, standing.last_assigned
        match self.key.strategy:
            case "round_robin":
                return (priority, last, load, skill, agent_id)
            case "longest_idle":
                return (skill, priority, standing.idle_since, load, agent_id)
            case _:
                return (skill, priority, load, last, agent_id)

    def _leave(self, agent_id: AgentId, score: tuple[int, int], before: Standing) -> None:
        status = self.status(before)
        if status != "free":
            self.counts[status] -= 1
            return
        key = self._candidate(agent_id, score, before)
        del self.candidates[bisect_left(self.candidates, key)]


class Pool:
    """A roster and the lines before it, one a priority."""

    __slots__ = ("key", "lines", "roster")

    def __init__(self, key: PoolKey, account: Account) -> None:
        self.key = key
        self.lines = tuple(Line() for _ in RANKS)
        self.roster = _roster(key, account)

    def place(self, rank: int, item: Item) -> int:
        """1 for the first of all."""
        ahead = sum(len(line) for line in self.lines[:rank])
        return 1 + ahead + self.lines[rank].place(item)


def _roster(key: PoolKey, account: Account) -> Roster:
    members: dict[AgentId, tuple[int, int]] = {}
    counts = {"not_in_team": 0, "missing_skill": 0}
    team = account.teams.get(key.team_id) if key.team_id is not None else None
    for agent_id, agent in account.agents.items():
        if team is not None and agent_id not in team.members:
            counts["not_in_team"] += 1
        elif any(agent.skills.get(skill, 0) < level for skill, level in key.skills):
            counts["missing_skill"] += 1
        else:
            level = sum(agent.skills.get(skill, 0) for skill, _ in key.skills)
            members[agent_id] = (-level, team.members[agent_id] if team is not None else 0)
    return Roster(key, members, [], counts)
