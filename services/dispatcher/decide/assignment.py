"""Hands out the queues of an account: priority, then oldest first, each to the best who is free. A conversation
that nobody can take now blocks nobody behind it whom somebody can take."""

from __future__ import annotations

from collections.abc import Container
from heapq import heapify, heappop, heapreplace

from services.dispatcher.decide.archive import previous_agent
from services.dispatcher.decide.pool import PARTS, Candidate, Pool, Roster, scored
from services.dispatcher.decide.sheet import Choice, Sheet
from services.dispatcher.decide.state import Track
from shared.ids import AgentId, ConversationId, Position

_RUNNERS_UP = 3
_Head = tuple[int, Position, ConversationId, int, Pool]


def hand_out(sheet: Sheet) -> bool:
    """Draft assignments until nobody is free for anything that waits. False: there may be more to hand out, because the
    sheet was full before that or the next stands behind something that only returns with this round."""
    pools, handled = sheet.floor.pools.values(), sheet.handled
    heads = [head for pool in pools if (head := _head(pool, 0, 0, handled)) is not None]
    heapify(heads)
    tracks = sheet.floor.office.tracks
    while heads:
        if sheet.is_full:
            return False
        rank, since, conversation_id, place, pool = heads[0]
        if sheet.barrier is not None and (rank, since, conversation_id) > sheet.barrier:
            return False
        roster = sheet.roster(pool)
        following = None
        if roster.candidates:
            track = tracks[conversation_id]
            _try(sheet, roster, track, queue_place=pool.ahead_of(rank) + place + 1)
            following = _head(pool, rank, place + 1, handled)
        if following is not None:
            heapreplace(heads, following)
        else:
            heappop(heads)
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
    barred = sheet.barred(track) if track.barred_agent_id is not None else None
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
    winner, *others = ranked
    score = (
        roster.tell(winner)
        if previous is None
        else scored(winner, PARTS[roster.key.strategy], is_previous=True)
    )
    choice = Choice(
        winner=score,
        runners_up=tuple([roster.tell(each) for each in others]),
        # Whoever it would be kept for is free, or it is not kept for them any longer.
        excluded=sheet.excluded(track, roster, is_kept=False),
        queue_place=queue_place,
    )
    sheet.assign(track, score.agent_id, trigger=track.released_by, choice=choice)


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
