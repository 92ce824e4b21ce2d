"""The past under another policy: facts stay, decisions change, and what is compared was decided the same way."""

from __future__ import annotations

import msgspec

from cli.whatif.compare import compare
from cli.whatif.history import Course, Fact, Wait, begin, happened, play
from cli.whatif.plan import Plan
from shared.events import RoutingEvent
from tests.support import desk
from tests.unit.dispatcher.simulation import Simulation


def _staffed() -> Simulation:
    simulation = Simulation()
    simulation.tell(desk.agent("ann", capacity=9), desk.agent("bob", capacity=3))
    simulation.tell(desk.team("ann", "bob"), desk.inbox(), desk.policy(first_response_s=60))
    return simulation


def _day() -> list[Fact]:
    """Ann and Bob, ten conversations, each answered by whoever had it and resolved."""
    simulation = _staffed()
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
        now = play(begun, log[split:], desk.ACCOUNT, Plan())
        same = play(begun, log[split:], desk.ACCOUNT, Plan(changes={"first_response_s": 60}))
        found = compare(now, now, same)
        assert found.moved_count == 0
        assert found.now == found.other


def test_the_replay_gives_what_really_happened() -> None:
    """Under the policies of the log the owners are those of the log, where everybody acknowledges at once."""
    log = _day()
    begun = begin([], desk.ACCOUNT)
    played = play(begun, log, desk.ACCOUNT, Plan())
    assert len(played.waits) == 10
    assert (played.missed, played.unowned) == (0, 0)
    found = compare(happened(begun, log, desk.ACCOUNT), played, played)
    assert (found.agreed, found.reasons, found.deviations) == (10, {}, [])
    assert found.happened.given == found.now.given


def test_another_policy_shows_who_and_how_long() -> None:
    """A tighter deadline is missed ten times; a manual inbox waits for whoever answered."""
    log = _day()
    begun = begin(log[:8], desk.ACCOUNT)
    now = play(begun, log[8:], desk.ACCOUNT, Plan())
    tried = play(begun, log[8:], desk.ACCOUNT, Plan(changes={"first_response_s": 20}))
    tight = compare(now, now, tried)
    assert (tight.now.missed, tight.other.missed) == (0, 10)
    tried = play(begun, log[8:], desk.ACCOUNT, Plan(changes={"strategy": "manual"}))
    manual = compare(now, now, tried)
    assert manual.now.longest_s == 0
    assert round(manual.other.median_s) == 30
    assert manual.moved_count == 0


def test_what_nobody_acknowledged_is_said_to_differ() -> None:
    """Ann's phone was off: Bob got it in the end, the simulation gives it to Ann, and the report says why."""
    simulation = _staffed()
    simulation.tell(desk.online("ann"), desk.started("c"), desk.wrote("c"))
    simulation.settle()
    simulation.tell(desk.online("bob"))
    while simulation.owner("c") != desk.agent_id("bob"):
        simulation.wait(10)
    begun = begin([], desk.ACCOUNT)
    real = happened(begun, simulation.log, desk.ACCOUNT)
    now = play(begun, simulation.log, desk.ACCOUNT, Plan())
    found = compare(real, now, now)
    assert (found.happened.lapsed, found.now.lapsed) == (1, 0)
    assert (found.happened.given, found.now.given) == (
        {desk.agent_id("bob"): 1},
        {desk.agent_id("ann"): 1},
    )
    assert (found.agreed, found.reasons) == (0, {"lapsed": 1})
    (told,) = found.deviations
    assert told.waited_s is not None
    assert told.waited_s > 40
    assert told.simulated_waited_s == 0


def test_what_was_never_handed_out_is_said_to_differ() -> None:
    """The dispatcher was away: the visitor had nobody, and the simulation is not taken for the truth."""
    log = [fact for fact in _day() if not isinstance(fact[2], RoutingEvent)]
    begun = begin([], desk.ACCOUNT)
    now = play(begun, log, desk.ACCOUNT, Plan())
    found = compare(happened(begun, log, desk.ACCOUNT), now, now)
    assert found.happened.waits == 0
    assert found.reasons == {"not_given": 10}


def test_who_claims_late_and_who_is_passed_over_are_reasons() -> None:
    """What the log shows about a wait goes before what only follows from others."""
    agents = desk.agent_id("ann"), desk.agent_id("bob")
    given = [Wait(agent_id=agent_id, waited_ns=0) for agent_id in agents]
    by_hand = msgspec.structs.replace(given[1], is_by_hand=True)
    passing = msgspec.structs.replace(given[1], is_passing_over=True)
    late = msgspec.structs.replace(given[0], waited_ns=9 * 10**9)
    for real, reason in (
        (by_hand, "by_hand"),
        (passing, "unacknowledged"),
        (late, "later"),
        (given[1], "follows"),
    ):
        key = (desk.conversation_id("c"), 5)
        now = Course(waits={key: given[0]})
        assert compare(Course(waits={key: real}), now, now).reasons == {reason: 1}
        nobody = Course()
        only = "by_hand" if real is by_hand else "only_given"
        assert compare(Course(waits={key: real}), nobody, nobody).reasons == {only: 1}


def test_a_whole_document_is_tried() -> None:
    """With Bob alone in the team everything goes to him as far as he has room, whatever is saved on the way."""
    log = _day()
    today = begin(log, desk.ACCOUNT).account(desk.ACCOUNT)
    alone = msgspec.structs.replace(today.teams[desk.TEAM], members={desk.agent_id("bob"): 0})
    able = {
        agent_id: msgspec.structs.replace(agent, capacity=9)
        for agent_id, agent in today.agents.items()
    }
    whole = msgspec.structs.replace(today, teams={desk.TEAM: alone}, agents=able)
    begun = begin(log[:2], desk.ACCOUNT)
    now = play(begun, log[2:], desk.ACCOUNT, Plan())
    tried = play(begun, log[2:], desk.ACCOUNT, Plan(whole=whole))
    assert compare(now, now, tried).other.given == {desk.agent_id("bob"): 10}
