"""Hands out the queues of an account: priority, then oldest first, each to the best who is free. A conversation
that nobody can take now blocks nobody behind it whom somebody can take."""

from __future__ import annotations

from collections.abc import Container
from heapq import heapify, heappop, heappush

from services.dispatcher.decide.archive import previous_agent
from services.dispatcher.decide.pool import PARTS, Candidate, Pool, Roster
from services.dispatcher.decide.sheet import Choice, Sheet
from services.dispatcher.decide.state import Track
from shared.events import Scored
from shared.ids import AgentId, ConversationId, Position

_RUNNERS_UP = 3
_PREVIOUS = ("previous_agent", 0.0)
_ANY = ("previous_agent", 1.0)
_Head = tuple[int, Position, ConversationId, int, Pool]


def hand_out(sheet: Sheet) -> bool:
    """Draft assignments until nobody is free for anything that waits. False: there may be more to hand out, because the
    sheet was full before that or the next stands behind something that only returns with this round."""
    pools, handled = sheet.floor.pools.values(), sheet.handled
    heads = [head for pool in pools if (head := _head(pool, 0, 0, handled)) is not None]
    heapify(heads)
    while heads:
        if sheet.is_full:
            return False
        rank, since, conversation_id, place, pool = heappop(heads)
        if sheet.barrier is not None and (rank, since, conversation_id) > sheet.barrier:
            return False
        roster = sheet.roster(pool)
        if not roster.candidates:
            continue
        track = sheet.floor.office.tracks[conversation_id]
        _try(sheet, roster, track, queue_place=pool.ahead_of(rank) + place + 1)
        following = _head(pool, rank, place + 1, handled)
        if following is not None:
            heappush(heads, following)
    return True


def record_waiting(sheet: Sheet) -> bool:
    """Draft a record for each conversation that waits without one. False: the sheet was full before that."""
    fresh = sheet.floor.fresh
    for place in range(len(fresh)):
        if sheet.is_full:
            return False
        _, conversation_id = fresh.at(place)
        if conversation_id not in sheet.handled:
            sheet.queue(sheet.floor.office.tracks[conversation_id], trigger="waiting")
    return True


def _head(pool: Pool, rank: int, place: int, handled: Container[ConversationId]) -> _Head | None:
    """The first waiting conversation from a place on, over the lines of lower priority too, that is not `handled`."""
    for number in range(rank, len(pool.lines)):
        line = pool.lines[number]
        for at in range(place, len(line)):
            since, conversation_id = line.at(at)
            if conversation_id not in handled:
                return (number, since, conversation_id, at, pool)
        place = 0
    return None


def _try(sheet: Sheet, roster: Roster, track: Track, *, queue_place: int) -> None:
    floor = sheet.floor
    policy, _ = floor.account.policy_of(track.conversation.inbox_id)
    barred = sheet.barred(track)
    previous: Candidate | None = None
    if policy.prefer_previous_agent:
        known = previous_agent(floor.office, floor.office.contact_of(track))
        if known is not None and known != barred:
            previous = roster.find(known)
        if previous is None and sheet.is_kept(track, barred=barred):
            return
    ranked = _ranked(roster, previous, barred)
    if not ranked:
        return
    score = [_told(roster, each, is_previous=each is previous) for each in ranked]
    choice = Choice(
        winner=score[0],
        runners_up=tuple(score[1:]),
        excluded=sheet.excluded(track, roster),
        queue_place=queue_place,
    )
    sheet.assign(track, score[0].agent_id, trigger=track.released_by, choice=choice)


def _ranked(roster: Roster, previous: Candidate | None, barred: AgentId | None) -> list[Candidate]:
    if previous is None and barred is None:
        return roster.best(_RUNNERS_UP + 1)
    ranked = [] if previous is None else [previous]
    # Two of the first may be left out: the previous agent, who is first already, and the one who is barred.
    for candidate in roster.best(_RUNNERS_UP + 3):
        if len(ranked) > _RUNNERS_UP:
            break
        if candidate[-1] != barred and candidate != previous:
            ranked.append(candidate)
    return ranked


def _told(roster: Roster, candidate: Candidate, *, is_previous: bool) -> Scored:
    """As `scored`. Whoever comes second is named again with the next conversation, usually by the same score."""
    if is_previous:
        return scored(candidate, PARTS[roster.key.strategy], is_previous=True)
    kept = roster.told.get(candidate[-1])
    if kept is None or kept[0] is not candidate:
        found = scored(candidate, PARTS[roster.key.strategy], is_previous=False)
        kept = roster.told[candidate[-1]] = (candidate, found)
    return kept[1]


def scored(candidate: Candidate, names: tuple[str, str, str, str], *, is_previous: bool) -> Scored:
    """The candidate's score in named parts."""
    a, b, c, d, agent_id = candidate
    parts = (
        _PREVIOUS if is_previous else _ANY,
        (names[0], float(a)),
        (names[1], float(b)),
        (names[2], float(c)),
        (names[3], float(d)),
    )
    return Scored(agent_id=agent_id, parts=parts)
