"""A pool: the agents who may take one kind of conversation (team and skills), in the order of their score, and
the conversations of that kind that wait. Derived from the folded state."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Literal

import msgspec

from services.dispatcher.decide.line import Item, Line
from services.dispatcher.decide.talents import Talents
from shared.directory import Account
from shared.events import Scored
from shared.events.conversation import Priority
from shared.ids import AgentId, TeamId
from shared.policy.document import Strategy

Status = Literal[
    "free", "offline", "not_available", "silent", "at_capacity", "pace", "channel_full", "manual"
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


_PREVIOUS = ("previous_agent", 0.0)
_ANY = ("previous_agent", 1.0)


def scored(candidate: Candidate, names: tuple[str, str, str, str], *, is_previous: bool) -> Scored:
    """The candidate's score in named parts."""
    a, b, c, d, agent_id = candidate
    parts = (
        _PREVIOUS if is_previous else _ANY,
        (names[0], float(a)),
        (names[1], float(b)),
        (names[2], float(c)),
        (names[3], float(d)),
    )
    return Scored(agent_id=agent_id, parts=parts)


class PoolKey(msgspec.Struct, frozen=True, gc=False):
    """What a conversation asks of its agent. `teams`: those asked (see `state.asked_teams`). `language`: a skill that is
    asked of members of teams in which somebody has it. `is_closed`: the first team does not work now."""

    teams: tuple[TeamId | None, ...]
    skills: tuple[tuple[str, int], ...]
    strategy: Strategy = "balanced"
    channel: str = ""
    language: str = ""
    is_closed: bool = False


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
    entry of a free agent is never behind their place. Most assignments thus move nobody in any other pool. `told`: what
    was last said of a member's score.
    """

    __slots__ = (
        "_excluded",
        "candidates",
        "counts",
        "key",
        "members",
        "places",
        "shown",
        "stood",
        "told",
    )

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
        self.told: dict[AgentId, tuple[Candidate, Scored]] = {}
        self._excluded: dict[str, int] | None = None
        for agent_id in members:
            self.move(agent_id)

    def move(self, agent_id: AgentId) -> None:
        """Put a member where they stand by now."""
        standing = self.stood[agent_id] = self.shown[agent_id]
        after: Candidate | Status = self.status(standing)
        if after == "free":
            after = self._candidate(agent_id, self.members[agent_id], standing)
        before = self.places.get(agent_id)
        if after == before:
            return
        self.places[agent_id] = after
        counts, candidates = self.counts, self.candidates
        if not (isinstance(before, tuple) and isinstance(after, tuple)):
            self._excluded = None
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
        stood, shown, candidates = self.stood, self.shown, self.candidates
        at = 0
        while at < count and at < len(candidates):
            agent_id = candidates[at][-1]
            if stood[agent_id] is shown[agent_id]:
                at += 1
            else:
                # Never to a place before this one, so what was passed stays passed.
                self.move(agent_id)
        return candidates[:count]

    def excluded(self) -> dict[str, int]:
        """How many fell to which rule; not to be changed, because the next decision tells the same."""
        found = self._excluded
        if found is None:
            found = self._excluded = {rule: n for rule, n in self.counts.items() if n}
        return found

    def tell(self, candidate: Candidate) -> Scored:
        """The candidate's score in named parts. Whoever comes second is named again with the next conversation, usually
        by the same score."""
        kept = self.told.get(candidate[-1])
        if kept is None or kept[0] is not candidate:
            kept = (candidate, scored(candidate, PARTS[self.key.strategy], is_previous=False))
            self.told[candidate[-1]] = kept
        return kept[1]

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

    def __init__(self, key: PoolKey, roster: Roster) -> None:
        self.key = key
        self.lines = tuple(Line() for _ in RANKS)
        self.roster = roster

    def place(self, rank: int, item: Item) -> int:
        """1 for the first of all."""
        return 1 + self.lines[rank].place(item) + self.ahead_of(rank)

    def ahead_of(self, rank: int) -> int:
        """How many wait in the lines before that of this rank."""
        return sum([len(line) for line in self.lines[:rank]])


Refusal = Literal["", "not_in_team", "missing_skill", "outside_hours"]


class Admission(msgspec.Struct, frozen=True, gc=False):
    """Whether an agent may take what a pool holds, as far as that does not hang on how they stand. `rule`: "" for a
    member, with their `score`; else what excludes them. `lacking`: skill, level wanted, level they have."""

    rule: Refusal
    score: tuple[int, int] = (0, 0)
    lacking: tuple[tuple[str, int, int], ...] = ()


class Entrance:
    """The teams that a pool asks, in order, each with the skills that are wanted of its members."""

    def __init__(self, key: PoolKey, account: Account, talents: Talents) -> None:
        self._agents = account.agents
        self._talents = talents
        self._is_closed = key.is_closed
        self._doors: list[tuple[dict[AgentId, int] | None, tuple[tuple[str, int], ...]]] = []
        for team_id in key.teams:
            members = None if team_id is None else account.teams[team_id].members
            skills = key.skills
            if key.language and self._is_spoken(key.language, members):
                skills = (*skills, (key.language, 1))
            self._doors.append((members, skills))

    @property
    def wanted(self) -> tuple[tuple[str, int], ...]:
        """What the first team's members are asked for."""
        return self._doors[0][1]

    def admit(self, agent_id: AgentId) -> Admission:
        """Through the first team that they are a member of and whose hours are not over."""
        skills = self._agents[agent_id].skills
        refused = _STRANGER
        for order, (members, wanted) in enumerate(self._doors):
            if members is not None and agent_id not in members:
                continue
            lacking = [(skill, n, skills.get(skill, 0)) for skill, n in wanted]
            lacking = [each for each in lacking if each[2] < each[1]]
            if not lacking and not (self._is_closed and order == 0):
                level = sum(skills.get(skill, 0) for skill, _ in wanted)
                rank = _NEXT_TEAM * order + (members[agent_id] if members is not None else 0)
                return Admission("", (-level, rank))
            if refused is _STRANGER:
                rule: Refusal = "missing_skill" if lacking else "outside_hours"
                refused = Admission(rule, lacking=tuple(lacking))
        return refused

    def _is_spoken(self, skill: str, members: dict[AgentId, int] | None) -> bool:
        speakers = self._talents.holders(skill)
        return any(members is None or agent_id in members for agent_id in speakers)


