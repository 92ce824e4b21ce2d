"""The one place where an event moves a conversation: the shared fold, plus what only the store counts."""

from __future__ import annotations

from services.store.fold.changes import Changes
from services.store.fold.late import OF_CASE
from services.store.fold.records import Record
from services.store.fold.state import Folded
from shared.conversation import Conversation, ConversationFact, Status, evolve, post
from shared.events import MessagePosted, StatusChanged
from shared.ids import AgentId, Position, TeamId
from shared.waits import times


def _shown(
    state: Conversation,
) -> tuple[Status, AgentId | None, TeamId | None, str, tuple[str, ...]]:
    return state.status, state.agent_id, state.team_id, state.priority, state.labels


def apply(changes: Changes, folded: Folded, record: Record, event: ConversationFact) -> bool:
    """Evolve, and say whether lists of conversations look different now."""
    state = folded.state
    before = _shown(state)
    unanswered = state.unanswered
    evolve(state, event, record.position)
    if state.unanswered is not unanswered:
        folded.unanswered_ns = times(
            unanswered, folded.unanswered_ns, state.unanswered, record.position, record.at_ns
        )
        _end_wait(folded, unanswered)
    if state.phase == "resolved" and isinstance(event, StatusChanged):
        folded.late, folded.last_resolved = 0, record.position
    touch(changes, folded, record)
    return _shown(state) != before


def apply_message(folded: Folded, record: Record, event: MessagePosted) -> bool:
    """`apply` for a message, which moves the status by its phase and by whether somebody waits. The caller notes the
    row as changed."""
    state = folded.state
    phase = state.phase
    unanswered = state.unanswered
    post(state, event, record.position)
    now = state.unanswered
    if now is not unanswered:
        folded.unanswered_ns = times(
            unanswered, folded.unanswered_ns, now, record.position, record.at_ns
        )
        _end_wait(folded, unanswered)
    folded.version = record.position
    folded.updated_ns = record.at_ns
    return state.phase != phase or (not now) != (not unanswered)


def _end_wait(folded: Folded, before: tuple[Position, ...]) -> None:
    """What was late of a wait is late no more when it is over."""
    if folded.late and folded.state.unanswered[:1] != before[:1]:
        folded.late &= OF_CASE


def touch(changes: Changes, folded: Folded, record: Record) -> None:
    """Mark the conversation's row as changed by this event."""
    folded.version = record.position
    folded.updated_ns = record.at_ns
    changes.conversations[folded.key] = folded
