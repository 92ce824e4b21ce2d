"""Who of several candidates is asked: levels, priority in the team, load as a share; and what wakes by itself."""

from __future__ import annotations

from services.dispatcher.decide import Settings
from shared import events
from shared.events import ConversationAssigned, Event
from shared.policy.document import SkillRule
from tests.support import desk
from tests.unit.dispatcher.simulation import SECOND_NS, Simulation, assigned, pair, queued


def _office(*agents: Event, **policy: object) -> Simulation:
    simulation = Simulation(Settings(burst=99))
    simulation.tell(*agents, desk.inbox(), desk.policy(desk.POLICY, **policy))
    return simulation


def _write(simulation: Simulation, *names: str) -> None:
    for name in names:
        simulation.tell(desk.started(name), desk.wrote(name))


def test_the_higher_level_is_asked_first() -> None:
    """Of two who have the skill the better one, while there is room; the other one after that; never one below the
    level that is asked for."""
    simulation = _office(
        desk.agent("ann", skills={"tax": 3}),
        desk.agent("bob", skills={"tax": 5}, capacity=1),
        desk.agent("cai", skills={"tax": 1}),
        desk.team("ann", "bob", "cai"),
        skill_rules=(SkillRule(skill="tax", level=2, channel="web"),),
        prefer_previous_agent=False,
    )
    simulation.tell(*(desk.online(name) for name in ("ann", "bob", "cai")))
    _write(simulation, "first", "second")
    assert assigned(simulation.settle()) == [pair("first", "bob"), pair("second", "ann")]


def test_priority_in_the_team_goes_before_load() -> None:
    """The second row is asked only when the first has no room."""
    simulation = _office(
        desk.agent("ann", capacity=2),
        desk.agent("bob"),
        desk.team("ann", "bob", priorities={"ann": 0, "bob": 1}),
        prefer_previous_agent=False,
    )
    simulation.tell(desk.online("ann"), desk.online("bob"))
    _write(simulation, "a", "b", "c")
    assert [agent for _, agent in assigned(simulation.settle())] == [
        desk.agent_id("ann"),
        desk.agent_id("ann"),
        desk.agent_id("bob"),
    ]


def test_load_is_a_share_of_capacity() -> None:
    """One of two weighs more than three of ten: the bigger one gets four of five."""
    simulation = _office(
        desk.agent("small", capacity=2),
        desk.agent("big", capacity=10),
        desk.team("small", "big"),
        prefer_previous_agent=False,
    )
    simulation.tell(desk.online("small"), desk.online("big"))
    _write(simulation, "a", "b", "c", "d", "e")
    holders = [agent for _, agent in assigned(simulation.settle())]
    assert holders.count(desk.agent_id("big")) == 4


def test_a_label_that_is_taken_away_widens_the_circle() -> None:
    """While it waits, in both directions and at once."""
    rule = SkillRule(skill="tax", label="vip")
    simulation = _office(
        desk.agent("ann"),
        desk.agent("bob", skills={"tax": 1}),
        desk.team("ann", "bob"),
        skill_rules=(rule,),
    )
    simulation.tell(desk.online("ann"))
    simulation.tell(desk.started("c"), desk.labelled("c", "vip"), desk.wrote("c"))
    assert assigned(simulation.settle()) == []
    simulation.tell(
        events.LabelsChanged(
            account_id=desk.ACCOUNT,
            conversation_id=desk.conversation_id("c"),
            by=desk.visitor("c"),
            removed=("vip",),
        )
    )
    assert assigned(simulation.settle()) == [pair("c", "ann")]


def test_a_condition_counts_from_the_moment_it_is_judged() -> None:
    """The name of a condition that is met asks for the skill; judged again without it, it asks no more. Unknown names
    mean nothing."""
    simulation = _office(
        desk.agent("ann"),
        desk.agent("bob", skills={"tax": 1}),
        desk.team("ann", "bob"),
        skill_rules=(SkillRule(skill="tax", condition="gold"),),
    )
    _write(simulation, "c", "other")
    simulation.tell(desk.judged("c", "gold", "forgotten"), desk.judged("other", "forgotten"))
    simulation.tell(desk.online("ann"))
    assert assigned(simulation.settle()) == [pair("other", "ann")]
    simulation.tell(desk.judged("c"))
    assert assigned(simulation.settle()) == [pair("c", "ann")]


def test_the_next_response_has_a_deadline_of_its_own() -> None:
    """After an answer the next wait is measured by it, told once."""
    simulation = _office(
        desk.agent("ann"), desk.team("ann"), first_response_s=600, next_response_s=60
    )
    simulation.tell(desk.online("ann"))
    _write(simulation, "c")
    simulation.settle()
    seen = simulation.position
    simulation.tell(desk.received("ann", seen), desk.answered("c", "ann", seen_up_to=seen))
    simulation.tell(desk.wrote("c"))
    simulation.settle()
    (missed,) = simulation.wait(61)
    assert isinstance(missed, events.DeadlineMissed)
    assert (missed.deadline, missed.agent_id) == ("next_response", desk.agent_id("ann"))
    assert simulation.wait(30) == []


def test_what_was_put_away_without_an_owner_wakes_into_the_queue() -> None:
    """At its time, and goes to whoever is there; a restart while it sleeps changes nothing."""
    simulation = _office(desk.agent("ann"), desk.team("ann"))
    _write(simulation, "c")
    simulation.settle()
    until_ns = simulation.now_ns + 3600 * SECOND_NS
    simulation.tell(
        desk.snoozed("c", "ann", seen_up_to=simulation.position, until_ns=until_ns),
        desk.online("ann"),
    )
    assert simulation.settle() == []
    simulation.world = simulation.replayed()
    assert simulation.wait(3590) == []
    decided = simulation.wait(20)
    assert queued(decided) == [(desk.conversation_id("c"), "reopened")]
    given = [event for event in decided if isinstance(event, ConversationAssigned)]
    assert [event.agent_id for event in given] == [desk.agent_id("ann")]
