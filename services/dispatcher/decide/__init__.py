"""The decisions of the dispatcher, pure: `World.evolve` folds events, `decide` says what to append next.

`state` is what is folded and kept in snapshots, `world` folds it and keeps `index` beside it (queues, rosters,
agenda; derived, rebuilt at will), `affairs` decides about single conversations, `assignment` hands out the queues.
"""

from __future__ import annotations

from services.dispatcher.decide.estimate import estimate
from services.dispatcher.decide.explain import explain
from services.dispatcher.decide.fairness import paces, spread
from services.dispatcher.decide.fold import UNTOUCHED, Touched
from services.dispatcher.decide.invariants import faults
from services.dispatcher.decide.loads import loads
from services.dispatcher.decide.past import Past
from services.dispatcher.decide.rounds import decide
from services.dispatcher.decide.settings import Evidence, Settings
from services.dispatcher.decide.state import VERSION, State
from services.dispatcher.decide.world import World

__all__ = [
    "UNTOUCHED",
    "VERSION",
    "Evidence",
    "Past",
    "Settings",
    "State",
    "Touched",
    "World",
    "decide",
    "estimate",
    "explain",
    "faults",
    "loads",
    "paces",
    "spread",
]
