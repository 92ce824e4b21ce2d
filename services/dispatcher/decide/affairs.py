"""What is due in a single conversation: wishes answered, leases judged, owners who left, deadlines, waking up.
Hands nothing out by itself; what goes back to the queue is given to somebody else in the next round, and nothing that
stands behind it goes first."""

from __future__ import annotations

from typing import Literal

from services.dispatcher.decide.due import (
    SECOND_NS,
    escalation_due_ns,
    fallback,
    is_orphaned,
    lease_due_ns,
    missed_due_ns,
    reassignment_due_ns,
    resolution_due_ns,
    return_due_ns,
    wake_due_ns,
)
from services.dispatcher.decide.sheet import Choice, Sheet
from services.dispatcher.decide.state import Request, Track
from shared.events import AssignmentRefused, ConversationQueued, DeadlineMissed, Escalated

_Code = Literal["already_assigned", "unknown_agent", "unknown_team", "not_allowed", "not_waiting"]


def decide_about(sheet: Sheet, track: Track) -> None:
    """Draft what is due in this conversation now, at most one move of it; perhaps nothing."""
    drafted = len(sheet.events)
    _draft(sheet, track)
    for event in sheet.events[drafted:]:
        is_refused = isinstance(event, AssignmentRefused) and track.is_waiting
        if is_refused or isinstance(event, ConversationQueued):
            sheet.keep_place(track)


def _draft(sheet: Sheet, track: Track) -> None:
    if track.requests:
        _answer(sheet, track, track.requests[0])
    elif _gives_to_answerer(sheet, track) or _returns(sheet, track) or _wakes(sheet, track):
        return
    elif is_orphaned(track, sheet.floor.account):
        sheet.queue(track, trigger="team_removed")
    elif not _falls_back(sheet, track):
        _judge_deadlines(sheet, track)


def _answer(sheet: Sheet, track: Track, request: Request) -> None:
    code = _refusal(sheet, track, request)
    conversation = track.conversation
    if code is not None:
        refused = AssignmentRefused(
            account_id=conversation.account_id,
            writer=sheet.moment.writer,
            conversation_id=conversation.conversation_id,
            request=request.position,
            code=code,
        )
        sheet.add(track, refused)
    elif request.agent_id is None:
        sheet.queue(track, trigger="requested", requested_by=request.by, to_team_id=request.team_id)
    else:
        is_claim = request.kind == "claim"
        sheet.assign(
            track,
            request.agent_id,
            trigger="claimed" if is_claim else "requested",
            choice=Choice(requested_by=request.by),
            # Who asks for it is at the screen.
            has_lease=not is_claim and request.by != request.agent_id,
        )


def _refusal(sheet: Sheet, track: Track, request: Request) -> _Code | None:
    account = sheet.floor.account
    conversation = track.conversation
    if conversation.phase == "resolved":
        return "not_waiting"
    if request.agent_id is not None and request.agent_id not in account.agents:
        return "unknown_agent"
    if request.team_id is not None and request.team_id not in account.teams:
        return "unknown_team"
    if request.kind == "claim" and conversation.agent_id is not None:
        return "already_assigned"
    if request.agent_id is not None and request.agent_id == conversation.agent_id:
        return "already_assigned"
    is_crossed = request.seen_up_to and track.moved > request.seen_up_to
    if request.kind == "assignment" and is_crossed and track.moved_by != request.by:
        # Two at once: the second did not know what the first wanted, and must not undo it by accident.
        return "already_assigned"
    return None


def _gives_to_answerer(sheet: Sheet, track: Track) -> bool:
    conversation = track.conversation
    answerer = track.answerer
    if answerer is None or conversation.agent_id is not None or conversation.phase != "active":
        return False
    if answerer not in sheet.floor.account.agents:
        return False
    sheet.assign(track, answerer, trigger="answered", has_lease=False)
    return True


