"""Why this owner, why not the others, what the conversation waits for and until when."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.gateway.rest import reasons
from services.gateway.rest.conversations import fetch
from services.gateway.rest.names import Names
from services.gateway.rest.route import DESK, Call, Reply, Route
from services.gateway.rest.story import Fact, decisions, explained, read_history
from services.gateway.views import at
from services.gateway.waiting import ask_then, ask_why
from shared.clock import monotonic_s
from shared.errors import Rejected, Unavailable
from shared.events import ConversationAssigned, ConversationQueued
from shared.explaining import AskThen, Recalled, Standing
from shared.ids import InboxId, Position
from shared.queries import ConversationRow
from shared.wire.stories import CandidateView, Decision, Explained, RulingPolicy


class ExplainQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`decision`: the position of the decision to look at; without it the one that made the owner."""

    decision: Position = 0


def names_of(call: Call[object, object], inbox_id: InboxId) -> Names:
    """What the account's agents and teams are called; times are told by the hours of the inbox's policy."""
    account = call.parts.directory.account(call.account_id)
    views = call.parts.views
    hours = account.policy_of(inbox_id)[0].hours
    return Names(
        zone=hours.zone if hours is not None else "UTC",
        agents={a: views.agent_name(call.account_id, a) or a for a in account.agents},
        teams={t.team_id: t.name for t in account.teams.values()},
    )


async def show(call: Call[None, ExplainQuery]) -> Reply:
    """What is known of the past is in the log; what comes next only the dispatcher knows."""
    row = await fetch(call)
    history = await read_history(
        call.parts, call.who, row.conversation_id, max(call.given.at_least, row.version)
    )
    names = names_of(call, row.inbox_id)
    told = await _told(call, row)
    return Reply(
        body=Explained(
            conversation_id=row.conversation_id,
            status=row.status,
            owner=row.agent_id,
            owner_name=names.agent(row.agent_id) if row.agent_id else None,
            summary=reasons.summary(row, told, names),
            waiting_for=reasons.waiting_for(row, told, names),
            as_of=told.position if told is not None else None,
            policy=_policy(call, row),
            place=(told.place or None) if told is not None else None,
            needs=reasons.needs(told.needs) if told is not None else None,
            candidates=_candidates(told, names),
            next_steps=reasons.next_steps(told.nexts, names) if told is not None else None,
            decision=await _decision(call, row, history, names),
            decisions=decisions(history, names),
        )
    )


async def _told(call: Call[None, ExplainQuery], row: ConversationRow) -> Standing | None:
    """How it stands, unless the dispatcher doesn't answer, or knows less than the log that the story is told from."""
    parts = call.parts
    try:
        told = await ask_why(parts.bus, parts.shared.shard, row.account_id, row.conversation_id)
    except Unavailable:
        return None
    return told if told.state is not None and told.position >= row.version else None


def _candidates(told: Standing | None, names: Names) -> list[CandidateView] | None:
    if told is None or not told.is_waiting:
        return None
    return reasons.candidates(told.verdicts, names)


def _policy(call: Call[None, ExplainQuery], row: ConversationRow) -> RulingPolicy:
    account = call.parts.directory.account(call.account_id)
    policy, version = account.policy_of(row.inbox_id)
    return RulingPolicy(
        policy_id=policy.policy_id if version else None,
        name=policy.name,
        version=version,
        strategy=policy.strategy,
        routing_version=account.routing,
    )


async def _decision(
    call: Call[None, ExplainQuery], row: ConversationRow, history: Sequence[Fact], names: Names
) -> Decision | None:
    fact = _wanted(call.query.decision, row, history)
    if fact is None:
        return None
    event = fact.event
    assert isinstance(event, ConversationAssigned | ConversationQueued)
    recalled = await _recalled(call, row, fact.position)
    winner = event.why.winner.agent_id if event.why.winner is not None else None
    (step,) = decisions([fact], names)
    is_exact = recalled.outcome == "exact"
    return Decision(
        position=fact.position,
        at=at(fact.at_ns),
        what=step.what,
        text=step.text,
        policy_version=event.why.policy_version,
        routing_version=call.parts.directory.versions.as_of(
            call.account_id, event.why.state_position
        ),
        state_position=event.why.state_position,
        outcome=recalled.outcome,
        note=reasons.note_of(recalled),
        needs=reasons.needs(recalled.needs),
        candidates=reasons.candidates(recalled.verdicts, names, winner=winner)
        if is_exact
        else None,
        detail=explained(event.why, names),
    )


def _wanted(position: Position, row: ConversationRow, history: Sequence[Fact]) -> Fact | None:
    """The decision asked for, else the newest assignment of what has an owner."""
    found = [
        fact
        for fact in history
        if isinstance(fact.event, ConversationAssigned)
        or (position and isinstance(fact.event, ConversationQueued))
    ]
    if position:
        found = [fact for fact in found if fact.position == position]
        if not found:
            raise Rejected("not_found", "there is no such decision", pointer="?decision")
        return found[0]
    return found[-1] if found and row.agent_id is not None else None


async def _recalled(
    call: Call[None, ExplainQuery], row: ConversationRow, position: Position
) -> Recalled:
    try:
        call.parts.limits.charge("recalls", call.who.id, monotonic_s())
    except Unavailable:
        # Who names a decision asks for nothing else; the rest of the story is told all the same.
        if call.query.decision:
            raise
        return Recalled(outcome="unavailable")
    question = AskThen(
        account_id=row.account_id, conversation_id=row.conversation_id, decision=position
    )
    try:
        return await ask_then(call.parts.bus, call.parts.shared.shard, question)
    except Unavailable:
        return Recalled(outcome="unavailable")


ROUTES = (
    Route(
        method="GET",
        path="/conversations/{conversation_id}/explain",
        handler=show,
        summary="Why this owner, why not the others, what it waits for and until when",
        roles=DESK,
        tag="conversations",
        query=ExplainQuery,
        gives=Explained,
    ),
)
