"""An account's documents as the simulator's judge reads them: who may take what, looked up slowly and kept until
somebody saves something."""

from __future__ import annotations

from typing import NamedTuple

from shared import events as e
from shared.ids import AccountId, AgentId, InboxId, TeamId
from simulate.calendar import is_open

_LATER_TEAM = 10_000
Able = dict[AgentId, tuple[int, int]]
"""Who may take it, with the sum of their levels in what is asked and their rank: members of the first team before
those of the teams asked later, and by the team's own priority."""


class Kind(NamedTuple):
    """All that decides who may take a conversation. `asked`: fallback teams that were asked for this wait. `last`: its
    team, if its inbox is gone."""

    wanted: TeamId | None
    asked: tuple[TeamId, ...]
    last: TeamId | None
    inbox_id: InboxId
    language: str
    channel: str
    labels: frozenset[str]
    met: frozenset[str]


class Books:
    """One account's documents."""

    def __init__(self, account_id: AccountId) -> None:
        self.account_id = account_id
        self.agents: dict[AgentId, e.AgentSaved] = {}
        self.teams: dict[TeamId, e.TeamSaved] = {}
        self.inboxes: dict[InboxId, e.InboxSaved] = {}
        self.policies: dict[str, e.PolicySaved] = {}
        self._able: dict[tuple[Kind, bool], Able] = {}
        self._policies: dict[InboxId, e.PolicySaved] = {}

    def configure(self, event: e.AccountEvent) -> bool:
        """Take in what was saved; whether it changes anything for routing."""
        taken = [self._take(part) for part in e.parts_of(event)]
        return any(taken)

    def _take(self, event: e.AccountPart) -> bool:
        match event:
            case e.AgentSaved():
                self.agents[event.agent_id] = event
            case e.AgentRemoved():
                self.agents.pop(event.agent_id, None)
            case e.TeamSaved():
                self.teams[event.team_id] = event
            case e.TeamRemoved():
                self.teams.pop(event.team_id, None)
            case e.InboxSaved():
                self.inboxes[event.inbox_id] = event
            case e.InboxRemoved():
                self.inboxes.pop(event.inbox_id, None)
            case e.PolicySaved():
                self.policies[event.policy_id] = event
            case e.PolicyRemoved():
                self.policies.pop(event.policy_id, None)
            case _:
                return False
        self._able.clear()
        self._policies.clear()
        return True

    def policy(self, inbox_id: InboxId) -> e.PolicySaved:
        """The policy that rules an inbox."""
        found = self._policies.get(inbox_id)
        if found is None:
            inbox = self.inboxes.get(inbox_id)
            saved = self.policies.get(inbox.policy_id or "") if inbox else None
            found = self._policies[inbox_id] = saved or self._defaults()
        return found

    def teams_of(self, kind: Kind) -> list[TeamId | None]:
        """The teams that are asked: the one wished for, else the inbox's, else (of a lost inbox) the last one, None for
        anybody; then the fallback teams that were asked as well."""
        inbox = self.inboxes.get(kind.inbox_id)
        own = inbox.team_id if inbox is not None else kind.last
        first = kind.wanted if kind.wanted in self.teams else own
        found: list[TeamId | None] = [first if first in self.teams else None]
        return found + [each for each in kind.asked if each in self.teams and each != found[0]]

    def is_closed(self, kind: Kind, now_ns: int) -> bool:
        """Whether the first of these teams is not to be asked now."""
        policy = self.policy(kind.inbox_id)
        if policy.outside_hours != "wait" or policy.hours is None or kind.wanted in self.teams:
            return False
        return not is_open(policy.hours, now_ns)

    def able(self, kind: Kind, *, is_closed: bool) -> Able:
        """Agents who may take this kind of conversation, busy or not."""
        found = self._able.get((kind, is_closed))
        if found is None:
            doors = self._doors(kind, is_closed=is_closed)
            found = self._able[kind, is_closed] = {
                name: score for name, score in doors.items() if not isinstance(score, str)
            }
        return found

    def excluded(self, kind: Kind, *, is_closed: bool) -> list[str]:
        """The rules by which the others fall."""
        doors = self._doors(kind, is_closed=is_closed)
        return [rule for rule in doors.values() if isinstance(rule, str)]

    def _doors(self, kind: Kind, *, is_closed: bool) -> dict[AgentId, tuple[int, int] | str]:
        """Each agent through the first team that lets them in; else why the first of theirs does not."""
        found: dict[AgentId, tuple[int, int] | str] = dict.fromkeys(self.agents, "not_in_team")
        for order, team_id in enumerate(self.teams_of(kind)):
            members = self.agents if team_id is None else self.teams[team_id].members
            needs = self.needs(kind, team_id)
            for name in self.agents.keys() & members.keys():
                skills = self.agents[name].skills
                is_skilled = all(skills.get(skill, 0) >= n for skill, n in needs.items())
                if not isinstance(found[name], str):
                    continue
                if is_skilled and not (is_closed and order == 0):
                    rank = 0 if team_id is None else self.teams[team_id].members[name]
                    level = sum(skills.get(skill, 0) for skill in needs)
                    found[name] = (level, order * _LATER_TEAM + rank)
                elif found[name] == "not_in_team":
                    found[name] = "outside_hours" if is_skilled else "missing_skill"
        return found

    def needs(self, kind: Kind, team_id: TeamId | None) -> dict[str, int]:
        """Skills with their levels: of the inbox, of each rule that fits, and the language if the team has it."""
        inbox, policy = self.inboxes.get(kind.inbox_id), self.policy(kind.inbox_id)
        needs = dict(inbox.skills) if inbox is not None else {}
        for rule in policy.skill_rules:
            wrong = [
                rule.language and rule.language != kind.language,
                rule.channel and rule.channel != kind.channel,
                rule.label and rule.label not in kind.labels,
                rule.condition and rule.condition not in kind.met,
            ]
            if not any(wrong):
                needs[rule.skill] = max(rule.level, needs.get(rule.skill, 0))
        name = f"lang:{kind.language}"
        members = self.agents if team_id is None else self.teams[team_id].members
        speakers = [each for each, agent in self.agents.items() if name in agent.skills]
        is_spoken = any(each in members for each in speakers)
        if kind.language and is_spoken and policy.language_skills:
            needs.setdefault(name, 1)
        return needs

    def _defaults(self) -> e.PolicySaved:
        return e.PolicySaved(
            account_id=self.account_id,
            writer="",
            policy_id="default",  # type: ignore[arg-type]
            name="",
        )
