"""What a conversation asks of its agent, from its inbox, its policy and what is known of it in clear."""

from __future__ import annotations

from collections.abc import Iterator

from services.dispatcher.decide.due import SECOND_NS
from services.dispatcher.decide.pool import PoolKey
from shared.conversation import Conversation
from shared.directory import Account
from shared.explaining import Need
from shared.ids import InboxId, TeamId
from shared.policy.document import SkillRule

LANGUAGE_SKILL = "lang:"
DemandClass = tuple[TeamId | None, InboxId, str, str, tuple[str, ...]]
"""What decides about the pool: team, inbox, language, channel, and the labels that some rule looks at."""


class Supply:
    """What the agents of an account can do and are limited in."""

    def __init__(self, account: Account) -> None:
        agents = account.agents.values()
        self.account = account
        self._skills: dict[TeamId | None, frozenset[str]] = {}
        self.limited = frozenset(channel for agent in agents for channel in agent.channel_capacity)
        """Channels of which some agent takes fewer than they could hold."""
        self._ageing_ns: dict[InboxId, int] = {}

    def ageing_ns(self, inbox_id: InboxId) -> int:
        """How long a conversation of the inbox waits until it rises; 0 never. Asked for every change of every
        conversation, so it is kept."""
        found = self._ageing_ns.get(inbox_id)
        if found is None:
            policy, _ = self.account.policy_of(inbox_id)
            found = self._ageing_ns[inbox_id] = policy.ageing_s * SECOND_NS
        return found

    def class_of(self, conversation: Conversation, team_id: TeamId | None) -> DemandClass:
        """Conversations of one class ask for the same."""
        labels: tuple[str, ...] = ()
        if conversation.labels:
            policy, _ = self.account.policy_of(conversation.inbox_id)
            watched = {rule.label for rule in policy.skill_rules}
            labels = tuple(sorted(watched.intersection(conversation.labels)))
        return (
            team_id,
            conversation.inbox_id,
            conversation.language,
            conversation.channel,
            labels,
        )

    def key_of(self, conversation: Conversation, team_id: TeamId | None) -> PoolKey:
        """The pool of the conversation's class."""
        policy, _ = self.account.policy_of(conversation.inbox_id)
        channel = conversation.channel
        return PoolKey(
            team_id,
            tuple(sorted(self._required(conversation, team_id).items())),
            policy.strategy,
            channel if channel in self.limited else "",
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

    def needs(self, conversation: Conversation, team_id: TeamId | None) -> Iterator[Need]:
        """Every skill that is asked for, and by what; the same one perhaps twice, then the higher level counts."""
        policy, _ = self.account.policy_of(conversation.inbox_id)
        inbox = self.account.inboxes.get(conversation.inbox_id)
        for skill, level in inbox.skills.items() if inbox is not None else ():
            yield Need(skill=skill, level=level, by="inbox")
        for number, rule in enumerate(policy.skill_rules):
            if _fits(rule, conversation):
                yield Need(skill=rule.skill, level=rule.level, by="rule", rule=number)
        spoken = LANGUAGE_SKILL + conversation.language
        is_asked = bool(conversation.language) and policy.language_skills
        if is_asked and spoken in self._skills_of(team_id):
            yield Need(skill=spoken, level=1, by="language")

    def _required(self, conversation: Conversation, team_id: TeamId | None) -> dict[str, int]:
        skills: dict[str, int] = {}
        for need in self.needs(conversation, team_id):
            skills[need.skill] = max(need.level, skills.get(need.skill, 0))
        return skills


def _fits(rule: SkillRule, conversation: Conversation) -> bool:
    return (
        rule.language in ("", conversation.language)
        and rule.channel in ("", conversation.channel)
        and (not rule.label or rule.label in conversation.labels)
    )
