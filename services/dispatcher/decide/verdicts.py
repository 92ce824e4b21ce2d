"""Every agent's verdict for one conversation, by the same rosters and scores that hand it out: what an event only
counts is listed here."""

from __future__ import annotations

from services.dispatcher.decide.archive import previous_agent
from services.dispatcher.decide.pool import (
    PARTS,
    Admission,
    Candidate,
    Entrance,
    Pool,
    Roster,
    scored,
)
from services.dispatcher.decide.sheet import Sheet, bar_rule
from services.dispatcher.decide.state import Track
from services.dispatcher.decide.talents import Talents
from shared.events import Explanation, Scored
from shared.explaining import Verdict
from shared.ids import AgentId

_RUNNERS_UP = 3


def verdicts(sheet: Sheet, track: Track) -> tuple[Verdict, ...]:
    """Candidates in the order in which they would be asked, then the others by id."""
    floor = sheet.floor
    pool = floor.pool_of(track)
    roster = sheet.roster(pool)
    barred = sheet.barred(track)
    previous = _previous(sheet, track, roster)
    free = [each for each in roster.best(len(roster.members)) if each[-1] != barred]
    if previous is not None:
        free = [previous, *(each for each in free if each != previous)]
    found = [_candidate(sheet, pool, each, is_previous=each is previous) for each in free]
    named = {each.agent_id for each in found}
    entrance = Entrance(pool.key, floor.account, Talents(floor.account))
    found += [
        _excluded(sheet, track, agent_id, entrance.admit(agent_id))
        for agent_id in sorted(floor.account.agents)
        if agent_id not in named
    ]
    return tuple(found)


def agree(found: tuple[Verdict, ...], why: Explanation) -> bool:
    """Whether the verdicts are those that a record was made from."""
    candidates = [each for each in found if not each.rule]
    counts: dict[str, int] = {}
    for each in found:
        if each.rule:
            counts[each.rule] = counts.get(each.rule, 0) + 1
    recorded = {rule: n for rule, n in why.excluded.items() if rule != "kept_for_previous"}
    if counts != recorded:
        return False
    if why.winner is None:
        # It waits although somebody is free only while it is kept, or when its turn had not come.
        return True
    told = [_told(each, why) for each in (why.winner, *why.runners_up)]
    return told == [_told(each, why) for each in candidates[: 1 + _RUNNERS_UP]]


def _told(each: Scored | Verdict, why: Explanation) -> tuple[AgentId, list[float]]:
    """Whoever was given something in the same round was scored by the place where that was expected to lie, which
    hangs on what other accounts were given: later than the state is all that counts."""
    beyond = why.state_position
    parts = (
        min(value, beyond + 1) if name in ("last_assigned", "idle_since") else value
        for name, value in each.parts
    )
    return each.agent_id, list(parts)


def _previous(sheet: Sheet, track: Track, roster: Roster) -> Candidate | None:
    policy, _ = sheet.floor.account.policy_of(track.conversation.inbox_id)
    known = previous_agent(sheet.floor.office, sheet.floor.office.contact_of(track))
    if not policy.prefer_previous_agent or known is None or known == sheet.barred(track):
        return None
    return roster.find(known)


def _candidate(sheet: Sheet, pool: Pool, candidate: Candidate, *, is_previous: bool) -> Verdict:
    score = scored(candidate, PARTS[pool.key.strategy], is_previous=is_previous)
    held, capacity = _load(sheet, score.agent_id)
    return Verdict(agent_id=score.agent_id, parts=score.parts, held=held, capacity=capacity)


def _excluded(sheet: Sheet, track: Track, agent_id: AgentId, admission: Admission) -> Verdict:
    roster = sheet.roster(sheet.floor.pool_of(track))
    standing = sheet.standing(agent_id)
    rule: str = admission.rule
    if not rule:
        status = roster.status(standing) if standing is not None else "offline"
        rule = status if status != "free" else bar_rule(track)
    held, capacity = _load(sheet, agent_id)
    unacknowledged, window = _pace(sheet, agent_id) if rule == "pace" else (0, 0)
    return Verdict(
        agent_id=agent_id,
        rule=rule,
        lacking=admission.lacking,
        held=held,
        capacity=capacity,
        unacknowledged=unacknowledged,
        window=window,
    )


def _load(sheet: Sheet, agent_id: AgentId) -> tuple[int, int]:
    """What they hold, drafted assignments included, and what they can."""
    capacity = sheet.floor.account.agents[agent_id].capacity
    standing = sheet.standing(agent_id)
    return round(standing.load * max(capacity, 1)) if standing is not None else 0, capacity


def _pace(sheet: Sheet, agent_id: AgentId) -> tuple[int, int]:
    """What they have not acknowledged, drafted assignments included, and how many that may be."""
    waiting = len(sheet.floor.holding(agent_id).unacknowledged) + sheet.drafted(agent_id)
    return waiting, sheet.floor.window(agent_id)
