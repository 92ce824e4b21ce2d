"""A whole routing document against the account as it is: what would change, what is wrong, and what is hardly meant.
Pure, so that the gateway that saves it and `nightdesk whatif` that tries it see the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from shared.directory import Account, unsigned
from shared.errors import Rejected
from shared.events import (
    AgentSaved,
    InboxSaved,
    PolicyRemoved,
    PolicySaved,
    RoutingPart,
    TeamRemoved,
    TeamSaved,
)
from shared.ids import AgentId, InboxId, PolicyId, TeamId, canonical
from shared.policy.check import Fault, faults
from shared.wire.policies import Conceal, fields_of, misfits
from shared.wire.routing import RoutingDocument, RoutingInbox, RoutingPolicy

Concealing = Callable[[PolicyId, PolicySaved | None], Conceal]
"""How conditions of a policy are kept secret, which was as given before."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What a document comes to: the parts that change, in the order in which they are folded, and the warnings."""

    parts: tuple[RoutingPart, ...]
    warnings: tuple[Fault, ...]


def draft(
    document: RoutingDocument, account: Account, concealing: Concealing, *, writer: str
) -> Draft:
    """Raises `Rejected("invalid")` with every place that can't be obeyed."""
    return _Reading(document, account, concealing, writer).drafted()


class _Reading:
    """One document being read; `found` collects what is wrong."""

    def __init__(
        self, document: RoutingDocument, account: Account, concealing: Concealing, writer: str
    ) -> None:
        self._document = document
        self._now = account
        self._concealing = concealing
        self._writer = writer
        self._found: list[Fault] = []
        self._ids: set[str] = set()
        self._policy_ids = {_canonical(each.policy_id) for each in document.policies} - {None}

    def drafted(self) -> Draft:
        after = Account(
            account_id=self._now.account_id,
            agents=self._agents(),
            teams=self._teams(),
            policies=self._policies(),
            labels=self._now.labels,
        )
        after.inboxes = self._inboxes(after)
        warnings = [*self._policies_obeyed(after), *_doubts(self._document, after)]
        if self._found:
            pointer, text = self._found[0]
            raise Rejected("invalid", text, pointer=pointer, faults=self._found)
        return Draft(parts=tuple(self._changes(after)), warnings=tuple(warnings))

    def _id(self, text: str, at: str) -> str | None:
        """The id in canonical form, unless it is none or stands in the document already."""
        try:
            found = canonical(text, what="id")
        except Rejected as err:
            self._found.append((at, err.message))
            return None
        if found in self._ids:
            self._found.append((at, "stands in the document twice"))
            return None
        self._ids.add(found)
        return found

    def _missing(self, known: Iterable[str], at: str, what: str) -> None:
        for each in sorted(set(known) - self._ids):
            self._found.append(
                (at, f"does not name {what} {each}; this document neither makes nor removes any")
            )

    def _agents(self) -> dict[AgentId, AgentSaved]:
        found = dict(self._now.agents)
        if self._document.agents is msgspec.UNSET:
            return found
        for number, body in enumerate(self._document.agents):
            at = f"/agents/{number}"
            agent_id = AgentId(self._id(body.agent_id, f"{at}/agent_id") or "")
            before = self._now.agents.get(agent_id)
            if before is not None:
                found[agent_id] = msgspec.structs.replace(
                    before,
                    capacity=body.capacity,
                    skills=body.skills,
                    channel_capacity=body.channel_capacity,
                )
            elif agent_id:
                self._found.append((f"{at}/agent_id", "there is no such agent"))
        self._missing(self._now.agents, "/agents", "agent")
        return found

    def _teams(self) -> dict[TeamId, TeamSaved]:
        found: dict[TeamId, TeamSaved] = {}
        for number, body in enumerate(self._document.teams):
            at = f"/teams/{number}"
            team_id = self._id(body.team_id, f"{at}/team_id")
            members: dict[AgentId, int] = {}
            for text, priority in body.members.items():
                agent_id = _canonical(text)
                if agent_id is None or AgentId(agent_id) not in self._now.agents:
                    self._found.append((f"{at}/members/{_step(text)}", "there is no such agent"))
                else:
                    members[AgentId(agent_id)] = priority
            if team_id is not None:
                found[TeamId(team_id)] = TeamSaved(
                    account_id=self._now.account_id,
                    writer=self._writer,
                    team_id=TeamId(team_id),
                    name=body.name,
                    members=members,
                )
        return found

    def _policies(self) -> dict[PolicyId, PolicySaved]:
        found: dict[PolicyId, PolicySaved] = {}
        for number, body in enumerate(self._document.policies):
            at = f"/policies/{number}"
            text = self._id(body.policy_id, f"{at}/policy_id")
            fields = self._fields(body, PolicyId(text or ""), at)
            if text is not None and fields is not None:
                found[PolicyId(text)] = PolicySaved(
                    account_id=self._now.account_id, writer=self._writer, **fields
                )
        return found

    def _fields(self, body: RoutingPolicy, policy_id: PolicyId, at: str) -> dict[str, Any] | None:
        if body.name is msgspec.UNSET:
            self._found.append((f"{at}/name", "a name is needed"))
            return None
        unfit = [(f"{at}{pointer}", text) for pointer, text in misfits(body)]
        self._found += unfit
        if unfit:
            return None
        conceal = self._concealing(policy_id, self._now.policies.get(policy_id))
        return fields_of(body, conceal) | {"policy_id": policy_id}

    def _inboxes(self, after: Account) -> dict[InboxId, InboxSaved]:
        found = dict(self._now.inboxes)
        for number, body in enumerate(self._document.inboxes):
            at = f"/inboxes/{number}"
            inbox_id = InboxId(self._id(body.inbox_id, f"{at}/inbox_id") or "")
            before = self._now.inboxes.get(inbox_id)
            if before is not None:
                found[inbox_id] = self._bound(body, before, after, at)
            elif inbox_id:
                self._found.append((f"{at}/inbox_id", "there is no such inbox"))
        self._missing(self._now.inboxes, "/inboxes", "inbox")
        return found

    def _bound(self, body: RoutingInbox, before: InboxSaved, after: Account, at: str) -> InboxSaved:
        team_id = _canonical(body.team_id)
        if body.team_id is not None and team_id not in after.teams:
            self._found.append((f"{at}/team_id", "there is no such team"))
        policy_id = _canonical(body.policy_id)
        if body.policy_id is not None and policy_id not in self._policy_ids:
            self._found.append((f"{at}/policy_id", "there is no such policy"))
        for skill, level in body.skills.items():
            text = lacking(after, skill, level)
            if text and before.skills.get(skill, 0) != level:
                self._found.append((f"{at}/skills/{_step(skill)}", text))
        return msgspec.structs.replace(
            before,
            team_id=TeamId(team_id) if team_id is not None else None,
            policy_id=PolicyId(policy_id) if policy_id is not None else None,
            skills=body.skills,
        )

    def _policies_obeyed(self, after: Account) -> list[Fault]:
        """Notes what the dispatcher could not obey, and gives back what it could not before either: whoever changes
        something else must not be kept from it by a skill that left with an agent."""
        known = []
        places = {_canonical(each.policy_id): n for n, each in enumerate(self._document.policies)}
        for policy_id, policy in after.policies.items():
            before = self._now.policies.get(policy_id)
            same = before is not None and unsigned(before) == unsigned(policy)
            old = set(faults(policy, self._now)) if same else set()
            for pointer, text in faults(policy, after):
                place = (f"/policies/{places[policy_id]}{pointer}", text)
                if (pointer, text) in old:
                    known.append(place)
                else:
                    self._found.append(place)
        return known

    def _changes(self, after: Account) -> Iterator[RoutingPart]:
        """Who is named stands before who names them, and what goes comes last."""
        now = self._now
        for kind in ("agents", "teams", "policies", "inboxes"):
            before = getattr(now, kind)
            for document_id, document in getattr(after, kind).items():
                known = before.get(document_id)
                if known is None or unsigned(known) != unsigned(document):
                    yield msgspec.structs.replace(document, writer=self._writer, by="")
        account_id, writer = now.account_id, self._writer
        for policy_id in sorted(now.policies.keys() - after.policies.keys()):
            yield PolicyRemoved(account_id=account_id, writer=writer, policy_id=policy_id)
        for team_id in sorted(now.teams.keys() - after.teams.keys()):
            yield TeamRemoved(account_id=account_id, writer=writer, team_id=team_id)


