"""What agents have is what the decisions count."""

from __future__ import annotations

from services.dispatcher.decide import loads
from services.dispatcher.decide.settings import Settings
from shared.commands import AgentLoad
from tests.support import desk
from tests.unit.dispatcher.simulation import Simulation


def test_loads_are_what_decisions_count() -> None:
    """Put away fills no capacity and is theirs all the same; who is full, away or unheard of is said so; who is offline
    and has nothing is left out."""
    simulation = Simulation(Settings(burst=3))
    names = ("ann", "bob", "cid", "dan")
    simulation.tell(*(desk.agent(name, capacity=2) for name in names))
    simulation.tell(desk.team("ann", "bob", "cid"), desk.inbox(), desk.policy())
    for name in "abc":
        simulation.tell(desk.started(name), desk.wrote(name))
    simulation.tell(desk.online("ann"), desk.online("cid"), desk.availability("cid", "away"))
    simulation.settle()
    first = simulation.tell(desk.online("bob"))
    simulation.settle()
    at = simulation.position
    simulation.tell(desk.received("ann", at))
    simulation.tell(desk.snoozed("a", "ann", seen_up_to=at, until_ns=2**62))
    told = loads(simulation.world, desk.ACCOUNT)
    assert told.position == simulation.position > first
    ann, bob, cid = told.agents
    assert ann == AgentLoad(
        agent_id=desk.agent_id("ann"),
        occupation="free",
        held=1,
        owned=2,
        channels={"web": 1},
        window=ann.window,
    )
    assert (bob.held, bob.unacknowledged, bob.occupation) == (1, 1, "free")
    assert (cid.agent_id, cid.occupation, cid.held) == (desk.agent_id("cid"), "not_available", 0)
    assert loads(simulation.world, desk.ACCOUNT, desk.agent_id("bob")).agents == (bob,)
    assert loads(simulation.world, desk.ACCOUNT, desk.agent_id("dan")).agents == ()
