"""Configuration: accounts, agents, teams, inboxes, policies, labels. Fenced: a gateway appends only after it has
folded the family to its end. Each `…Saved` event is the whole document, so a fold is a replacement and the
document's version is the position of its last event. `by`: the agent who wanted it, "" for an operator."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.ids import AccountId, AgentId, InboxId, PolicyId, TeamId
from shared.policy.document import (
    DeadlineClock,
    FallbackTeam,
    Hours,
    OutsideHours,
    SkillRule,
    Strategy,
)

Role = Literal["agent", "supervisor", "admin"]


class AccountCreated(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="account_created",
):
    """A customer of the installation. `name` is ciphertext, part "name"."""

    account_id: AccountId
    writer: str
    name: bytes


class AgentSaved(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="agent_saved",
):
    """An agent as of now. `name` and `email` are ciphertext. `capacity`: conversations held at once.
    `skills`: name to level 1..5. `channel_capacity`: of those, at most so many of a channel."""

    account_id: AccountId
    writer: str
    agent_id: AgentId
    name: bytes
    email: bytes
    role: Role = "agent"
    capacity: int = 5
    skills: dict[str, int] = {}
    channel_capacity: dict[str, int] = {}
    by: str = ""


class AgentRemoved(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="agent_removed",
):
    """The agent is gone; what they held goes back to the queue."""

    account_id: AccountId
    writer: str
    agent_id: AgentId
    by: str = ""


class TeamSaved(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="team_saved",
):
    """A team as of now. `members` maps an agent to their priority in the team (lower is asked first)."""

    account_id: AccountId
    writer: str
    team_id: TeamId
    name: str
    members: dict[AgentId, int] = {}
    by: str = ""


class TeamRemoved(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="team_removed",
):
    """The team is gone."""

    account_id: AccountId
    writer: str
    team_id: TeamId
    by: str = ""


class InboxSaved(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="inbox_saved",
):
    """A door for visitors. `inbox_key` is public. `skills` are required of the agent (name to least level).
    `origins` is the exact list of web origins that may use it; empty means any."""

    account_id: AccountId
    writer: str
    inbox_id: InboxId
    inbox_key: str
    name: str
    channel: str = "web"
    team_id: TeamId | None = None
    skills: dict[str, int] = {}
    policy_id: PolicyId | None = None
    origins: tuple[str, ...] = ()
    by: str = ""


class InboxRemoved(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="inbox_removed",
):
    """The door is closed; its conversations stay."""

    account_id: AccountId
    writer: str
    inbox_id: InboxId
    by: str = ""


class PolicySaved(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="policy_saved",
):
    """How conversations are handed out. Times are seconds; 0 switches a deadline off.

    `language_skills`: a conversation with a language wants skill "lang:<language>" when anybody
    in its team has it.
    `ageing_s`: for each time so long that a conversation waits it rises by one priority. `strategy`: who of those who
    may take it gets it; "manual": nobody until they claim it. `previous_agent_wait_s`: how long it is kept for the
    previous agent while they are here but full. `deadline_clock`: whether deadlines count business time (`hours`).
    After a missed deadline the agent is reminded, `reassign_after_s` later it goes to somebody else, and
    `escalate_after_s` after the deadline (0: the deadline's own time again) the supervisors are told. `outside_hours`:
    whether an agent of the inbox's team who is available outside the hours gets conversations all the same ("assign")
    or they wait for the opening and for fallback teams ("wait").
    """

    account_id: AccountId
    writer: str
    policy_id: PolicyId
    name: str
    assignment_lease_s: int = 45
    offline_return_s: int = 60
    first_response_s: int = 0
    next_response_s: int = 0
    prefer_previous_agent: bool = True
    language_skills: bool = True
    skill_rules: tuple[SkillRule, ...] = ()
    ageing_s: int = 0
    strategy: Strategy = "balanced"
    fallback_teams: tuple[FallbackTeam, ...] = ()
    previous_agent_wait_s: int = 0
    hours: Hours | None = None
    deadline_clock: DeadlineClock = "clock"
    resolution_s: int = 0
    reassign_after_s: int = 0
    escalate_after_s: int = 0
    outside_hours: OutsideHours = "assign"
    by: str = ""


class PolicyRemoved(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="policy_removed",
):
    """The policy is gone; an inbox that still names it is ruled by the defaults."""

    account_id: AccountId
    writer: str
    policy_id: PolicyId
    by: str = ""


class LabelSaved(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="label_saved",
):
    """A label that conversations may carry."""

    account_id: AccountId
    writer: str
    name: str
    colour: str = ""


class LabelRemoved(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="label_removed",
):
    """The label can't be given any more; conversations that have it keep it."""

    account_id: AccountId
    writer: str
    name: str


RoutingPart = AgentSaved | TeamSaved | TeamRemoved | InboxSaved | PolicySaved | PolicyRemoved


class RoutingSaved(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="routing_saved",
):
    """The account's routing document was replaced: what changed in it, folded in this order and all at this position,
    so that nobody ever decides by a half of it."""

    account_id: AccountId
    writer: str
    parts: tuple[RoutingPart, ...]
    by: str = ""


AccountPart = (
    AccountCreated
    | AgentSaved
    | AgentRemoved
    | TeamSaved
    | TeamRemoved
    | InboxSaved
    | InboxRemoved
    | PolicySaved
    | PolicyRemoved
    | LabelSaved
    | LabelRemoved
)
AccountEvent = AccountPart | RoutingSaved


def parts_of(event: AccountEvent) -> tuple[AccountPart, ...]:
    """What the event says, one document each."""
    return event.parts if isinstance(event, RoutingSaved) else (event,)