def lacking(account: Account, skill: str, level: int) -> str:
    """Why nobody can do what is asked for; "" when somebody can."""
    best = max((agent.skills.get(skill, 0) for agent in account.agents.values()), default=0)
    if best >= level:
        return ""
    return "no agent has the skill at this level" if best else "no agent has this skill"


def _doubts(document: RoutingDocument, after: Account) -> Iterator[Fault]:
    """What can be obeyed, and is hardly meant."""
    empty = {team_id for team_id, team in after.teams.items() if not _has_room(team, after)}
    asked = {inbox.team_id for inbox in after.inboxes.values()}
    for policy in after.policies.values():
        asked |= {step.team_id for step in policy.fallback_teams}
    ruling = {inbox.policy_id for inbox in after.inboxes.values()}
    agents = document.agents if document.agents is not msgspec.UNSET else []
    for number, agent in enumerate(agents):
        if agent.capacity == 0:
            yield f"/agents/{number}/capacity", "is handed nothing, and may still claim"
    for number, team in enumerate(document.teams):
        if not team.members:
            yield f"/teams/{number}/members", "nobody is in this team"
        elif _canonical(team.team_id) in empty:
            yield f"/teams/{number}/members", "nobody in this team has any capacity"
        if _canonical(team.team_id) not in asked:
            yield f"/teams/{number}", "no inbox and no policy asks this team"
    for number, inbox in enumerate(document.inboxes):
        if _canonical(inbox.team_id) in empty:
            yield f"/inboxes/{number}/team_id", "nobody in this team can be given anything"
        for skill, level in inbox.skills.items():
            if text := lacking(after, skill, level):
                yield f"/inboxes/{number}/skills/{_step(skill)}", text
    for number, body in enumerate(document.policies):
        if _canonical(body.policy_id) not in ruling:
            yield f"/policies/{number}", "rules no inbox"


def _has_room(team: TeamSaved, account: Account) -> bool:
    agents = (account.agents.get(agent_id) for agent_id in team.members)
    return any(agent is not None and agent.capacity for agent in agents)


def _canonical(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return canonical(text, what="id")
    except Rejected:
        return None


def _step(key: str) -> str:
    """A key as a step of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")
