"""What may happen next in a conversation if nothing else does, and when. `due` says what is next of all; here stands
the whole chain, so that a person sees what follows. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from services.dispatcher.decide.archive import previous_agent
from services.dispatcher.decide.due import (
    SECOND_NS,
    counted_ns,
    escalation_due_ns,
    fallback,
    lease_due_ns,
    missed_due_ns,
    reassignment_due_ns,
    resolution_due_ns,
    response,
    return_due_ns,
    wake_due_ns,
)
from services.dispatcher.decide.floor import Floor
from services.dispatcher.decide.sheet import Sheet
from services.dispatcher.decide.state import Track, asked_teams
from shared.events import PolicySaved
from shared.explaining import Next, NextKind
from shared.policy.hours import is_open, next_turn_ns


def upcoming(sheet: Sheet, track: Track) -> tuple[Next, ...]:
    """In the order of their times; what is past by now is due at once."""
    floor = sheet.floor
    policy, _ = floor.account.policy_of(track.conversation.inbox_id)
    found = [*_chain(track, policy), *_moves(sheet, track, policy)]
    if track.is_waiting:
        found += _patience(sheet, track, policy)
    found += _hours(sheet, track, policy)
    return tuple(sorted(found, key=lambda each: (each.at_ns, each.what)))


def _some(what: NextKind, at_ns: int | None) -> Iterator[Next]:
    if at_ns is not None:
        yield Next(what=what, at_ns=at_ns)


def _chain(track: Track, policy: PolicySaved) -> Iterator[Next]:
    """Reminder, reassignment, escalation, whether or not the one before has happened."""
    allowed_s, acted = response(track, policy)
    if allowed_s and not acted:
        is_first = track.conversation.last_answer == 0
        yield from _some(
            "first_response" if is_first else "next_response", missed_due_ns(track, policy)
        )
        if policy.reassign_after_s and track.conversation.agent_id is not None:
            after_s = allowed_s + policy.reassign_after_s
            yield from _some("reassign", counted_ns(policy, track.since_ns, after_s))
        after_s = allowed_s + (policy.escalate_after_s or allowed_s)
        yield from _some("escalate", counted_ns(policy, track.since_ns, after_s))
    else:
        yield from _some("reassign", reassignment_due_ns(track, policy))
        yield from _some("escalate", escalation_due_ns(track, policy))
    is_told = track.missed_resolution == track.opened
    yield from _some(
        "escalate_resolution" if is_told else "resolution", resolution_due_ns(track, policy)
    )


def _moves(sheet: Sheet, track: Track, policy: PolicySaved) -> Iterator[Next]:
    office, owner = sheet.floor.office, track.conversation.agent_id
    if track.requests:
        yield Next(what="wish")
    for what, at_ns in (
        ("lease", lease_due_ns(track, office)),
        ("agent_offline", return_due_ns(track, office, policy)),
    ):
        if at_ns is not None and track.conversation.phase != "resolved":
            yield Next(what=what, at_ns=at_ns, agent_id=owner)  # type: ignore[arg-type]
    yield from _some("wake", wake_due_ns(track))
    found = fallback(track, policy, sheet.floor.account)
    if found is not None:
        yield Next(what="fallback", at_ns=found[0], team_id=found[1])


def _patience(sheet: Sheet, track: Track, policy: PolicySaved) -> Iterator[Next]:
    floor = sheet.floor
    barred = sheet.barred(track)
    if barred is not None:
        pardon_ns = track.barred_ns + floor.settings.pardon_s * SECOND_NS
        yield Next(what="pardon", at_ns=pardon_ns, agent_id=barred)
    if sheet.is_kept(track, barred=barred):
        patience_ns = track.since_ns + policy.previous_agent_wait_s * SECOND_NS
        known = previous_agent(floor.office, floor.office.contact_of(track))
        yield Next(what="previous_agent", at_ns=patience_ns, agent_id=known)
    rises_ns = floor.rises_ns(track)
    if rises_ns:
        yield Next(what="rise", at_ns=rises_ns)
    yield from _pace(floor, track)


def _pace(floor: Floor, track: Track) -> Iterator[Next]:
    """When at the latest somebody has room in their pace: what they were given is acknowledged by then, or gone."""
    roster = floor.pool_of(track).roster
    dues = []
    for agent_id in roster.members:
        standing = floor.standings.get(agent_id)
        if standing is None or roster.status(standing) != "pace":
            continue
        for conversation_id in floor.holding(agent_id).unacknowledged:
            due_ns = lease_due_ns(floor.office.tracks[conversation_id], floor.office)
            if due_ns is not None:
                dues.append((due_ns, agent_id))
    if dues:
        due_ns, agent_id = min(dues)
        yield Next(what="pace", at_ns=due_ns, agent_id=agent_id)


def _hours(sheet: Sheet, track: Track, policy: PolicySaved) -> Iterator[Next]:
    now_ns = sheet.moment.now_ns
    conversation = track.conversation
    # What was put away waits for its time or for the visitor, not for the team.
    if policy.hours is None or not conversation.unanswered or conversation.phase == "snoozed":
        return
    turns_ns = next_turn_ns(policy.hours, now_ns)
    if turns_ns is None:
        return
    team_id = asked_teams(sheet.floor.account, track)[0]
    if not is_open(policy.hours, now_ns):
        yield Next(what="opens", at_ns=turns_ns, team_id=team_id)
    elif policy.outside_hours == "wait" and track.is_waiting:
        yield Next(what="closes", at_ns=turns_ns, team_id=team_id)
