"""Who answers, and why. Fenced, written by the dispatcher. Each decision carries its explanation: what it looked
at (policy version, state position), the winner's score in parts, the next three, and how many each rule excluded."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.ids import AccountId, AgentId, ConversationId, Position, TeamId

Trigger = Literal[
    "queue",
    "claimed",
    "requested",
    "answered",
    "lease_lapsed",
    "agent_offline",
    "agent_removed",
    "reopened",
    "waiting",
    "deadline",
    "fallback",
    "team_removed",
]


class Scored(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A candidate and the parts of their score; parts are compared in the order of `parts`, lower first."""

    agent_id: AgentId
    parts: tuple[tuple[str, float], ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Why. `excluded` maps a rule (not_in_team, missing_skill, outside_hours, not_available, offline, at_capacity, pace:
    too many unacknowledged assignments, silent: a lease lapsed and no sign of life since, channel_full, manual, kept_for_previous, lease_failed, gave_back) to the number of agents that fell to it first.
    `now_ns`: the log's time that was judged by, 0 in events of earlier releases."""

    trigger: Trigger
    policy_version: Position
    state_position: Position
    winner: Scored | None = None
    runners_up: tuple[Scored, ...] = ()
    excluded: dict[str, int] = {}
    requested_by: str = ""
    queue_place: int = 0
    now_ns: int = 0


class ConversationAssigned(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag_field="type",
    tag="conversation_assigned",
):
    """The conversation has an owner. A lease: a device of the agent must acknowledge this position in time."""

    account_id: AccountId
    writer: str
    conversation_id: ConversationId
    agent_id: AgentId
    team_id: TeamId | None
    why: Explanation
    lease_s: int = 0


class ConversationQueued(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag_field="type",
    tag="conversation_queued",
):
    """The conversation waits in a team's queue, in its old place (`waiting_since` is a position)."""

    account_id: AccountId
    writer: str
    conversation_id: ConversationId
    team_id: TeamId | None
    waiting_since: Position
    why: Explanation


class AssignmentRefused(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag_field="type",
    tag="assignment_refused",
):
    """A claim or request (the event at `request`) was not granted; nothing else changed."""

    account_id: AccountId
    writer: str
    conversation_id: ConversationId
    request: Position
    code: Literal["already_assigned", "unknown_agent", "unknown_team", "not_allowed", "not_waiting"]


class DeadlineMissed(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag_field="type",
    tag="deadline_missed",
):
    """An answer, or the end of a case, is overdue. `waiting_since` names the wait (for "resolution" the position from
    which the case was open), so each deadline is acted on once."""

    account_id: AccountId
    writer: str
    conversation_id: ConversationId
    deadline: Literal["first_response", "next_response", "resolution"]
    waiting_since: Position
    agent_id: AgentId | None = None


class Escalated(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="escalated"
):
    """The supervisors should look: what is named by `waiting_since` (see `DeadlineMissed`) outlived its deadline."""

    account_id: AccountId
    writer: str
    conversation_id: ConversationId
    waiting_since: Position
    deadline: Literal["response", "resolution"] = "response"


RoutingEvent = (
    ConversationAssigned | ConversationQueued | AssignmentRefused | DeadlineMissed | Escalated
)
