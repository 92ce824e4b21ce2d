"""What a conversation asks of its agent, from its inbox, its policy and what is known of it in clear."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Literal

import msgspec

from services.dispatcher.decide.due import SECOND_NS
from services.dispatcher.decide.pool import PoolKey
from services.dispatcher.decide.state import Track
from shared.directory import Account
from shared.explaining import Need
from shared.ids import InboxId, TeamId
from shared.policy.document import SkillRule
from shared.policy.hours import is_open, next_turn_ns

LANGUAGE_SKILL = "lang:"
Teams = tuple[TeamId | None, ...]
DemandClass = tuple[Teams, bool, InboxId, str, str, tuple[str, ...], tuple[str, ...]]
"""What decides about the pool: teams asked, whether the first is closed, inbox, language, channel, and the labels
and conditions that some rule looks at."""
_Gate = tuple[int, int, bool]
"""From when to when the inbox's hours stay as they are, and whether it is closed meanwhile."""


_UNKNOWN: _Gate = (0, 0, False)
NEVER_NS = 2**63


class Supply:
    """What the agents of an account can do and are limited in."""

    def __init__(self, account: Account) -> None:
        agents = account.agents.values()
        self.account = account
        self._skills: dict[TeamId | None, frozenset[str]] = {}
        self.limited = frozenset(channel for agent in agents for channel in agent.channel_capacity)
        """Channels of which some agent takes fewer than they could hold."""
        self._ageing_ns: dict[InboxId, int] = {}
        self._gates: dict[InboxId, _Gate | None] = {}

    def asks_other_than(self, before: Supply) -> tuple[set[str], set[str]]:
        """The languages and channels whose conversations ask for something else than they asked for `before`, as far
        as that hangs on what agents can do."""
        languages: set[str] = set()
        for team_id, skills in before._skills.items():
            if team_id is None or team_id in self.account.teams:
                languages |= _spoken(skills) ^ _spoken(self._skills_of(team_id))
        return languages, set(self.limited ^ before.limited)

    def forget(self, inbox_ids: Collection[InboxId]) -> None:
        """The rules of these inboxes were saved."""
        for inbox_id in inbox_ids:
            self._ageing_ns.pop(inbox_id, None)
            self._gates.pop(inbox_id, None)

    def ageing_ns(self, inbox_id: InboxId) -> int:
        """How long a conversation of the inbox waits until it rises; 0 never. Asked for every change of every
        conversation, so it is kept."""
        found = self._ageing_ns.get(inbox_id)
        if found is None:
            policy, _ = self.account.policy_of(inbox_id)
            found = self._ageing_ns[inbox_id] = policy.ageing_s * SECOND_NS
        return found

    def is_closed(self, track: Track, now_ns: int) -> bool:
        """Whether the team of the inbox is not to be asked now. What somebody sent to a team by hand is for that team,
        whatever the hours of the inbox."""
        gate = self._gate(track.conversation.inbox_id, now_ns)
        return gate is not None and gate[2] and track.wanted_team_id not in self.account.teams

    def turns_ns(self, track: Track, now_ns: int) -> int:
        """When that changes next; 0 never."""
        gate = self._gate(track.conversation.inbox_id, now_ns)
        return gate[1] if gate is not None and gate[1] < NEVER_NS else 0

    def _gate(self, inbox_id: InboxId, now_ns: int) -> _Gate | None:
        """None for an inbox whose agents are asked at any time. The last one is kept: it stays for hours."""
        known = self._gates.get(inbox_id, _UNKNOWN)
        if known is None or known[0] <= now_ns < known[1]:
            return known
        policy, _ = self.account.policy_of(inbox_id)
        gate: _Gate | None = None
        if policy.outside_hours == "wait" and policy.hours is not None:
            turns_ns = next_turn_ns(policy.hours, now_ns)
            until_ns = turns_ns if turns_ns is not None else NEVER_NS
            gate = (now_ns, until_ns, not is_open(policy.hours, now_ns))
        self._gates[inbox_id] = gate
        return gate

    def class_of(self, track: Track, teams: Teams, *, is_closed: bool) -> DemandClass:
        """Conversations of one class ask for the same."""
        conversation = track.conversation
        labels: tuple[str, ...] = ()
        met: tuple[str, ...] = ()
        if conversation.labels or track.met:
            policy, _ = self.account.policy_of(conversation.inbox_id)
            watched = {rule.label for rule in policy.skill_rules}
            labels = tuple(sorted(watched.intersection(conversation.labels)))
            conditions = {rule.condition for rule in policy.skill_rules}
            met = tuple(sorted(conditions.intersection(track.met)))
        return (
            teams,
            is_closed,
            conversation.inbox_id,
            conversation.language,
            conversation.channel,
            labels,
            met,
        )

    def key_of(self, track: Track, teams: Teams, *, is_closed: bool) -> PoolKey:
        """The pool of the conversation's class."""
        conversation = track.conversation
        policy, _ = self.account.policy_of(conversation.inbox_id)
        channel = conversation.channel
        skills: dict[str, int] = {}
        language = ""
        for need in self.needs(track, teams):
            if need.by == "language":
                language = need.skill
            else:
                skills[need.skill] = max(need.level, skills.get(need.skill, 0))
        return PoolKey(
            teams,
            tuple(sorted(skills.items())),
            policy.strategy,
            channel if channel in self.limited else "",
            "" if language in skills else language,
            is_closed,
        )

    def _skills_of(self, team_id: TeamId | None) -> frozenset[str]:
        """What somebody in the team can do; with no team, somebody in the account. A language that only another
        team speaks must not be asked of this one: nobody would ever be right."""
        found = self._skills.get(team_id)
        if found is None:
            agents = self.account.agents
            team = self.account.teams.get(team_id) if team_id is not None else None
            members = agents.keys() if team is None else team.members.keys() & agents.keys()
            found = frozenset(skill for agent_id in members for skill in agents[agent_id].skills)
            self._skills[team_id] = found
        return found

    def needs(self, track: Track, teams: Teams) -> Iterator[Need]:
        """Every skill that is asked for, and by what; the same one perhaps twice, then the higher level counts."""
        conversation = track.conversation
        policy, _ = self.account.policy_of(conversation.inbox_id)
        inbox = self.account.inboxes.get(conversation.inbox_id)
        for skill, level in inbox.skills.items() if inbox is not None else ():
            yield Need(skill=skill, level=level, by="inbox")
        for number, rule in enumerate(policy.skill_rules):
            if _fits(rule, track):
                by: Literal["rule", "condition"] = "condition" if rule.condition else "rule"
                yield Need(skill=rule.skill, level=rule.level, by=by, rule=number)
        spoken = LANGUAGE_SKILL + conversation.language
        is_asked = bool(conversation.language) and policy.language_skills
        if is_asked and any(spoken in self._skills_of(team_id) for team_id in teams):
            yield Need(skill=spoken, level=1, by="language")


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """Whose conversations may ask for something else since documents were saved. `is_all`: everybody's."""

    is_all: bool = False
    inboxes: Collection[InboxId] = frozenset()
    teams: Collection[TeamId] = frozenset()
    languages: Collection[str] = frozenset()
    channels: Collection[str] = frozenset()

    def joined(self, other: Turn) -> Turn:
        """Theirs and those of another."""
        return Turn(
            is_all=self.is_all or other.is_all,
            inboxes={*self.inboxes, *other.inboxes},
            teams={*self.teams, *other.teams},
            languages={*self.languages, *other.languages},
            channels={*self.channels, *other.channels},
        )

    def concerns_class(self, name: DemandClass) -> bool:
        """Whether the conversations of a class are such."""
        teams, _, inbox_id, language, channel, _, _ = name
        return (
            inbox_id in self.inboxes
            or language in self.languages
            or channel in self.channels
            or any(team_id in self.teams for team_id in teams)
        )

    def concerns(self, track: Track) -> bool:
        """Whether this one is, or may miss a team that came or went."""
        conversation = track.conversation
        return (
            self.is_all
            or conversation.inbox_id in self.inboxes
            or conversation.language in self.languages
            or conversation.channel in self.channels
            or conversation.team_id in self.teams
            or track.wanted_team_id in self.teams
            or any(team_id in self.teams for team_id in track.fallen_to)
        )


def _spoken(skills: frozenset[str]) -> set[str]:
    return {
        skill.removeprefix(LANGUAGE_SKILL) for skill in skills if skill.startswith(LANGUAGE_SKILL)
    }


def _fits(rule: SkillRule, track: Track) -> bool:
    conversation = track.conversation
    return (
        rule.language in ("", conversation.language)
        and rule.channel in ("", conversation.channel)
        and (not rule.label or rule.label in conversation.labels)
        and (not rule.condition or rule.condition in track.met)
    )
