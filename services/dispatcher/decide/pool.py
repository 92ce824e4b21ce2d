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

Status = Literal["free", "offline", "not_available", "at_capacity", "pace"]
Candidate = tuple[int, int, float, int, AgentId]
"""Score, lower first: minus the summed skill level, priority in the team, load, last assignment, id."""
RANKS: dict[Priority, int] = {"urgent": 0, "high": 1, "normal": 2, "low": 3}


class PoolKey(msgspec.Struct, frozen=True):
    """What a conversation asks of its agent."""

    team_id: TeamId | None
    skills: tuple[tuple[str, int], ...]


class Standing(msgspec.Struct, frozen=True):
    """How an agent stands now, in every pool alike."""

    status: Status
    load: float
    last_assigned: int


class Roster:
    """The agents of a pool who are free, sorted by score, and how many of the others fell to which rule."""

    __slots__ = ("candidates", "counts", "members")

    def __init__(
        self,
        members: dict[AgentId, tuple[int, int]],
        candidates: list[Candidate],
        counts: dict[str, int],
    ) -> None:
        self.members = members
        self.candidates = candidates
        self.counts = counts

    def copy(self) -> Roster:
        """For a round that reserves agents without touching what is folded."""
        return Roster(self.members, self.candidates.copy(), self.counts.copy())

    def move(self, agent_id: AgentId, before: Standing | None, after: Standing) -> None:
        """The agent's standing changed; nothing happens if they are no member."""
        score = self.members.get(agent_id)
        if score is None:
            return
        if before is not None:
            self._leave(agent_id, score, before)
        if after.status == "free":
            insort(self.candidates, (*score, after.load, after.last_assigned, agent_id))
        else:
            self.counts[after.status] = self.counts.get(after.status, 0) + 1

    def find(self, agent_id: AgentId, standing: Standing | None) -> Candidate | None:
        """The agent as a candidate, None unless they are free."""
        score = self.members.get(agent_id)
        if score is None or standing is None or standing.status != "free":
            return None
        return (*score, standing.load, standing.last_assigned, agent_id)

    def _leave(self, agent_id: AgentId, score: tuple[int, int], before: Standing) -> None:
        if before.status != "free":
            self.counts[before.status] -= 1
            return
        key = (*score, before.load, before.last_assigned, agent_id)
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
    return Roster(members, [], counts)
