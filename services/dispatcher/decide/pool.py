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


class PoolKey(msgspec.Struct, frozen=True, gc=False):
    """What a conversation asks of its agent."""

    team_id: TeamId | None
    skills: tuple[tuple[str, int], ...]
    strategy: Strategy = "balanced"
    channel: str = ""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """How an agent stands now, in every pool alike. `full`: channels of which they take no more."""

    status: Status
    load: float
    last_assigned: int
    idle_since: int = 0
    full: frozenset[str] = frozenset()

    def is_behind(self, before: Standing) -> bool:
        """Whether somebody who stood as `before` and stands so now is free as ever and no better in any score."""
        return (
            self.status == "free" == before.status
            and self.load >= before.load
            and self.last_assigned >= before.last_assigned
            and self.idle_since >= before.idle_since
            and self.full == before.full
        )


class Roster:
    """The agents of a pool who are free, sorted by score, and how many of the others fell to which rule.

    Whoever was given something stands behind where they stood and is moved there only when they come up again:
    `shown` is how everybody stands by now (the floor's), `stood` how each member stood when they were placed, and an
    entry of a free agent is never behind their place. Most assignments thus move nobody in any other pool.
    """

    __slots__ = ("candidates", "counts", "key", "members", "places", "shown", "stood")

    def __init__(
        self,
        key: PoolKey,
        members: dict[AgentId, tuple[int, int]],
        counts: dict[str, int],
        shown: dict[AgentId, Standing],
    ) -> None:
        self.key = key
        self.members = members
        self.candidates: list[Candidate] = []
        self.counts = counts
        self.shown = shown
        self.places: dict[AgentId, Candidate | Status] = {}
        self.stood: dict[AgentId, Standing] = {}
        for agent_id in members:
            self.move(agent_id)

    def move(self, agent_id: AgentId) -> None:
        """Put a member where they stand by now."""
        standing = self.stood[agent_id] = self.shown[agent_id]
        status = self.status(standing)
        after = (
            self._candidate(agent_id, self.members[agent_id], standing)
            if status == "free"
            else status
        )
        before = self.places.get(agent_id)
        if after == before:
            return
        self.places[agent_id] = after
        counts, candidates = self.counts, self.candidates
        if isinstance(before, tuple):
            del candidates[bisect_left(candidates, before)]
        elif before is not None:
            counts[before] -= 1
        if isinstance(after, tuple):
            insort(candidates, after)
        else:
            counts[after] = counts.get(after, 0) + 1

    def best(self, count: int) -> list[Candidate]:
        """The first so many who are free."""
        candidates, stood, shown = self.candidates, self.stood, self.shown
        place = 0
        while place < count and place < len(candidates):
            agent_id = candidates[place][-1]
            if stood[agent_id] is shown[agent_id]:
                place += 1
            else:
                self.move(agent_id)
        return candidates[:count]

    def find(self, agent_id: AgentId) -> Candidate | None:
        """The agent as a candidate, None unless they are free."""
        if agent_id not in self.members:
            return None
        if self.stood[agent_id] is not self.shown[agent_id]:
            self.move(agent_id)
        place = self.places[agent_id]
        return place if isinstance(place, tuple) else None

    def status(self, standing: Standing) -> Status:
        """What the standing means in this pool."""
        if self.key.strategy == "manual":
            return "manual"
        if standing.full and standing.status == "free" and self.key.channel in standing.full:
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


class Pool:
    """A roster and the lines before it, one a priority."""

    __slots__ = ("key", "lines", "roster")

    def __init__(self, key: PoolKey, account: Account, shown: dict[AgentId, Standing]) -> None:
        self.key = key
        self.lines = tuple(Line() for _ in RANKS)
        self.roster = _roster(key, account, shown)

    def place(self, rank: int, item: Item) -> int:
        """1 for the first of all."""
        place = 1 + self.lines[rank].place(item)
        for line in self.lines[:rank]:
            place += len(line)
        return place


def _roster(key: PoolKey, account: Account, shown: dict[AgentId, Standing]) -> Roster:
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
    return Roster(key, members, counts, shown)
