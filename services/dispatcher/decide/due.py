"""When the next thing of a conversation falls due, from folded state and log times alone, so that a restart
forgets none. What then happens is decided in `affairs`."""

from __future__ import annotations

from services.dispatcher.decide.settings import Settings
from services.dispatcher.decide.state import Agent, Office, Track, asked_teams
from shared.directory import Account
from shared.events import PolicySaved
from shared.ids import TeamId
from shared.policy.document import FallbackTeam
from shared.policy.hours import after_ns, next_closing_ns, next_opening_ns, next_turn_ns

SECOND_NS = 1_000_000_000
NOW = 0
_NO_AGENT = Agent()


def next_due_ns(
    track: Track, office: Office, account: Account, settings: Settings, *, now_ns: int
) -> int | None:
    """The log time from which `affairs.decide_about` has something to do; `NOW` at once, None never.

    `now_ns` only drops pardons, patience and hours that are over: others are candidates now, there is nothing to append.
    """
    policy, _ = account.policy_of(track.conversation.inbox_id)
    dues = _owner_dues(track, office, account, policy)
    dues += _wait_dues(track, policy, account)
    if track.requests or (track.answerer is not None and track.conversation.agent_id is None):
        dues.append(NOW)
    if is_orphaned(track, account):
        dues.append(NOW)
    if track.is_waiting:
        pardon_ns = track.barred_ns + settings.pardon_s * SECOND_NS
        patience_ns = track.since_ns + policy.previous_agent_wait_s * SECOND_NS
        if track.barred_agent_id is not None and pardon_ns > now_ns:
            dues.append(pardon_ns)
        if policy.previous_agent_wait_s and patience_ns > now_ns:
            dues.append(patience_ns)
        if policy.outside_hours == "wait" and policy.hours is not None:
            turns_ns = next_turn_ns(policy.hours, now_ns)
            dues += [turns_ns] if turns_ns is not None else []
    return min(dues, default=None)


def is_orphaned(track: Track, account: Account) -> bool:
    """Whether it waits in the queue of a team that was removed: nobody would find it in a list."""
    team_id = track.conversation.team_id
    return (
        track.is_waiting
        and track.is_queued
        and team_id is not None
        and team_id not in account.teams
    )


def lease_due_ns(track: Track, office: Office) -> int | None:
    """When the assignment's lease ends; None if there is none or it was met."""
    conversation = track.conversation
    if conversation.agent_id is None or conversation.phase == "resolved" or not track.lease_s:
        return None
    agent = office.agents.get(conversation.agent_id, _NO_AGENT)
    if agent.received >= conversation.assigned:
        return None
    return track.assigned_ns + track.lease_s * SECOND_NS


def return_due_ns(track: Track, office: Office, policy: PolicySaved) -> int | None:
    """When an unanswered conversation leaves an owner who is offline: at once if the wait began after they left."""
    conversation = track.conversation
    if conversation.agent_id is None or conversation.phase != "active" or not track.times:
        return None
    agent = office.agents.get(conversation.agent_id, _NO_AGENT)
    if agent.devices or not policy.offline_return_s:
        return None
    if conversation.waiting_since > max(agent.changed, conversation.assigned):
        return NOW
    return max(agent.offline_ns, track.assigned_ns) + policy.offline_return_s * SECOND_NS


def wake_due_ns(track: Track) -> int | None:
    """When a snoozed conversation wakes. One without an end wakes at once if somebody waits and nobody owns it."""
    conversation = track.conversation
    if conversation.phase != "snoozed":
        return None
    if conversation.snoozed_until_ns:
        return conversation.snoozed_until_ns
    return NOW if conversation.unanswered and conversation.agent_id is None else None


def missed_due_ns(track: Track, policy: PolicySaved) -> int | None:
    """When the deadline of the wait is missed; None if there is none or it is on record."""
    allowed_s, acted = response(track, policy)
    return None if not allowed_s or acted else counted_ns(policy, track.since_ns, allowed_s)


def reassignment_due_ns(track: Track, policy: PolicySaved) -> int | None:
    """When an owner who missed the deadline loses the conversation; whoever got it late has as long."""
    allowed_s, acted = response(track, policy)
    conversation, more_s = track.conversation, policy.reassign_after_s
    if not allowed_s or not more_s or not acted or conversation.agent_id is None:
        return None
    if track.reassigned == conversation.waiting_since:
        return None
    dues = (
        counted_ns(policy, track.since_ns, allowed_s + more_s),
        counted_ns(policy, track.assigned_ns, more_s),
    )
    return None if None in dues else max(due_ns for due_ns in dues if due_ns is not None)


