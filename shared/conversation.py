"""What a conversation is, folded from its events. Pure, and the one place where "waiting", "answered",
"resolved" and "crossed" are defined: the store's projection and the dispatcher's state both stand on it, so a
screen and a routing decision can't disagree.

The caller drops repeats of a MessageID first (`message_ids` in the store, the hour-long fold elsewhere).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.events import (
    ConversationAssigned,
    ConversationQueued,
    ConversationStarted,
    LabelsChanged,
    MessagePosted,
    NoteAdded,
    PriorityChanged,
    Rated,
    StatusChanged,
)
from shared.events.conversation import Priority
from shared.ids import AccountId, AgentId, ContactId, ConversationId, InboxId, Position, TeamId
from shared.waits import joined, uncovered

Status = Literal["queued", "open", "replied", "snoozed", "resolved"]
ConversationFact = (
    ConversationStarted
    | MessagePosted
    | LabelsChanged
    | PriorityChanged
    | NoteAdded
    | StatusChanged
    | Rated
    | ConversationAssigned
    | ConversationQueued
)


class Conversation(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """Folded state. `unanswered` are the positions of visitor messages (and of re-openings by hand) that no
    agent's answer has covered, oldest first, thinned by `waits` where there are many; the first is "waiting since"."""

    account_id: AccountId
    conversation_id: ConversationId
    inbox_id: InboxId
    contact_id: ContactId
    channel: str
    language: str
    priority: Priority
    started: Position
    labels: tuple[str, ...] = ()
    team_id: TeamId | None = None
    agent_id: AgentId | None = None
    previous_agent_id: AgentId | None = None
    assigned: Position = 0
    phase: Literal["active", "snoozed", "resolved"] = "active"
    snoozed_until_ns: int = 0
    unanswered: tuple[Position, ...] = ()
    last_message: Position = 0
    last_entry: Position = 0
    last_answer: Position = 0
    last_answer_agent_id: AgentId | None = None
    rating: int = 0

    @property
    def waiting_since(self) -> Position:
        """Position of the oldest unanswered visitor message, 0 when nobody waits for us."""
        return self.unanswered[0] if self.unanswered else 0

    @property
    def status(self) -> Status:
        """The state that people see; see the glossary."""
        if self.phase == "resolved":
            return "resolved"
        if self.unanswered and self.phase == "active":
            return "open" if self.agent_id else "queued"
        return "snoozed" if self.phase == "snoozed" else "replied"


def start(event: ConversationStarted, position: Position) -> Conversation:
    """The state right after the conversation began."""
    return Conversation(
        account_id=event.account_id,
        conversation_id=event.conversation_id,
        inbox_id=event.inbox_id,
        contact_id=event.contact_id,
        channel=event.channel,
        language=event.language,
        priority=event.priority,
        started=position,
        last_entry=position,
    )


def is_crossed(state: Conversation, event: MessagePosted) -> bool:
    """Whether this answer was written before its author could see a colleague's answer."""
    return (
        event.author.kind == "agent"
        and not event.automatic
        and state.last_answer > event.seen_up_to
        and state.last_answer_agent_id != event.author.id
    )


def evolve(state: Conversation, event: ConversationFact, position: Position) -> None:
    """Apply one event in place. Idempotent for a repeated start; never fails on any order of events."""
    state.last_entry = max(state.last_entry, position)
    match event:
        case MessagePosted():
            post(state, event, position)
        case StatusChanged():
            _status_changed(state, event, position)
        case ConversationAssigned():
            _wake(state, position)
            state.agent_id = event.agent_id
            state.team_id = event.team_id
            state.assigned = position
        case ConversationQueued():
            _wake(state, position)
            _release(state)
            state.team_id = event.team_id
        case LabelsChanged():
            kept = [x for x in state.labels if x not in event.removed]
            state.labels = tuple(dict.fromkeys([*kept, *event.added]))
        case PriorityChanged():
            state.priority = event.priority
        case Rated():
            state.rating = event.score
        case ConversationStarted() | NoteAdded():
            pass


def post(state: Conversation, event: MessagePosted, position: Position) -> None:
    """`evolve` for a message: the path that nearly every event takes."""
    state.last_entry = max(state.last_entry, position)
    state.last_message = position
    kind = event.author.kind
    if kind == "visitor":
        state.unanswered = joined(state.unanswered, position)
        state.phase = "active"
        state.snoozed_until_ns = 0
    elif kind == "agent" and not event.automatic:
        state.unanswered = uncovered(state.unanswered, event.seen_up_to)
        state.last_answer = position
        state.last_answer_agent_id = AgentId(event.author.id)


def _status_changed(state: Conversation, event: StatusChanged, position: Position) -> None:
    match event.status:
        case "open":
            state.phase = "active"
            state.snoozed_until_ns = 0
            if not state.unanswered:
                state.unanswered = (position,)
        case "snoozed":
            if not state.unanswered or state.unanswered[-1] <= event.seen_up_to:
                state.phase = "snoozed"
                state.snoozed_until_ns = event.until_ns
        case "resolved":
            state.unanswered = uncovered(state.unanswered, event.seen_up_to)
            if not state.unanswered:
                state.phase = "resolved"
                _release(state)


def _wake(state: Conversation, position: Position) -> None:
    """What is handed on while snoozed is due: it wakes, and somebody has to look at it."""
    if state.phase != "snoozed":
        return
    state.phase = "active"
    state.snoozed_until_ns = 0
    if not state.unanswered:
        state.unanswered = (position,)


def _release(state: Conversation) -> None:
    if state.agent_id:
        state.previous_agent_id = state.agent_id
    state.agent_id = None
    state.assigned = 0
