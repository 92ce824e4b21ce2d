"""The routing document of an account, as it is read and as it is sent back: all that decides who is asked, in one piece.
What each part means stands with the requests that change it alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from shared.directory import Account
from shared.events import PolicySaved
from shared.ids import Position
from shared.policy.conditions import Condition
from shared.policy.document import SkillRule
from shared.wire.bodies import Channels, Name, Skills
from shared.wire.policies import FallbackTeamBody, HoursBody, SavePolicy, SkillRuleBody

Reveal = Callable[[PolicySaved, SkillRule], Condition | None]
"""What a rule asks beyond what is in clear; None where no key opens it."""
Members = Annotated[
    dict[str, Annotated[int, msgspec.Meta(ge=0, le=1_000)]], msgspec.Meta(max_length=5_000)
]


class _In(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of requests."""


class _Out(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of answers."""


class RoutingAgent(_In, frozen=True, kw_only=True):
    """What an agent can and takes. `name` is for the reader and not saved."""

    agent_id: str
    name: str | None = None
    capacity: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 5
    skills: Skills = {}
    channel_capacity: Channels = {}


class RoutingTeam(_In, frozen=True, kw_only=True):
    """A team; `members` maps agent ids to their priority, lower is asked first."""

    team_id: str
    name: Name
    members: Members = {}


class RoutingPolicy(SavePolicy, frozen=True, kw_only=True):
    """A policy as `POST /policies` takes it, with its id; fields left out have their defaults."""

    policy_id: str


class RoutingInbox(_In, frozen=True, kw_only=True):
    """Where an inbox hands its conversations, what it asks for, and the policy that rules it (null: the defaults).
    `name` is for the reader and not saved."""

    inbox_id: str
    name: str | None = None
    team_id: str | None = None
    skills: Skills = {}
    policy_id: str | None = None


class RoutingDocument(_In, frozen=True, kw_only=True):
    """GET, PUT /routing. `version`: the one that it was read at; sent back, it must still be the newest. `teams` and
    `policies` are all there are: those that are not named are removed. `inboxes`, and `agents` unless the part is left
    out whole, name each there is: a document neither makes nor removes any."""

    version: Position | msgspec.UnsetType = msgspec.UNSET
    agents: Annotated[list[RoutingAgent], msgspec.Meta(max_length=10_000)] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    teams: Annotated[list[RoutingTeam], msgspec.Meta(max_length=1_000)]
    policies: Annotated[list[RoutingPolicy], msgspec.Meta(max_length=1_000)]
    inboxes: Annotated[list[RoutingInbox], msgspec.Meta(max_length=10_000)]


class RoutingPlace(_Out, frozen=True, kw_only=True):
    """A place in the document and what is to be said of it."""

    pointer: str
    detail: str


class RoutingChange(_Out, frozen=True, kw_only=True):
    """A part that changed: `what` is the event's name, such as team_saved; `id` the team's, policy's, inbox's or
    agent's, and `name` what it is called, null where nobody can tell any more."""

    what: str
    id: str
    name: str | None


class RoutingResult(_Out, frozen=True, kw_only=True):
    """What a document did, or would do. `version`: the newest after that. `warnings`: what can be obeyed and is hardly
    meant, and what was wrong before and did not change."""

    version: Position
    is_dry_run: bool
    changes: list[RoutingChange]
    warnings: list[RoutingPlace]


class RoutingVersion(_Out, frozen=True, kw_only=True):
    """One version: when it came, who wanted it (null: an operator, or before that was kept) and what it changed."""

    version: Position
    at: str
    by: str | None
    by_name: str | None
    changes: list[RoutingChange]


class RoutingVersions(_Out, frozen=True, kw_only=True):
    """Versions, newest first. `more`: older ones are kept; ask with `before=` the last version shown."""

    data: list[RoutingVersion]
    more: bool


def document_of(
    account: Account, reveal: Reveal, *, names: dict[str, str | None] | None = None
) -> RoutingDocument:
    """The account's document. Each list is in the order of its ids, so that two versions can be compared."""
    known = names or {}
    return RoutingDocument(
        version=account.routing,
        agents=[
            RoutingAgent(
                agent_id=agent_id,
                name=known.get(agent_id),
                capacity=agent.capacity,
                skills=dict(sorted(agent.skills.items())),
                channel_capacity=dict(sorted(agent.channel_capacity.items())),
            )
            for agent_id, agent in sorted(account.agents.items())
        ],
        teams=[
            RoutingTeam(
                team_id=team_id,
                name=team.name,
                members={str(agent_id): n for agent_id, n in sorted(team.members.items())},
            )
            for team_id, team in sorted(account.teams.items())
        ],
        policies=[_policy(policy, reveal) for _, policy in sorted(account.policies.items())],
        inboxes=[
            RoutingInbox(
                inbox_id=inbox_id,
                name=inbox.name,
                team_id=inbox.team_id,
                skills=dict(sorted(inbox.skills.items())),
                policy_id=inbox.policy_id,
            )
            for inbox_id, inbox in sorted(account.inboxes.items())
        ],
    )


def _policy(policy: PolicySaved, reveal: Reveal) -> RoutingPolicy:
    plain = {
        name: getattr(policy, name)
        for name in RoutingPolicy.__struct_fields__
        if name not in ("skill_rules", "fallback_teams", "hours")
    }
    steps = msgspec.to_builtins(policy.fallback_teams)
    hours = None
    if policy.hours is not None:
        hours = msgspec.convert(msgspec.to_builtins(policy.hours), HoursBody)
    return RoutingPolicy(
        **plain,
        skill_rules=[_rule(rule, reveal(policy, rule)) for rule in policy.skill_rules],
        fallback_teams=msgspec.convert(steps, list[FallbackTeamBody]),
        hours=hours,
    )


def _rule(rule: SkillRule, asked: Condition | None) -> SkillRuleBody:
    # Null where no key opens it: such a document can be read and is refused when it is sent back.
    secret: dict[str, Any] = {
        name: getattr(asked, name, None) for name in ("page", "attribute", "equals")
    }
    return SkillRuleBody(
        skill=rule.skill,
        level=rule.level,
        language=rule.language,
        channel=rule.channel,
        label=rule.label,
        **secret,
    )
