"""Wishes that cross, and configuration that is gone or leaves nobody: a defined result, on record, nothing lost."""

from __future__ import annotations

from shared.events import AssignmentRefused, ConversationAssigned, ConversationQueued
from shared.ids import TeamId
from shared.policy.document import FallbackTeam
from tests.support import desk
from tests.unit.dispatcher.simulation import Simulation, assigned, pair, queued


def _office(*names: str, capacity: int = 5) -> Simulation:
    simulation = Simulation()
    agents = [desk.agent(name, capacity=capacity) for name in names]
    simulation.tell(*agents, desk.team(*names), desk.inbox(), desk.policy())
    return simulation


def test_of_two_supervisors_at_once_the_first_wins() -> None:
    """The second did not know of the first's wish and is refused on record; who had seen the move may move it again."""
    simulation = _office("ann", "bob")
    simulation.tell(desk.online("ann"), desk.online("bob"), desk.started("c"))
    seen = simulation.tell(desk.wrote("c"))
    simulation.tell(desk.hand_over("c", by="first", to="ann", seen_up_to=seen))
    second = simulation.tell(desk.hand_over("c", by="second", to="bob", seen_up_to=seen))
    granted, refused = simulation.settle()
    assert assigned([granted]) == [pair("c", "ann")]
    assert isinstance(refused, AssignmentRefused)
    assert (refused.request, refused.code) == (second, "already_assigned")
    simulation.tell(desk.hand_over("c", by="second", to="bob", seen_up_to=simulation.position))
    assert assigned(simulation.settle()) == [pair("c", "bob")]


def test_a_claim_on_what_was_just_assigned_is_refused() -> None:
    """By a supervisor or from the queue: the owner stays, and the record names the claim."""
    simulation = _office("ann", "bob")
    simulation.tell(desk.started("c"), desk.wrote("c"), desk.hand_over("c", by="boss", to="ann"))
    claim = simulation.tell(desk.claim("c", "bob"))
    granted, refused = simulation.settle()
    assert assigned([granted]) == [pair("c", "ann")]
    assert isinstance(refused, AssignmentRefused)
    assert (refused.request, refused.code) == (claim, "already_assigned")
    assert simulation.owner("c") == desk.agent_id("ann")


def test_what_a_removed_agent_held_keeps_its_place() -> None:
    """It goes out before what came later, although it was with somebody meanwhile."""
    simulation = _office("ann", "bob", capacity=1)
    simulation.tell(desk.online("ann"))
    for name in ("first", "second"):
        simulation.tell(desk.started(name), desk.wrote(name))
    assert assigned(simulation.settle()) == [pair("first", "ann")]
    simulation.tell(desk.removed("ann"))
    assert queued(simulation.settle()) == [(desk.conversation_id("first"), "agent_removed")]
    simulation.tell(desk.online("bob"))
    assert assigned(simulation.settle()) == [pair("first", "bob")]


def test_nobody_is_given_more_than_nothing() -> None:
    """An agent with capacity 0 is handed nothing, the record says why, and may still claim."""
    simulation = _office("ann", capacity=0)
    simulation.tell(desk.online("ann"), desk.started("c"), desk.wrote("c"))
    (waits,) = simulation.settle()
    assert isinstance(waits, ConversationQueued)
    assert waits.why.excluded == {"at_capacity": 1}
    simulation.tell(desk.claim("c", "ann"))
    assert assigned(simulation.settle()) == [pair("c", "ann")]


def test_a_team_without_members_waits_on_record() -> None:
    """Nobody else is asked unless the policy says so, and the deadline still runs."""
    simulation = Simulation()
    empty = TeamId(desk.identifier("empty"))
    simulation.tell(
        desk.agent("ann"),
        desk.team("ann"),
        desk.team(team_id=empty),
        desk.inbox(team_id=empty),
        desk.policy(
            first_response_s=300, fallback_teams=(FallbackTeam(team_id=desk.TEAM, after_s=600),)
        ),
        desk.online("ann"),
        desk.started("c"),
        desk.wrote("c"),
    )
    (waits,) = simulation.settle()
    assert isinstance(waits, ConversationQueued)
    assert (waits.team_id, waits.why.excluded) == (empty, {"not_in_team": 1})
    assert [type(e).__name__ for e in simulation.wait(301)] == ["DeadlineMissed"]
    decided = simulation.wait(300)
    assert queued(decided) == [(desk.conversation_id("c"), "fallback")]
    assert assigned(decided) == [pair("c", "ann")]


def test_the_queue_of_a_removed_team_moves_to_the_inbox_s() -> None:
    """What was sent to a team that is gone waits where it would have waited without the wish, in its old place."""
    simulation = _office("ann", capacity=1)
    night = TeamId(desk.identifier("night"))
    simulation.tell(desk.team(team_id=night))
    for name in ("first", "second"):
        simulation.tell(desk.started(name), desk.wrote(name))
    simulation.tell(desk.hand_over("first", by="boss", to_team=night))
    simulation.settle()
    simulation.tell(desk.team_removed(night))
    (moved,) = simulation.settle()
    assert isinstance(moved, ConversationQueued)
    assert (moved.team_id, moved.why.trigger) == (desk.TEAM, "team_removed")
    simulation.tell(desk.online("ann"))
    assert assigned(simulation.settle()) == [pair("first", "ann")]


def test_without_its_policy_an_inbox_is_ruled_by_the_defaults() -> None:
    """The deadline of a removed policy is gone, and the next decision names version 0: the defaults."""
    simulation = Simulation()
    simulation.tell(
        desk.agent("ann"), desk.team("ann"), desk.inbox(), desk.policy(first_response_s=300)
    )
    simulation.tell(desk.started("c"), desk.wrote("c"))
    (waits,) = simulation.settle()
    assert isinstance(waits, ConversationQueued)
    assert waits.why.policy_version == 4
    simulation.tell(desk.policy_removed())
    assert simulation.wait(600) == []
    simulation.tell(desk.online("ann"))
    (given,) = simulation.settle()
    assert isinstance(given, ConversationAssigned)
    assert given.why.policy_version == 0
