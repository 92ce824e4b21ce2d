"""Why: how a conversation stands now, and a decision of the past made again at the state it was made on. Pure; the
same rosters, scores and bars as the decision itself, checked against what was recorded."""

from __future__ import annotations

from collections.abc import Sequence

from services.dispatcher.decide.archive import find, previous_agent
from services.dispatcher.decide.estimate import place_of
from services.dispatcher.decide.settings import Evidence
from services.dispatcher.decide.sheet import Moment, Sheet
from services.dispatcher.decide.state import Track, asked_teams, team_of
from services.dispatcher.decide.upcoming import upcoming
from services.dispatcher.decide.verdicts import agree, verdicts
from services.dispatcher.decide.world import World
from shared.events import ConversationAssigned, ConversationQueued, RoutingEvent
from shared.explaining import Need, Recalled, Standing
from shared.ids import AccountId, AgentId, ConversationId, Position


def explain(
    world: World, account_id: AccountId, conversation_id: ConversationId, *, now_ns: int
) -> Standing:
    """How the conversation stands at the log's end."""
    position = world.state.position
    office = world.state.offices.get(account_id)
    track = find(office, account_id, conversation_id) if office is not None else None
    if track is None:
        return Standing(position=position, now_ns=now_ns)
    sheet = _sheet(world, account_id, now_ns, position=position)
    floor = sheet.floor
    policy, version = floor.account.policy_of(track.conversation.inbox_id)
    return Standing(
        position=position,
        now_ns=now_ns,
        state=track.conversation.status,
        is_waiting=track.is_waiting,
        team_id=team_of(floor.account, track),
        policy_id=policy.policy_id if version else None,
        policy_version=version,
        strategy=policy.strategy,
        place=place_of(floor, track) if track.is_waiting else 0,
        kept_for=_kept_for(sheet, track),
        needs=_needs(sheet, track),
        verdicts=verdicts(sheet, track) if track.is_waiting else (),
        nexts=upcoming(sheet, track),
    )


def recall(
    world: World,
    event: ConversationAssigned | ConversationQueued,
    before: Sequence[RoutingEvent],
    *,
    now_ns: int,
) -> Recalled:
    """The decision `event` again. `world` is folded to its `state_position`, `before` are the decisions of the same
    round that stand before it, `now_ns` is what it was judged by."""
    office = world.state.offices.get(event.account_id)
    track = office.tracks.get(event.conversation_id) if office is not None else None
    is_pick = not isinstance(event, ConversationAssigned) or event.why.winner is not None
    if track is None or not track.is_waiting or not is_pick:
        return Recalled(outcome="no_choice", event=event)
    # Not the last event folded: what lay there may have been another account's, and places drafted count from there.
    sheet = _sheet(world, event.account_id, now_ns, position=event.why.state_position)
    for earlier in before:
        sheet.repeat(earlier)
    found = verdicts(sheet, track)
    if not agree(found, event.why):
        return Recalled(outcome="differs", event=event)
    return Recalled(
        outcome="exact",
        event=event,
        kept_for=_kept_for(sheet, track),
        needs=_needs(sheet, track),
        verdicts=found,
    )


def _sheet(world: World, account_id: AccountId, now_ns: int, *, position: Position) -> Sheet:
    floor = world.floor(account_id)
    floor.age(now_ns)
    moment = Moment(writer="", now_ns=now_ns, evidence=Evidence(), position=position)
    return Sheet(floor, moment, world.settings.round_events)


def _kept_for(sheet: Sheet, track: Track) -> AgentId | None:
    if not track.is_waiting or not sheet.is_kept(track, barred=sheet.barred(track)):
        return None
    return previous_agent(sheet.floor.office, sheet.floor.office.contact_of(track))


def _needs(sheet: Sheet, track: Track) -> tuple[Need, ...]:
    floor = sheet.floor
    return tuple(floor.supply.needs(track, asked_teams(floor.account, track)))
