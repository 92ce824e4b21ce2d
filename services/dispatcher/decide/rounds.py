"""One round of decisions over all accounts that have something to decide, each with a fair share."""

from __future__ import annotations

from collections.abc import Collection
from heapq import heapify, heappop

from services.dispatcher.decide.affairs import decide_about
from services.dispatcher.decide.assignment import hand_out, record_waiting
from services.dispatcher.decide.settings import Evidence
from services.dispatcher.decide.sheet import Moment, Sheet
from services.dispatcher.decide.world import World
from shared.events import RoutingEvent
from shared.ids import AccountId, Position

_LEAST_SHARE = 20


def decide(
    world: World,
    now_ns: int,
    *,
    evidence: Evidence,
    writer: str,
    flying: Collection[RoutingEvent] = (),
) -> list[RoutingEvent]:
    """What to append now: at most `round_events`, nothing when there is nothing to decide.

    Looks only at folded state, so asked twice it says the same, and so does another process that folded the same.
    `flying`: own decisions on their way to the log that are not folded yet, in their order; they count as reserved,
    and nothing is decided about their conversations.
    """
    world.ring(now_ns)
    limit = world.settings.round_events
    moment = Moment(writer=writer, now_ns=now_ns, evidence=evidence, position=world.state.position)
    carried = _by_account(flying, world.state.position)
    events: list[RoutingEvent] = []
    order = _in_turn(sorted(world.unsettled), world.state.turn)
    share = max(_LEAST_SHARE, limit // max(1, len(order)))
    for account_id in order:
        if len(events) >= limit:
            break
        if account_id in world.behind:
            continue
        sheet = Sheet(
            world.floor(account_id),
            moment,
            min(share, limit - len(events)),
            ahead=len(flying) + len(events),
            flying=carried.get(account_id, ()),
        )
        is_done = _fill(world, account_id, sheet)
        events += sheet.events
        if is_done and not sheet.events and not flying:
            world.settle(account_id)
    return events


def _by_account(
    flying: Collection[RoutingEvent], position: Position
) -> dict[AccountId, list[tuple[Position, RoutingEvent]]]:
    """What flies, with the positions where it will lie if nobody else appends meanwhile."""
    found: dict[AccountId, list[tuple[Position, RoutingEvent]]] = {}
    for number, event in enumerate(flying, start=position + 1):
        found.setdefault(event.account_id, []).append((number, event))
    return found


def _fill(world: World, account_id: AccountId, sheet: Sheet) -> bool:
    """Draft an account's events. False: there may be more than the share allows, or something is due but unclear."""
    floor = sheet.floor
    floor.age(sheet.moment.now_ns)
    ready = list(floor.ready)
    heapify(ready)
    while ready:
        if sheet.is_full:
            return False
        conversation_id = heappop(ready)
        if conversation_id in sheet.handled:
            continue
        track = floor.office.tracks[conversation_id]
        drafted = len(sheet.events)
        decide_about(sheet, track)
        if len(sheet.events) == drafted:
            world.schedule(account_id, track, sheet.moment.now_ns)
    return hand_out(sheet) and record_waiting(sheet) and not floor.ready


def _in_turn(accounts: list[AccountId], last: AccountId) -> list[AccountId]:
    """The accounts in order, beginning after the one that was decided about last."""
    following = [a for a in accounts if a > last]
    return following + accounts[: len(accounts) - len(following)]