_STRANGER = Admission("not_in_team")
_NEXT_TEAM = 10_000
"""Added to a member's priority for each team that was asked before theirs."""


def make_roster(
    key: PoolKey, account: Account, talents: Talents, shown: dict[AgentId, Standing]
) -> Roster:
    """Who may take what the key asks for, and how many may not."""
    entrance = Entrance(key, account, talents)
    if len(key.teams) == 1 and not key.is_closed:
        return _of_one_team(key, entrance, talents, shown)
    members: dict[AgentId, tuple[int, int]] = {}
    counts = {"not_in_team": 0, "missing_skill": 0, "outside_hours": 0}
    for agent_id in account.agents:
        admission = entrance.admit(agent_id)
        if admission.rule:
            counts[admission.rule] += 1
        else:
            members[agent_id] = admission.score
    return Roster(key, members, counts, shown)


def _of_one_team(
    key: PoolKey, entrance: Entrance, talents: Talents, shown: dict[AgentId, Standing]
) -> Roster:
    """The usual pool: who is in the team and does not get in lacks a skill, so nobody else need be looked at."""
    members = {}
    for agent_id in talents.hopefuls(entrance.wanted):
        admission = entrance.admit(agent_id)
        if not admission.rule:
            members[agent_id] = admission.score
    size = talents.size(key.teams[0])
    counts = {
        "not_in_team": talents.size(None) - size,
        "missing_skill": size - len(members),
        "outside_hours": 0,
    }
    return Roster(key, members, counts, shown)
