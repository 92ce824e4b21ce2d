"""What a dispatcher says when it is asked why: facts and codes, no words and no names. MessagePack over core NATS;
the gateway makes sentences of it. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.conversation import Status
from shared.events.routing import RoutingEvent
from shared.ids import AccountId, AgentId, ConversationId, PolicyId, Position, TeamId
from shared.policy.document import Strategy

NextKind = Literal[
    "wish",
    "lease",
    "agent_offline",
    "wake",
    "first_response",
    "next_response",
    "reassign",
    "escalate",
    "resolution",
    "escalate_resolution",
    "fallback",
    "pardon",
    "previous_agent",
    "rise",
    "pace",
    "opens",
    "closes",
]


class _Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Settings of every struct here."""


class AskWhy(_Struct, frozen=True, kw_only=True):
    """`nd.cmd.<shard>.dispatcher.explain` → `Standing`: how a conversation stands at the log's end."""

    account_id: AccountId
    conversation_id: ConversationId


class AskThen(_Struct, frozen=True, kw_only=True):
    """`nd.cmd.<shard>.dispatcher.recall` → `Recalled`: the decision at a position, made again from the log."""

    account_id: AccountId
    conversation_id: ConversationId
    decision: Position


class Need(_Struct, frozen=True, kw_only=True):
    """A skill that is asked for, and by what: the inbox, a rule of the policy (its number, from 0), one with
    a condition on page or contact, the language."""

    skill: str
    level: int
    by: Literal["inbox", "rule", "condition", "language"]
    rule: int = 0


class Verdict(_Struct, frozen=True, kw_only=True):
    """One agent. `rule`: the first that excludes them (see `shared.events.Explanation`), "" for a candidate, whose
    score has `parts`, lower first. `lacking`: skill, level wanted, level they have. `held` of `capacity`;
    `unacknowledged` assignments of the `window` that their pace allows."""

    agent_id: AgentId
    rule: str = ""
    parts: tuple[tuple[str, float], ...] = ()
    lacking: tuple[tuple[str, int, int], ...] = ()
    held: int = 0
    capacity: int = 0
    unacknowledged: int = 0
    window: int = 0


class Next(_Struct, frozen=True, kw_only=True):
    """Something that may happen next if nothing else does. `at_ns`: the log's time, 0 at once."""

    what: NextKind
    at_ns: int = 0
    agent_id: AgentId | None = None
    team_id: TeamId | None = None


class Standing(_Struct, frozen=True, kw_only=True):
    """How a conversation stands at `position`. `state` is None for one that is not known (yet). `verdicts`: every
    agent of the account, the best candidate first; only for what waits. `kept_for`: the previous agent whom it is
    kept for. `nexts`: in the order of their times."""

    position: Position = 0
    now_ns: int = 0
    state: Status | None = None
    is_waiting: bool = False
    team_id: TeamId | None = None
    policy_id: PolicyId | None = None
    policy_version: Position = 0
    strategy: Strategy = "balanced"
    place: int = 0
    kept_for: AgentId | None = None
    needs: tuple[Need, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    nexts: tuple[Next, ...] = ()


class Recalled(_Struct, frozen=True, kw_only=True):
    """A decision made again. "exact": winner, runners-up and counts came out as recorded. "differs": they did not (it
    was made under other settings or by another release), so `verdicts` is left out. "no_choice": nobody was compared.
    "too_much": more events lie before it than can be folded in time. "not_found": there is no decision there."""

    outcome: Literal["exact", "differs", "no_choice", "too_much", "not_found", "unavailable"]
    folded: int = 0
    event: RoutingEvent | None = None
    kept_for: AgentId | None = None
    needs: tuple[Need, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
