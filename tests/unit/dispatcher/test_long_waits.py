"""A visitor who writes on and on without an answer: what is kept stays small, and a restart changes none of it."""

from __future__ import annotations

from services.dispatcher.decide import State, World
from services.dispatcher.decide.due import SECOND_NS
from shared import codec
from shared.ids import Position
from shared.waits import MOST
from tests.support import desk
from tests.unit.dispatcher.simulation import Simulation


def _office() -> Simulation:
    simulation = Simulation()
    simulation.tell(desk.agent("ann"), desk.team("ann"), desk.inbox())
    simulation.tell(desk.policy(next_response_s=60, reassign_after_s=0))
    simulation.tell(desk.started("c"))
    return simulation


def _write(simulation: Simulation, count: int, *, apart_s: float = 1) -> list[Position]:
    found = []
    for _ in range(count):
        simulation.now_ns += int(apart_s * SECOND_NS)
        found.append(simulation.tell(desk.wrote("c")))
    return found


def test_a_restart_in_the_middle_of_a_long_wait_changes_nothing() -> None:
    """Wherever the process was restarted, and whatever was answered of it, the state is that of one that ran through."""
    simulation = _office()
    positions = _write(simulation, 200)
    simulation.tell(desk.answered("c", "ann", seen_up_to=positions[70]))
    _write(simulation, 100)
    whole = codec.pack(simulation.replayed().state)
    for cut in (100, 206, 240):
        world = World(
            codec.unpack(codec.pack(simulation.replayed(cut).state), State), simulation.settings
        )
        for position, at_ns, event in simulation.log[cut:]:
            world.evolve(event, position, at_ns)
        assert codec.pack(world.state) == whole
    track = simulation.track("c")
    assert len(track.times) <= MOST
    assert tuple(track.times) == track.conversation.unanswered


def test_the_list_of_an_older_snapshot_is_read_and_thinned() -> None:
    """A snapshot from before lists were thinned holds thousands of positions; it goes on from there, and is short with
    the next message."""
    simulation = _office()
    positions = _write(simulation, 1)
    track = simulation.track("c")
    track.conversation.unanswered = tuple(range(positions[0], positions[0] + 5_000))
    track.times = dict.fromkeys(track.conversation.unanswered, simulation.now_ns)
    old = codec.unpack(codec.pack(simulation.world.state), State)
    world = World(old, simulation.settings)
    world.evolve(desk.wrote("c"), positions[0] + 5_000, simulation.now_ns)
    (found,) = old.offices[desk.ACCOUNT].tracks.values()
    assert len(found.conversation.unanswered) <= MOST
    assert found.conversation.waiting_since == positions[0]
    assert tuple(found.times) == found.conversation.unanswered


def test_a_deadline_comes_no_later_for_a_thinned_wait() -> None:
    """Of three hundred messages a minute apart the first hundred are answered: the reminder for what is left counts
    from the first that was not, or a little before, never from a later one."""
    simulation = _office()
    positions = _write(simulation, 300, apart_s=60)
    simulation.settle()
    simulation.tell(desk.answered("c", "ann", seen_up_to=positions[99]))
    track = simulation.track("c")
    unseen_ns = next(at_ns for position, at_ns, _ in simulation.log if position == positions[100])
    assert positions[99] < track.since <= positions[100]
    assert 0 <= unseen_ns - track.since_ns <= 300 // 16 * 60 * SECOND_NS
