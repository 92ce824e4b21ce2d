"""What can honestly be said to somebody who waits: the place, and how long it will take where the past tells. Pure;
what is not known stays unknown."""

from __future__ import annotations

from services.dispatcher.decide.archive import find
from services.dispatcher.decide.due import SECOND_NS
from services.dispatcher.decide.floor import Floor
from services.dispatcher.decide.pool import Pool
from services.dispatcher.decide.state import Track
from services.dispatcher.decide.world import World
from shared.commands import QueueAnswer
from shared.ids import AccountId, ConversationId
from shared.policy.hours import is_open, next_opening_ns

_LEAST_PAST = 5
"""Conversations that must have come to their end in a team before their mean says anything."""


def estimate(
    world: World, account_id: AccountId, conversation_id: ConversationId, now_ns: int
) -> QueueAnswer:
    """Where the conversation stands at the log's end."""
    office = world.state.offices.get(account_id)
    track = find(office, account_id, conversation_id) if office is not None else None
    if track is None:
        return QueueAnswer(position=world.state.position)
    floor = world.floor(account_id)
    floor.age(now_ns)
    place, expected_s = 0, None
    if track.is_waiting:
        pool = floor.pool_of(track)
        place = place_of(floor, track)
        expected_s = _expected_s(floor, pool, track, place)
    policy, _ = floor.account.policy_of(track.conversation.inbox_id)
    opens_ns = next_opening_ns(policy.hours, now_ns) if policy.hours is not None else None
    since = track.conversation.waiting_since
    return QueueAnswer(
        position=world.state.position,
        state=track.conversation.status,
        place=place,
        expected_s=expected_s,
        is_open=None if policy.hours is None else is_open(policy.hours, now_ns),
        opens_ns=opens_ns if opens_ns is not None and opens_ns > now_ns else 0,
        is_escalated=bool(since) and track.escalated == since,
        zone=policy.hours.zone if policy.hours is not None else "",
        given_ns=track.assigned_ns if track.conversation.agent_id is not None else 0,
    )


def place_of(floor: Floor, track: Track) -> int:
    """1 for who is next. Before it stand those of its own line, and those of other lines whom the same agents may take:
    who asks for another skill may still be who gets the agent that it waits for. What only others can take, or nobody
    is picked for, does not keep it waiting."""
    pool = floor.pool_of(track)
    rank, item = floor.rank(track), (track.since, track.conversation.conversation_id)
    place = pool.place(rank, item)
    able = pool.roster.members.keys()
    for other in floor.pools.values():
        before = other.place(rank, item) - 1
        is_other = other is not pool and other.key.strategy != "manual"
        if before and is_other and not able.isdisjoint(other.roster.members):
            place += before
    return place


def _expected_s(floor: Floor, pool: Pool, track: Track, place: int) -> int | None:
    """The agents who are here give a place back every mean handling time, spread over all the places they have; so
    many have to come free. Nothing is said while nobody is here or too little is known."""
    handling = floor.office.handling.get(pool.key.teams[0] or "")
    if handling is None or handling.count < _LEAST_PAST or pool.key.strategy == "manual":
        return None
    if track.barred_agent_id is not None:
        return None
    places = 0
    for agent_id in pool.roster.members:
        standing = floor.standings.get(agent_id)
        if standing is not None and standing.status not in ("offline", "not_available"):
            places += floor.account.agents[agent_id].capacity
    if not places:
        return None
    return -(-place * handling.mean_ns // places // SECOND_NS)
