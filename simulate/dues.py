"""When the next thing of a conversation is due, by the policy as it reads: judged in both directions, neither before
its moment nor left lying after it."""

from __future__ import annotations

from shared.ids import TeamId
from simulate.calendar import after_ns, next_ns
from simulate.ledger import SECOND_NS, Ledger
from simulate.talks import Talk

_Dues = dict[str, int]


def dues_of(ledger: Ledger, talk: Talk) -> _Dues:
    """What is still to be done about it, with the moment; leases apart."""
    if talk.phase == "resolved":
        return {}
    found = {**_response(ledger, talk), **_case(ledger, talk), **_fallback(ledger, talk)}
    returns_ns = _return_ns(ledger, talk)
    if returns_ns is not None:
        found["offline_return"] = returns_ns
    if talk.phase == "snoozed":
        is_ownerless = bool(talk.waits) and not talk.owner
        if talk.until_ns or is_ownerless:
            found["wake"] = talk.until_ns
    return found


def _after(ledger: Ledger, talk: Talk, began_ns: int, seconds: int) -> int | None:
    policy = ledger.policy_of(talk)
    if policy.deadline_clock == "business" and policy.hours is not None:
        return after_ns(policy.hours, began_ns, seconds)
    return began_ns + seconds * SECOND_NS


def _response(ledger: Ledger, talk: Talk) -> _Dues:
    policy, known = ledger.policy_of(talk), ledger.deadlines
    if not talk.waits or talk.phase != "active":
        return {}
    kind = "next_response" if talk.last_answer else "first_response"
    allowed_s = policy.next_response_s if talk.last_answer else policy.first_response_s
    since, began_ns = talk.waits[0]
    if not allowed_s:
        # Nor is anybody called to account for a deadline that was abolished.
        return {}
    if ("missed", talk.id, kind, since) not in known:
        return _kept({kind: _after(ledger, talk, began_ns, allowed_s)})
    found = _reassigned(ledger, talk, kind, allowed_s)
    if ("escalated", talk.id, "response", since) not in known:
        more_s = policy.escalate_after_s or allowed_s
        found |= _kept({"escalated": _after(ledger, talk, began_ns, allowed_s + more_s)})
    return found


def _reassigned(ledger: Ledger, talk: Talk, kind: str, allowed_s: int) -> _Dues:
    policy, known = ledger.policy_of(talk), ledger.deadlines
    since, began_ns = talk.waits[0]
    has_missed = ("missed", talk.id, kind, since) in known
    has_lost_it = ("reassigned", talk.id, since) in known
    if not (policy.reassign_after_s and talk.owner and has_missed) or has_lost_it:
        return {}
    late_ns = _after(ledger, talk, began_ns, allowed_s + policy.reassign_after_s)
    # Whoever got it late has as long.
    own_ns = _after(ledger, talk, talk.assigned_ns, policy.reassign_after_s)
    return {} if late_ns is None or own_ns is None else {"reassigned": max(late_ns, own_ns)}


def _case(ledger: Ledger, talk: Talk) -> _Dues:
    policy, known = ledger.policy_of(talk), ledger.deadlines
    if not talk.opened or not policy.resolution_s:
        return {}
    if ("missed", talk.id, "resolution", talk.opened) not in known:
        return _kept({"resolution": _after(ledger, talk, talk.opened_ns, policy.resolution_s)})
    if ("escalated", talk.id, "resolution", talk.opened) in known:
        return {}
    more_s = policy.escalate_after_s or policy.resolution_s
    due_ns = _after(ledger, talk, talk.opened_ns, policy.resolution_s + more_s)
    return _kept({"resolution_escalated": due_ns})


def next_fallback(ledger: Ledger, talk: Talk) -> tuple[int, TeamId] | None:
    """The team to be asked next as well, and when: the first that is due, of those the first in the policy."""
    policy, books = ledger.policy_of(talk), ledger.books
    if not talk.is_waiting or not policy.fallback_teams:
        return None
    now = books.teams_of(ledger.kind_of(talk))
    if now[0] is None and policy.outside_hours == "assign":
        return None
    had = talk.asked if talk.asked_since == talk.since else []
    found = []
    for number, step in enumerate(policy.fallback_teams):
        due_ns: int | None = talk.since_ns + step.after_s * SECOND_NS
        if step.when_closed and policy.hours is not None:
            closed_ns = next_ns(policy.hours, talk.since_ns, is_open_then=False)
            due_ns = min(due_ns, closed_ns) if closed_ns is not None and due_ns else due_ns
        if step.hours is not None and due_ns is not None:
            due_ns = next_ns(step.hours, due_ns, is_open_then=True)
        if due_ns is not None and step.team_id in books.teams and step.team_id not in [*now, *had]:
            found.append((due_ns, number, step.team_id))
    return (min(found)[0], min(found)[2]) if found else None


def _fallback(ledger: Ledger, talk: Talk) -> _Dues:
    step = next_fallback(ledger, talk)
    return {"fallback": step[0]} if step is not None else {}


def _return_ns(ledger: Ledger, talk: Talk) -> int | None:
    if talk.owner is None or talk.phase != "active" or not talk.waits:
        return None
    person, policy = ledger.person(talk.owner), ledger.policy_of(talk)
    if person.devices or not policy.offline_return_s:
        return None
    if talk.waits[0][0] > max(person.left, talk.assigned):
        # The visitor wrote when nobody was there any more: at once.
        return talk.waits[0][1]
    return max(person.left_ns, talk.assigned_ns) + policy.offline_return_s * SECOND_NS


def _kept(found: dict[str, int | None]) -> _Dues:
    return {step: due_ns for step, due_ns in found.items() if due_ns is not None}
