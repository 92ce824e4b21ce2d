"""What happened, in words and numbers: the steps of a message and the decisions about a conversation, folded from
the conversation's own events. Pure but for `read_history`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from services.gateway.parts import Parts
from services.gateway.rest.names import Names
from services.gateway.rest.reasons import WHY, counted
from services.gateway.tokens import Principal
from services.gateway.views import at
from shared.codec import decode_event
from shared.errors import Malformed
from shared.events import (
    AssignmentRefused,
    AssignmentRequested,
    ClaimRequested,
    ConditionsJudged,
    ConversationAssigned,
    ConversationQueued,
    DeadlineMissed,
    Escalated,
    Event,
    Explanation,
    MessageEdited,
    MessagePosted,
    MessageRetracted,
    Read,
    Scored,
    StatusChanged,
)
from shared.ids import ConversationId, Position
from shared.queries import ConversationRow, GetHistory, MessageRow, ReceivedRow
from shared.wire.stories import Step

_MOST_PAGES = 40


_REFUSED = {
    "already_assigned": "somebody has it already",
    "unknown_agent": "there is no such agent",
    "unknown_team": "there is no such team",
    "not_allowed": "it is not allowed",
    "not_waiting": "it is resolved",
}


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the conversation, with its place and time."""

    position: Position
    at_ns: int
    event: Event


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may acknowledge a message, from a position on."""

    recipient_id: str
    since: Position


async def read_history(
    parts: Parts, who: Principal, conversation_id: ConversationId, at_least: Position
) -> list[Fact]:
    """Every readable event of a conversation, oldest first (at most some 20,000)."""
    facts: list[Fact] = []
    after = 0
    for _ in range(_MOST_PAGES):
        page = await parts.asking.history(
            GetHistory(
                account_id=who.account_id,
                conversation_id=conversation_id,
                after=after,
                at_least=at_least,
            )
        )
        for row in page.rows:
            after = row.position
            try:
                event = decode_event(row.payload)
            except Malformed:
                continue
            facts.append(Fact(position=row.position, at_ns=row.at_ns, event=event))
        if not page.more:
            break
    return facts


def message_steps(history: Sequence[Fact], row: MessageRow, names: Names) -> list[Step]:
    """Accepted, who held it, received, read, edited, retracted, answered, each with its reason."""
    return [s for fact in history if (s := _message_step(fact, row, names)) is not None]


def receipts_of(
    history: Sequence[Fact], row: MessageRow, conversation: ConversationRow
) -> list[Hold]:
    """Who may have received the message, and the position from which on: an agent was given it by an assignment, and
    whatever they acknowledged before says nothing about it."""
    if row.author.kind != "visitor":
        return [Hold(recipient_id=conversation.contact_id, since=row.position)]
    holds = []
    owner: str | None = None
    for fact in history:
        if isinstance(fact.event, ConversationAssigned):
            owner = fact.event.agent_id
            if fact.position > row.position:
                holds.append(Hold(recipient_id=owner, since=fact.position))
        elif isinstance(fact.event, ConversationQueued):
            owner = None
        elif fact.position == row.position and owner is not None:
            holds.append(Hold(recipient_id=owner, since=row.position))
    return holds


def received_step(found: ReceivedRow, names: Names, *, is_agent: bool) -> Step:
    """A device of the recipient has it."""
    who = names.agent(found.recipient_id) if is_agent else "the visitor"
    return Step(
        position=found.position,
        at=at(found.at_ns),
        what="received",
        text=f"A device of {who} has it.",
        by=found.recipient_id,
        detail={"device_id": found.device_id, "up_to": found.up_to},
    )


def _message_step(fact: Fact, row: MessageRow, names: Names) -> Step | None:
    match fact.event:
        case MessagePosted(message_id=row.message_id) as e:
            is_first = fact.position == row.position
            what = "accepted" if is_first else "repeated"
            text = 'It is on disk in the log: the sender sees "sent".'
            if not is_first:
                text = "It was sent again under the same id and dropped as a repeat."
            return _step(fact, what, text, by=e.author.id, detail={"seen_up_to": e.seen_up_to})
        case MessageEdited(message_id=row.message_id) as e:
            text = f"Its text was changed (revision {e.revision})."
            return _step(fact, "edited", text, by=e.author.id, detail={"revision": e.revision})
        case MessageRetracted(message_id=row.message_id) as e:
            return _step(fact, "retracted", "It was taken back.", by=e.author.id)
        case _ if fact.position < row.position:
            return None
        case Read(up_to=up_to) as e if up_to >= row.position and e.recipient != row.author:
            who = names.agent(e.recipient.id) if e.recipient.kind == "agent" else "The visitor"
            detail = {"up_to": up_to}
            return _step(fact, "read", f"{who} has seen it.", by=e.recipient.id, detail=detail)
        case MessagePosted() as e if _answers(e, row):
            text = f"{names.agent(e.author.id)} answered, having seen it."
            answer = {"message_id": e.message_id}
            return _step(fact, "answered", text, by=e.author.id, detail=answer)
        case MessagePosted():
            return None
        case _ if row.author.kind == "visitor":
            return _decision(fact, names)
        case _:
            return None


def _answers(event: MessagePosted, row: MessageRow) -> bool:
    return (
        row.author.kind == "visitor"
        and event.author.kind == "agent"
        and not event.automatic
        and event.seen_up_to >= row.position
    )


# ---------------------------------------------------------------- decisions


def decisions(history: Sequence[Fact], names: Names) -> list[Step]:
    """Every wish and every decision about who answers, with its reasons."""
    return [_named(s, names) for fact in history if (s := _decision(fact, names)) is not None]


def _named(step: Step, names: Names) -> Step:
    """With the name of the agent who did it, if one did."""
    return msgspec.structs.replace(step, by_name=names.agents.get(step.by or ""))


def _decision(fact: Fact, names: Names) -> Step | None:
    match fact.event:
        case ConversationAssigned() as e:
            text = f"Given to {names.agent(e.agent_id)}: {WHY[e.why.trigger]}.{_others(e.why)}"
            return _step(fact, "assigned", text, by=e.agent_id, detail=explained(e.why, names))
        case ConversationQueued() as e:
            text = f"Waits in the queue of {names.team(e.team_id)}: {WHY[e.why.trigger]}.{_others(e.why)}"
            detail = explained(e.why, names) | {"waiting_since": e.waiting_since}
            return _step(fact, "queued", text, detail=detail)
        case AssignmentRequested() as e:
            wanted = names.agent(e.agent_id) if e.agent_id else names.team(e.team_id)
            text = f"{names.agent(e.by.id)} asked for {wanted}."
            return _step(fact, "assignment_requested", text, by=e.by.id)
        case ClaimRequested() as e:
            text = f"{names.agent(e.agent_id)} claimed it."
            return _step(fact, "claim_requested", text, by=e.agent_id)
        case AssignmentRefused() as e:
            detail = {"request": e.request, "code": e.code}
            return _step(
                fact, "refused", f"The wish was refused: {_REFUSED[e.code]}.", detail=detail
            )
        case StatusChanged() as e:
            until = f" until {names.when(e.until_ns)}" if e.until_ns else ""
            text = f"{names.agent(e.by.id)} set it to {e.status}{until}."
            return _step(fact, "status_changed", text, by=e.by.id, detail={"status": e.status})
        case ConditionsJudged() as e:
            text = f"What the rules ask of page and visitor was judged anew: {len(e.met)} are met."
            return _step(fact, "judged", text, detail={"policy_version": e.judged})
        case DeadlineMissed() as e:
            told = f" {names.agent(e.agent_id)} was reminded." if e.agent_id else ""
            text = f"The {e.deadline.replace('_', ' ')} is overdue.{told}"
            detail = {"deadline": e.deadline, "waiting_since": e.waiting_since}
            return _step(fact, "deadline_missed", text, by=e.agent_id, detail=detail)
        case Escalated() as e:
            text = f"The supervisors were told: the {e.deadline} is long overdue."
            return _step(fact, "escalated", text, detail={"waiting_since": e.waiting_since})
        case _:
            return None


def _others(why: Explanation) -> str:
    """What became of the other agents."""
    text = counted(why)
    return f" Of the others: {text}." if text and why.winner else f" ({text})" if text else ""


def explained(why: Explanation, names: Names) -> dict[str, Any]:
    """What was recorded with a decision."""
    return {
        "why": WHY[why.trigger],
        "trigger": why.trigger,
        "policy_version": why.policy_version,
        "state_position": why.state_position,
        "winner": _scored(why.winner, names) if why.winner else None,
        "runners_up": [_scored(each, names) for each in why.runners_up],
        "excluded": dict(why.excluded),
        "requested_by": why.requested_by or None,
        "queue_place": why.queue_place,
    }


def _scored(scored: Scored, names: Names) -> dict[str, Any]:
    return {
        "agent_id": scored.agent_id,
        "name": names.agent(scored.agent_id),
        "parts": dict(scored.parts),
    }


def _step(
    fact: Fact, what: str, text: str, *, by: str | None = None, detail: dict[str, Any] | None = None
) -> Step:
    return Step(
        position=fact.position,
        at=at(fact.at_ns),
        what=what,
        text=text,
        by=by,
        detail=detail or {},
    )
