"""Given a desk at work, when documents are saved, then what is derived is as if it were made anew."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from services.dispatcher.decide import State, World
from services.dispatcher.decide.floor import Floor
from shared.events import AccountEvent
from shared.ids import AccountId
from simulate.engine import Engine
from simulate.life import Life
from simulate.log import Entry

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
        fresh = Floor(
            world.state.offices[account_id],
            world.state.account(account_id),
            world.settings,
            entry.at_ns,
        )
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
