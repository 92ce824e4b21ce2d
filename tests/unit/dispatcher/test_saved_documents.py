"""Given a desk at work, when documents are saved, then what is derived is as if it were made anew."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import pytest

from services.dispatcher.decide import Settings, State, World, decide, spread
from services.dispatcher.decide.demand import Turn
from services.dispatcher.decide.floor import Floor
from shared import codec
from shared.events import (
    AccountEvent,
    ConversationAssigned,
    Event,
    RoutingEvent,
    RoutingPart,
    RoutingSaved,
)
from shared.ids import AccountId, TeamId
from shared.policy.document import FallbackTeam
from simulate.engine import Engine
from simulate.life import Life
from simulate.log import Entry
from tests.support import desk
from tests.unit.dispatcher.simulation import Simulation

_EVENTS = 700


@cache
def _log(seed: int) -> list[Entry]:
    """What happens in the first days of a simulated week, with configuration that changes every hour."""
    life = Life(seed, 2_000)
    engine = Engine(life.start_ns, life.settings)
    while engine.log.end < _EVENTS:
        life.observe(engine)
        if engine.run_to(life.due_ns):
            for happening in life.take(engine):
                engine.apply(happening)
    return engine.log.entries


def _shape(floor: Floor, now_ns: int) -> dict[str, Any]:
    floor.age(now_ns)
    pools = {}
    for key, pool in floor.pools.items():
        lines = [[line.at(n) for n in range(len(line))] for line in pool.lines]
        if any(lines):
            best = pool.roster.best(len(pool.roster.members))
            counts = {rule: n for rule, n in pool.roster.counts.items() if n}
            pools[key] = (lines, best, counts, pool.roster.members)
    return {
        "pools": pools,
        "standings": floor.standings,
        "holdings": {
            agent_id: (set(h.owned), h.held, h.unacknowledged)
            for agent_id, h in floor.holdings.items()
            if h.owned
        },
        "fresh": [floor.fresh.at(n) for n in range(len(floor.fresh))],
    }


@pytest.mark.parametrize("seed", [3, 8, 21, 34])
def test_what_is_kept_in_step_is_as_if_made_anew(seed: int) -> None:
    """After each save, and every few events, lines, rosters, counts, holdings and what falls due are those of a floor
    that is made from the state alone."""
    entries = _log(seed)
    world = World(State(), Life(seed, 2_000).settings)
    kept = 0
    for entry in entries:
        account_id: AccountId = getattr(entry.event, "account_id", AccountId(""))
        before = world._floors.get(account_id)
        world.evolve(entry.event, entry.position, entry.at_ns)
        is_saved = isinstance(entry.event, AccountEvent)
        if not account_id or not (is_saved or entry.position % 7 == 0):
            continue
        floor = world.floor(account_id)
        kept += is_saved and floor is before
        fresh = World(world.state, world.settings).floor(account_id)
        assert _shape(floor, entry.at_ns) == _shape(fresh, entry.at_ns)
        # What is due by now is looked at again before the next decision.
        due = {name for name, at_ns in floor.agenda.items() if at_ns <= entry.at_ns}
        due |= floor.ready.keys()
        assert fresh.ready.keys() <= due
        mine, other = (
            {name: at_ns for name, at_ns in each.agenda.items() if name not in due}
            for each in (floor, fresh)
        )
        assert mine == other
    assert kept, "every save made everything again"


_SECOND = TeamId(desk.identifier("second team"))
_FALLBACK = (FallbackTeam(team_id=_SECOND, after_s=60),)
_SAVED: dict[str, Event] = {
    "rules": desk.policy(first_response_s=60, ageing_s=30),
    "new team": desk.team("bob", team_id=_SECOND),
    "team removed": desk.team_removed(desk.TEAM),
    "language": desk.agent("ann", skills={"lang:zh": 3}),
    "whole document": RoutingSaved(
        account_id=desk.ACCOUNT,
        writer="test",
        parts=cast(
            "tuple[RoutingPart, ...]",
            (
                desk.agent("bob", skills={"lang:zh": 2}),
                desk.team("bob", team_id=_SECOND),
                desk.policy(first_response_s=60, ageing_s=30, fallback_teams=_FALLBACK),
                desk.team_removed(desk.TEAM),
            ),
        ),
    ),
    "channel": desk.agent("ann", channels={"web": 1, "chat": 1, "widget": 1}),
}


@pytest.mark.parametrize("name", _SAVED)
def test_looking_at_little_at_once_decides_the_same(name: str) -> None:
    """A document that concerns many conversations is taken in by shares: until all are looked at nothing is decided,
    then what would have been decided at once, also when something happens in between."""
    whole, shares = _desk(0, _SAVED[name]), _desk(2, _SAVED[name])
    assert shares.round() == []
    assert shares.round() == []
    assert shares.world.behind
    for simulation in (whole, shares):
        simulation.tell(desk.started("late", language="zh"), desk.wrote("late"))
    while not (found := shares.round()):
        assert shares.world.behind
    assert [_told(event) for event in found] == [_told(event) for event in whole.round()]
    floors = [each.world.floor(desk.ACCOUNT) for each in (whole, shares)]
    assert _shape(floors[0], whole.now_ns) == _shape(floors[1], shares.now_ns)
    for floor in floors:
        asked = {team_id for key in floor.pools for team_id in key.teams if team_id is not None}
        assert asked <= floor.account.teams.keys(), "a pool of a team that is gone is kept"


def test_a_team_concerns_whatever_was_ever_sent_to_it() -> None:
    """A saved team is looked up for a conversation that is with it, was wished to it, or fell back on it."""
    simulation = Simulation()
    simulation.tell(desk.agent("ann"), desk.team("ann"), desk.inbox(), desk.started("c"))
    (track,) = simulation.world.floor(desk.ACCOUNT).office.tracks.values()
    turn = Turn(teams={_SECOND})
    assert not turn.concerns(track)
    track.fallen_to = (desk.TEAM, _SECOND)
    assert turn.concerns(track)
    track.fallen_to = ()
    track.wanted_team_id = _SECOND
    assert turn.concerns(track)
    track.wanted_team_id = None
    track.conversation.team_id = _SECOND
    assert turn.concerns(track)


def test_who_saves_all_the_time_holds_nothing_up() -> None:
    """A policy of everything that waits is saved before every round, so that no share of the work is ever the last of
    it: decisions are made all the same, by the newest."""
    simulation = _desk(1, desk.policy(first_response_s=60))
    saved, found = 0, simulation.round()
    for number in range(12):
        if found:
            break
        saved = simulation.append(desk.policy(first_response_s=100 + number))
        found = simulation.round()
    given = [event for event in found if isinstance(event, ConversationAssigned)]
    assert given
    assert all(event.why.policy_version == saved for event in given)


def test_who_starts_looks_at_little_at_once() -> None:
    """A process that loads a snapshot with much that waits makes its queues by shares, then decides as one that was
    there all the time; an account that is idle is made as well, and not over and over."""
    simulation = _desk(0, desk.policy(first_response_s=60))
    state = codec.unpack(codec.pack(simulation.world.state), State)
    settings = Settings(placed_at_once=2)
    restarted = World(state, settings)
    for _ in range(5):
        assert not decide(restarted, simulation.now_ns, evidence=simulation.evidence, writer="test")
        assert restarted.behind
    found = decide(restarted, simulation.now_ns, evidence=simulation.evidence, writer="test")
    assert [_told(event) for event in found] == [_told(event) for event in simulation.round()]
    idle = World(codec.unpack(codec.pack(simulation.world.state), State), settings)
    idle.settle(desk.ACCOUNT)
    spread(idle)
    for _ in range(9):
        idle.ring(simulation.now_ns)
    assert not idle.behind


def _desk(placed_at_once: int, saved: Event) -> Simulation:
    """Nine wait, somebody comes, and a document is saved."""
    simulation = Simulation(Settings(placed_at_once=placed_at_once))
    simulation.tell(desk.agent("ann"), desk.agent("bob"), desk.team("ann"), desk.inbox())
    simulation.tell(desk.policy(language_skills=True, fallback_teams=_FALLBACK))
    for number in range(9):
        simulation.tell(desk.started(f"c{number}", language="zh"), desk.wrote(f"c{number}"))
    simulation.settle()
    simulation.tell(desk.online("ann"), saved)
    return simulation


def _told(event: RoutingEvent) -> tuple[str, str, str]:
    agent_id = event.agent_id if isinstance(event, ConversationAssigned) else ""
    return type(event).__name__, event.conversation_id, str(agent_id)
