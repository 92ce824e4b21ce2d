"""What happened, in words and numbers: the steps of a message and the decisions about a conversation, folded from
the conversation's own events. Pure but for `read_history`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from services.gateway.parts import Parts
from services.gateway.tokens import Principal
from services.gateway.views import at
from shared.codec import decode_event
from shared.errors import Malformed
from shared.events import (
    AssignmentRefused,
    AssignmentRequested,
    ClaimRequested,
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
)
from shared.ids import ConversationId, Position
from shared.queries import ConversationRow, GetHistory, MessageRow
from shared.wire.bodies import Step

_MOST_PAGES = 40
_WHY = {
    "queue": "it was this conversation's turn",
    "claimed": "the agent claimed it",
    "requested": "somebody asked for it",
    "answered": "the agent answered it while nobody held it",
    "lease_lapsed": "no device of the agent acknowledged it in time",
    "agent_offline": "the agent was offline for too long",
    "agent_removed": "the agent was removed",
    "reopened": "it was opened again",
    "waiting": "nobody could take it",
    "deadline": "the answer was overdue",
    "fallback": "it had waited long enough to ask another team",
    "team_removed": "the team that it waited for was removed",
}


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the conversation, with its place and time."""

    position: Position
    at_ns: int
    event: Event


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What ids are called."""

    agents: dict[str, str]
    teams: dict[str, str]

    def agent(self, agent_id: str) -> str:
        """The agent's name, else the id of one that was removed."""
        return self.agents.get(agent_id, agent_id)

    def team(self, team_id: str | None) -> str:
        """The team's name."""
        return self.teams.get(team_id, team_id) if team_id else "any team"


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


def message_steps(
    history: Sequence[Fact], row: MessageRow, conversation: ConversationRow
) -> list[Step]:
    """Accepted, who held it, received, read, edited, retracted, answered."""
    steps = [s for fact in history if (s := _message_step(fact, row)) is not None]
    own = "visitor" if row.author.kind == "visitor" else "agent"
    for receipt in conversation.receipts:
        is_other = receipt.recipient.kind != own
        if is_other and receipt.received >= row.position:
            detail: dict[str, Any] = {"up_to": receipt.received}
            steps.append(
                Step(
                    position=receipt.position,
                    at=None,
                    what="received",
                    by=receipt.recipient.id,
                    detail=detail,
                )
            )
    return sorted(steps, key=lambda s: s.position)


def _message_step(fact: Fact, row: MessageRow) -> Step | None:
    match fact.event:
        case MessagePosted(message_id=row.message_id) as e:
            what = "accepted" if fact.position == row.position else "repeated"
            return _step(fact, what, by=e.author.id, detail={"seen_up_to": e.seen_up_to})
        case MessageEdited(message_id=row.message_id) as e:
            return _step(fact, "edited", by=e.author.id, detail={"revision": e.revision})
        case MessageRetracted(message_id=row.message_id) as e:
            return _step(fact, "retracted", by=e.author.id)
        case _ if fact.position < row.position:
            return None
        case ConversationAssigned() as e:
            detail = {"why": _WHY[e.why.trigger], "trigger": e.why.trigger}
            return _step(fact, "assigned", by=e.agent_id, detail=detail)
        case ConversationQueued() as e:
            detail = {"why": _WHY[e.why.trigger], "trigger": e.why.trigger}
            return _step(fact, "queued", detail=detail)
        case Read(up_to=up_to) as e if up_to >= row.position and e.recipient != row.author:
            return _step(fact, "read", by=e.recipient.id, detail={"up_to": up_to})
        case MessagePosted() as e if _answers(e, row):
            return _step(fact, "answered", by=e.author.id, detail={"message_id": e.message_id})
        case DeadlineMissed() as e:
            return _step(fact, "deadline_missed", by=e.agent_id, detail={"deadline": e.deadline})
        case Escalated():
            return _step(fact, "escalated")
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
    return [s for fact in history if (s := _decision(fact, names)) is not None]


def _decision(fact: Fact, names: Names) -> Step | None:
    match fact.event:
        case ConversationAssigned() as e:
            text = f"Assigned to {names.agent(e.agent_id)}: {_WHY[e.why.trigger]}."
            return _step(fact, text, by=e.agent_id, detail=_explained(e.why, names))
        case ConversationQueued() as e:
            text = f"Waits in the queue of {names.team(e.team_id)}: {_WHY[e.why.trigger]}."
            detail = _explained(e.why, names) | {"waiting_since": e.waiting_since}
            return _step(fact, text, detail=detail)
        case AssignmentRequested() as e:
            wanted = names.agent(e.agent_id) if e.agent_id else names.team(e.team_id)
            return _step(fact, f"Asked for {wanted}.", by=e.by.id)
        case ClaimRequested() as e:
            return _step(fact, f"Claimed by {names.agent(e.agent_id)}.", by=e.agent_id)
        case AssignmentRefused() as e:
            detail = {"request": e.request, "code": e.code}
            return _step(fact, f"Refused: {e.code.replace('_', ' ')}.", detail=detail)
        case DeadlineMissed() as e:
            text = f"The {e.deadline.replace('_', ' ')} is overdue."
            return _step(fact, text, by=e.agent_id, detail={"waiting_since": e.waiting_since})
        case Escalated() as e:
            text = "Escalated to the supervisors."
            return _step(fact, text, detail={"waiting_since": e.waiting_since})
        case _:
            return None


def _explained(why: Explanation, names: Names) -> dict[str, Any]:
    return {
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


def waiting_for(row: ConversationRow, names: Names) -> str:
    """What has to happen next, in words."""
    match row.status:
        case "queued":
            return f"an agent of {names.team(row.team_id)} who is available and has room"
        case "open":
            return f"an answer of {names.agent(row.agent_id or '')}"
        case "replied":
            return "the visitor"
        case "snoozed":
            return f"{at(row.snoozed_until_ns)}, or the visitor"
        case _:
            return "nothing: it is resolved"


def _step(
    fact: Fact, what: str, *, by: str | None = None, detail: dict[str, Any] | None = None
) -> Step:
    return Step(position=fact.position, at=at(fact.at_ns), what=what, by=by, detail=detail or {})
