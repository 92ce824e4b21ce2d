"""The one place where an event moves a conversation: the shared fold, plus what only the store counts."""

from __future__ import annotations

from services.store.fold.changes import Changes
from services.store.fold.records import Record
from services.store.fold.state import Folded
from shared.conversation import Conversation, ConversationFact, Status, evolve
from shared.ids import AgentId, TeamId


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
        times = dict(zip(unanswered, folded.unanswered_ns, strict=True))
        times[record.position] = record.at_ns
        folded.unanswered_ns = tuple([times[position] for position in state.unanswered])
    touch(changes, folded, record)
    return _shown(state) != before


def touch(changes: Changes, folded: Folded, record: Record) -> None:
    """Mark the conversation's row as changed by this event."""
    folded.version = record.position
    folded.updated_ns = record.at_ns
    changes.conversations[folded.key] = folded
