"""Answers that tell a story: the steps of a message, and why a conversation is where it is. Codes for programs, a plain
sentence beside each for people."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from shared.conversation import Status


class _Out(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of answers."""


class Step(_Out, frozen=True, kw_only=True):
    """One step in the life of a message or conversation: when (null: only its position is known), at which position,
    what (a code), by whom (`by_name`: an agent's), and a sentence with the reason."""

    position: int
    at: str | None
    what: str
    text: str = ""
    by: str | None = None
    by_name: str | None = None
    detail: dict[str, Any] = {}


class Timeline(_Out, frozen=True, kw_only=True):
    """GET /messages/{id}/timeline."""

    message_id: str
    conversation_id: str
    steps: list[Step]


class NeedView(_Out, frozen=True, kw_only=True):
    """A skill that the conversation asks for, and because of what."""

    skill: str
    level: int
    because: str


class CandidateView(_Out, frozen=True, kw_only=True):
    """One agent. `rule` is the first that excludes them, null for a candidate; `parts` of the score are compared in
    their order, lower first, and a tie goes to the lower id."""

    agent_id: str
    name: str
    rule: str | None
    text: str
    parts: dict[str, float]


class NextStep(_Out, frozen=True, kw_only=True):
    """Something that happens next if nothing else does. `at`: null at once."""

    what: str
    at: str | None
    text: str


class RulingPolicy(_Out, frozen=True, kw_only=True):
    """The policy of now; without one of its own the inbox has the defaults, at version 0. `routing_version`: of the
    account's routing document."""

    policy_id: str | None
    name: str
    version: int
    strategy: str
    routing_version: int


class Decision(_Out, frozen=True, kw_only=True):
    """One decision. `candidates` is made again from the log up to `state_position`: "exact" says that winner, runners-up
    and counts came out as recorded. Otherwise it is null, `note` says why, and the recorded facts in `detail` stand. `routing_version`:
    of the account's routing document as it was then; null for one of long ago."""

    position: int
    at: str
    what: str
    text: str
    policy_version: int
    routing_version: int | None
    state_position: int
    outcome: Literal["exact", "differs", "no_choice", "too_much", "not_found", "unavailable"]
    note: str
    needs: list[NeedView]
    candidates: list[CandidateView] | None
    detail: dict[str, Any]


class Explained(_Out, frozen=True, kw_only=True):
    """GET /conversations/{id}/explain. `summary` is the whole story in a few sentences. What only the dispatcher knows
    (`place`, `needs`, `candidates` of what waits, `next_steps`) is null while it doesn't answer, or, as `candidates`,
    where nobody is looked for. `as_of`: the position that this stands for. `decision`: the one that was asked for
    with `decision=`, else the one that made the owner; `decisions`: all of them."""

    conversation_id: str
    status: Status
    owner: str | None
    owner_name: str | None
    summary: str
    waiting_for: str
    as_of: int | None
    policy: RulingPolicy | None
    place: int | None
    needs: list[NeedView] | None
    candidates: list[CandidateView] | None
    next_steps: list[NextStep] | None
    decision: Decision | None
    decisions: list[Step]
