"""How evenly the work lies, told without a name."""

from __future__ import annotations

from services.dispatcher.decide import Settings, spread
from shared.ids import TeamId
from tests.support import desk
from tests.unit.dispatcher.simulation import Simulation


def test_the_spread_is_that_of_available_agents() -> None:
    """One of two holds half of what they can: 0.5; a team of one says nothing; who is away does not count."""
    simulation = Simulation(Settings(burst=9))
    simulation.tell(desk.agent("ann", capacity=4), desk.agent("bob", capacity=4))
    simulation.tell(desk.team("ann", "bob"), desk.inbox(), desk.policy())
    simulation.tell(desk.team("ann", team_id=TeamId(desk.identifier("alone"))))
    simulation.tell(desk.online("ann"))
    for name in ("a", "b"):
        simulation.tell(desk.started(name), desk.wrote(name))
    simulation.settle()
    assert spread(simulation.world).teams == 0
    simulation.tell(desk.online("bob"))
    found = spread(simulation.world)
    assert (found.largest, found.mean, found.teams) == (0.5, 0.5, 1)