def escalation_due_ns(track: Track, policy: PolicySaved) -> int | None:
    """When a wait whose deadline was missed is escalated."""
    allowed_s, acted = response(track, policy)
    if not allowed_s or not acted or track.escalated == track.conversation.waiting_since:
        return None
    more_s = policy.escalate_after_s or allowed_s
    return counted_ns(policy, track.since_ns, allowed_s + more_s)


def resolution_due_ns(track: Track, policy: PolicySaved) -> int | None:
    """When the case should have ended, or after that is on record, when it is escalated."""
    if not policy.resolution_s or not track.opened:
        return None
    if track.missed_resolution != track.opened:
        return counted_ns(policy, track.opened_ns, policy.resolution_s)
    if track.escalated_resolution == track.opened:
        return None
    more_s = policy.escalate_after_s or policy.resolution_s
    return counted_ns(policy, track.opened_ns, policy.resolution_s + more_s)


def fallback(track: Track, policy: PolicySaved, account: Account) -> tuple[int, TeamId] | None:
    """The next team to be asked as well for what waits, and when; None if there is no other."""
    if not track.is_waiting or not policy.fallback_teams:
        return None
    asked = asked_teams(account, track)
    if asked[0] is None and policy.outside_hours == "assign":
        # Everybody is asked already.
        return None
    done = track.fallen_to if track.fallen_since == track.since else ()
    found = [
        (due_ns, number)
        for number, step in enumerate(policy.fallback_teams)
        if step.team_id not in (*done, *asked) and step.team_id in account.teams
        if (due_ns := _fallback_due_ns(track, policy, step)) is not None
    ]
    if not found:
        return None
    due_ns, number = min(found)
    return due_ns, policy.fallback_teams[number].team_id


def _fallback_due_ns(track: Track, policy: PolicySaved, step: FallbackTeam) -> int | None:
    """After the wait, or as soon as the inbox is closed; not before the team itself works. None if never."""
    due_ns = track.since_ns + step.after_s * SECOND_NS
    if step.when_closed and policy.hours is not None:
        closed_ns = next_closing_ns(policy.hours, track.since_ns)
        due_ns = due_ns if closed_ns is None else min(due_ns, closed_ns)
    return due_ns if step.hours is None else next_opening_ns(step.hours, due_ns)


def response(track: Track, policy: PolicySaved) -> tuple[int, bool]:
    """Seconds allowed for the answer that is due (0: none), and whether missing it is on record."""
    conversation = track.conversation
    since = conversation.waiting_since
    if not since or conversation.phase != "active":
        return 0, False
    if conversation.last_answer == 0:
        return policy.first_response_s, track.missed_first == since
    return policy.next_response_s, track.missed_next == since


def counted_ns(policy: PolicySaved, began_ns: int, seconds: int) -> int | None:
    """The end of a deadline, in the time that the policy counts; None if that never comes."""
    if policy.deadline_clock == "business" and policy.hours is not None:
        return after_ns(policy.hours, began_ns, seconds)
    return began_ns + seconds * SECOND_NS


def _owner_dues(track: Track, office: Office, account: Account, policy: PolicySaved) -> list[int]:
    conversation = track.conversation
    if conversation.agent_id is None or conversation.phase == "resolved":
        return []
    lease_ns, return_ns = lease_due_ns(track, office), return_due_ns(track, office, policy)
    found = [] if lease_ns is None else [lease_ns]
    if return_ns is not None:
        found.append(return_ns)
    if conversation.agent_id not in account.agents:
        found.append(NOW)
    return found


def _wait_dues(track: Track, policy: PolicySaved, account: Account) -> list[int]:
    wake_ns = wake_due_ns(track)
    found = [] if wake_ns is None else [wake_ns]
    if policy.fallback_teams:
        step = fallback(track, policy, account)
        if step is not None:
            found.append(step[0])
    if policy.first_response_s or policy.next_response_s or policy.resolution_s:
        dues = (
            missed_due_ns(track, policy),
            reassignment_due_ns(track, policy),
            escalation_due_ns(track, policy),
            resolution_due_ns(track, policy),
        )
        found += [due_ns for due_ns in dues if due_ns is not None]
    return found
