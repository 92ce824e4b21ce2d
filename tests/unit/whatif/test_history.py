"""The past under another policy: facts stay, decisions change, and what is compared was decided the same way."""

from __future__ import annotations

from cli.whatif.compare import compare
from cli.whatif.history import Fact, begin, play
from tests.support import desk
from tests.unit.dispatcher.simulation import Simulation


def _day() -> list[Fact]:
    """Ann and Bob, ten conversations, each answered by whoever had it and resolved."""
    simulation = Simulation()
    simulation.tell(desk.agent("ann", capacity=9), desk.agent("bob", capacity=3))
    simulation.tell(desk.team("ann", "bob"), desk.inbox(), desk.policy(first_response_s=60))
    simulation.tell(desk.online("ann"), desk.online("bob"))
    names = {desk.agent_id(name): name for name in ("ann", "bob")}
    for number in range(10):
        name = f"c{number}"
        simulation.tell(desk.started(name), desk.wrote(name))
        simulation.settle()
        owner = names[simulation.owner(name) or desk.agent_id("ann")]
        simulation.tell(desk.received(owner, simulation.position))
        simulation.wait(30)
        seen = simulation.position
        simulation.tell(desk.answered(name, owner, seen_up_to=seen))
        simulation.wait(5)
        if number % 2:
            simulation.tell(desk.resolved(name, owner, seen_up_to=simulation.position))
    return simulation.log


def test_the_same_policy_makes_no_difference() -> None:
    """Whatever the split between what was and what is tried."""
    log = _day()
    for split in (0, 8, 30):
        begun = begin(log[:split], desk.ACCOUNT)
        now = play(begun, log[split:], desk.ACCOUNT, {})
        same = play(begun, log[split:], desk.ACCOUNT, {"first_response_s": 60})
        assert compare(now, same).moved_count == 0
        assert compare(now, same).now == compare(now, same).other


def test_the_replay_gives_what_really_happened() -> None:
    """Under the policies of the log the owners are those of the log."""
    log = _day()
    played = play(begin([], desk.ACCOUNT), log, desk.ACCOUNT, {})
    assert len(played.waits) == 10
    assert (played.missed, played.unowned) == (0, 0)


def test_another_policy_shows_who_and_how_long() -> None:
    """A tighter deadline is missed ten times; a manual inbox waits for whoever answered."""
    log = _day()
    begun = begin(log[:8], desk.ACCOUNT)
    now = play(begun, log[8:], desk.ACCOUNT, {})
    tight = compare(now, play(begun, log[8:], desk.ACCOUNT, {"first_response_s": 20}))
    assert (tight.now.missed, tight.other.missed) == (0, 10)
    manual = compare(now, play(begun, log[8:], desk.ACCOUNT, {"strategy": "manual"}))
    assert manual.now.longest_s == 0
    assert round(manual.other.median_s) == 30
    assert manual.moved_count == 0