def _returns(sheet: Sheet, track: Track) -> bool:
    """Whether the conversation leaves its owner."""
    conversation = track.conversation
    owner = conversation.agent_id
    if owner is None or conversation.phase == "resolved":
        return False
    floor = sheet.floor
    now_ns = sheet.moment.now_ns
    policy, _ = floor.account.policy_of(conversation.inbox_id)
    if owner not in floor.account.agents:
        sheet.queue(track, trigger="agent_removed")
        return True
    return_ns = return_due_ns(track, floor.office, policy)
    if return_ns is not None and return_ns <= now_ns:
        sheet.queue(track, trigger="agent_offline")
        return True
    if _has_lapsed(sheet, track):
        sheet.queue(track, trigger="lease_lapsed")
        return True
    return False


def _has_lapsed(sheet: Sheet, track: Track) -> bool:
    """Only against evidence: the store has given the assignment out, and nothing was unclear since."""
    due_ns = lease_due_ns(track, sheet.floor.office)
    if due_ns is None or sheet.moment.evidence.stored < track.conversation.assigned:
        return False
    fair_ns = sheet.moment.evidence.fresh_ns + track.lease_s * SECOND_NS
    return max(due_ns, fair_ns) <= sheet.moment.now_ns


def _wakes(sheet: Sheet, track: Track) -> bool:
    due_ns = wake_due_ns(track)
    if due_ns is None or due_ns > sheet.moment.now_ns:
        return False
    owner = track.conversation.agent_id
    if owner is None:
        sheet.queue(track, trigger="reopened")
    else:
        sheet.assign(track, owner, trigger="reopened")
    return True


def _falls_back(sheet: Sheet, track: Track) -> bool:
    """Whether another team is asked for what has waited too long."""
    policy, _ = sheet.floor.account.policy_of(track.conversation.inbox_id)
    if not policy.fallback_teams:
        return False
    found = fallback(track, policy, sheet.floor.account)
    if found is None or found[0] > sheet.moment.now_ns:
        return False
    sheet.queue(track, trigger="fallback", to_team_id=found[1])
    return True


def _judge_deadlines(sheet: Sheet, track: Track) -> None:
    """The first step of the chain that is due: reminder, somebody else, supervisors; then the end of the case."""
    policy, _ = sheet.floor.account.policy_of(track.conversation.inbox_id)
    now_ns = sheet.moment.now_ns
    if _is_due(missed_due_ns(track, policy), now_ns):
        _remind(sheet, track)
    elif _is_due(reassignment_due_ns(track, policy), now_ns):
        sheet.queue(track, trigger="deadline")
    elif _is_due(escalation_due_ns(track, policy), now_ns):
        _escalate(sheet, track)
    elif _is_due(resolution_due_ns(track, policy), now_ns):
        _judge_case(sheet, track)


def _is_due(due_ns: int | None, now_ns: int) -> bool:
    return due_ns is not None and due_ns <= now_ns


def _remind(sheet: Sheet, track: Track) -> None:
    conversation = track.conversation
    sheet.remind(
        DeadlineMissed(
            account_id=conversation.account_id,
            writer=sheet.moment.writer,
            conversation_id=conversation.conversation_id,
            deadline="next_response" if conversation.last_answer else "first_response",
            waiting_since=conversation.waiting_since,
            agent_id=conversation.agent_id,
        )
    )


def _escalate(sheet: Sheet, track: Track) -> None:
    conversation = track.conversation
    sheet.remind(
        Escalated(
            account_id=conversation.account_id,
            writer=sheet.moment.writer,
            conversation_id=conversation.conversation_id,
            waiting_since=conversation.waiting_since,
        )
    )


def _judge_case(sheet: Sheet, track: Track) -> None:
    conversation = track.conversation
    if track.missed_resolution == track.opened:
        sheet.remind(
            Escalated(
                account_id=conversation.account_id,
                writer=sheet.moment.writer,
                conversation_id=conversation.conversation_id,
                waiting_since=track.opened,
                deadline="resolution",
            )
        )
        return
    sheet.remind(
        DeadlineMissed(
            account_id=conversation.account_id,
            writer=sheet.moment.writer,
            conversation_id=conversation.conversation_id,
            deadline="resolution",
            waiting_since=track.opened,
            agent_id=conversation.agent_id,
        )
    )
