"""Given a policy, when conversations wait, then this one goes to that agent, and the record says why."""

from __future__ import annotations

from datetime import datetime

import pytest

from services.dispatcher.decide import Settings
from shared import codec, events
from shared.events import ConversationAssigned, ConversationQueued
from shared.ids import TeamId
from shared.policy.document import DAYS, FallbackTeam, Hours, Interval, SkillRule
from tests.support import desk
from tests.unit.dispatcher.simulation import SECOND_NS, Simulation, assigned, pair, queued

NIGHT_TEAM = TeamId(desk.identifier("night team"))


def _office(*names: str, capacity: int = 5, burst: int = 9, **policy: object) -> Simulation:
    simulation = Simulation(Settings(burst=burst))
    agents = [desk.agent(name, capacity=capacity) for name in names]
    simulation.tell(*agents, desk.team(*names), desk.inbox(), desk.policy(desk.POLICY, **policy))
    return simulation


def _write(simulation: Simulation, *names: str) -> None:
    for name in names:
        simulation.tell(desk.started(name), desk.wrote(name))


def _kinds(decided: list[events.RoutingEvent]) -> list[str]:
    return [
        f"{type(e).__name__} {e.deadline}"
        if isinstance(e, events.DeadlineMissed | events.Escalated)
        else type(e).__name__
        for e in decided
    ]


def test_a_rule_asks_for_a_skill_and_a_label_makes_it_apply() -> None:
    """A label given while it waits moves the conversation to those who have the skill at the level."""
    simulation = _office("ann", skill_rules=(SkillRule(skill="tax", level=3, label="vip"),))
    simulation.tell(desk.agent("bob", skills={"tax": 3}), desk.team("ann", "bob"))
    _write(simulation, "c", "plain")
    simulation.settle()
    simulation.tell(desk.labelled("c", "vip"), desk.online("ann"))
    assert assigned(simulation.settle()) == [pair("plain", "ann")]
    simulation.tell(desk.online("bob"))
    decided = simulation.settle()
    assert assigned(decided) == [pair("c", "bob")]
    assert isinstance(decided[0], ConversationAssigned)
    assert decided[0].why.excluded["missing_skill"] == 1


def test_what_is_low_rises_while_it_waits() -> None:
    """With ageing a low one that has waited three steps goes out before an urgent one that has just come."""
    simulation = _office("ann", capacity=1, ageing_s=60)
    simulation.tell(desk.started("low", priority="low"), desk.wrote("low"))
    simulation.wait(120)
    simulation.tell(desk.started("high", priority="high"), desk.wrote("high"))
    simulation.settle()
    assert simulation.wait(61) == []
    simulation.tell(desk.started("urgent", priority="urgent"), desk.wrote("urgent"))
    simulation.settle()
    simulation.tell(desk.online("ann"))
    assert assigned(simulation.settle()) == [pair("low", "ann")]


def test_without_ageing_priority_stays() -> None:
    """However long the low one has waited."""
    simulation = _office("ann", capacity=1)
    simulation.tell(desk.started("low", priority="low"), desk.wrote("low"))
    simulation.wait(86_400)
    simulation.tell(desk.started("urgent", priority="urgent"), desk.wrote("urgent"))
    simulation.settle()
    simulation.tell(desk.online("ann"))
    assert assigned(simulation.settle()) == [pair("urgent", "ann")]


def test_round_robin_goes_round_whatever_the_load() -> None:
    """Each gets one in turn; the one with room for many gets no more than the others."""
    simulation = _office("ann", "bob", "cai", strategy="round_robin", prefer_previous_agent=False)
    simulation.tell(desk.agent("ann", capacity=50))
    simulation.tell(*(desk.online(name) for name in ("ann", "bob", "cai")))
    _write(simulation, *"abcdef")
    holders = [agent for _, agent in assigned(simulation.settle())]
    assert holders[:3] == holders[3:]
    assert len(set(holders)) == 3


def test_longest_idle_asks_who_has_had_nothing_to_do() -> None:
    """Whoever resolved something last is asked last, although nobody holds anything."""
    simulation = _office("ann", "bob", strategy="longest_idle", prefer_previous_agent=False)
    simulation.tell(desk.online("ann"), desk.online("bob"))
    _write(simulation, "a", "b")
    first = dict(assigned(simulation.settle()))
    names = {desk.agent_id(name): name for name in ("ann", "bob")}
    later = names[first[desk.conversation_id("a")]]  # type: ignore[index]
    other = names[first[desk.conversation_id("b")]]  # type: ignore[index]
    simulation.tell(desk.resolved("b", other, seen_up_to=simulation.position))
    simulation.tell(desk.resolved("a", later, seen_up_to=simulation.position))
    _write(simulation, "c")
    assert assigned(simulation.settle()) == [pair("c", other)]


def test_a_manual_inbox_waits_for_a_claim() -> None:
    """Nobody is picked; the record says that it is so by policy, and a claim is granted."""
    simulation = _office("ann", strategy="manual")
    simulation.tell(desk.online("ann"))
    _write(simulation, "c")
    (event,) = simulation.settle()
    assert isinstance(event, ConversationQueued)
    assert event.why.excluded == {"manual": 1}
    simulation.tell(desk.claim("c", "ann"))
    assert assigned(simulation.settle()) == [pair("c", "ann")]


def test_a_channel_has_a_limit_of_its_own() -> None:
    """An agent with room gets no second mail, but a chat; the rule has a name in the record."""
    simulation = _office("ann")
    simulation.tell(desk.agent("ann", capacity=5, channels={"mail": 1}), desk.online("ann"))
    for name, channel in (("m1", "mail"), ("m2", "mail"), ("w", "web")):
        simulation.tell(desk.started(name, channel=channel), desk.wrote(name))
    decided = simulation.settle()
    assert assigned(decided) == [pair("m1", "ann"), pair("w", "ann")]
    waiting = [e for e in decided if isinstance(e, ConversationQueued)]
    assert waiting[0].why.excluded == {"channel_full": 1}


def test_another_team_is_asked_after_a_while() -> None:
    """Nobody of the inbox's team for so long: the fallback team gets it, in its old place, told by an event."""
    simulation = _office("ann", fallback_teams=(FallbackTeam(team_id=NIGHT_TEAM, after_s=300),))
    simulation.tell(desk.agent("nell"), desk.team("nell", team_id=NIGHT_TEAM), desk.online("nell"))
    _write(simulation, "c")
    since = simulation.position
    assert assigned(simulation.settle()) == []
    assert simulation.wait(298) == []
    decided = simulation.wait(3)
    assert queued(decided) == [(desk.conversation_id("c"), "fallback")]
    assert assigned(decided) == [pair("c", "nell")]
    assert isinstance(decided[0], ConversationQueued)
    assert (decided[0].team_id, decided[0].waiting_since) == (NIGHT_TEAM, since)


def test_it_is_kept_for_the_previous_agent_for_a_while() -> None:
    """While they are here but full; when the time is over it goes to somebody else."""
    simulation = _office("ann", "bob", capacity=1, previous_agent_wait_s=120)
    simulation.tell(desk.online("ann"))
    simulation.tell(desk.started("one", contact="v"), desk.wrote("one"))
    simulation.settle()
    simulation.tell(desk.online("bob"), desk.started("two", contact="v"), desk.wrote("two"))
    (event,) = simulation.settle()
    assert isinstance(event, ConversationQueued)
    assert event.why.excluded["kept_for_previous"] == 1
    simulation.tell(desk.received("ann", simulation.position))
    assert simulation.wait(118) == []
    assert assigned(simulation.wait(3)) == [pair("two", "bob")]


def test_the_previous_agent_who_gets_room_takes_it() -> None:
    """The wait was worth it."""
    simulation = _office("ann", "bob", capacity=1, previous_agent_wait_s=120)
    simulation.tell(desk.online("ann"))
    simulation.tell(desk.started("one", contact="v"), desk.wrote("one"))
    simulation.settle()
    simulation.tell(desk.online("bob"), desk.started("two", contact="v"), desk.wrote("two"))
    simulation.settle()
    simulation.tell(desk.resolved("one", "ann", seen_up_to=simulation.position))
    assert assigned(simulation.settle()) == [pair("two", "ann")]


def test_reminder_then_somebody_else_then_the_supervisors() -> None:
    """Each once and in this order, also after a restart at every step."""
    simulation = _office(
        "ann", "bob", first_response_s=60, reassign_after_s=30, escalate_after_s=90
    )
    simulation.tell(desk.online("ann"))
    _write(simulation, "c")
    simulation.settle()
    simulation.tell(desk.received("ann", simulation.position), desk.online("bob"))
    told: list[str] = []
    for _ in range(60):
        decided = simulation.wait(5)
        told += _kinds(decided)
        for event in decided:
            if isinstance(event, ConversationAssigned):
                simulation.tell(desk.received("bob", simulation.position))
        simulation.world = simulation.replayed()
    assert told == [
        "DeadlineMissed first_response",
        "ConversationQueued",
        "ConversationAssigned",
        "Escalated response",
    ]
    assert simulation.owner("c") == desk.agent_id("bob")


def test_a_case_that_does_not_end_is_told_once() -> None:
    """The resolution deadline runs from the case's first message, answered or not, until it is resolved."""
    simulation = _office("ann", resolution_s=600, escalate_after_s=100)
    simulation.tell(desk.online("ann"))
    _write(simulation, "c")
    simulation.settle()
    seen = simulation.position
    simulation.tell(desk.received("ann", seen), desk.answered("c", "ann", seen_up_to=seen))
    assert simulation.wait(598) == []
    assert _kinds(simulation.wait(3)) == ["DeadlineMissed resolution"]
    assert _kinds(simulation.wait(100)) == ["Escalated resolution"]
    assert simulation.wait(10_000) == []
    simulation.tell(desk.resolved("c", "ann", seen_up_to=simulation.position))
    simulation.settle()
    simulation.tell(desk.wrote("c"))
    simulation.settle()
    assert "DeadlineMissed resolution" in _kinds(simulation.wait(601))


@pytest.mark.parametrize(
    ("zone", "friday", "monday"),
    [
        ("Europe/Berlin", "2026-03-27T16:50:00+01:00", "2026-03-30T09:10:00+02:00"),
        ("America/New_York", "2026-10-30T16:50:00-04:00", "2026-11-02T09:10:00-05:00"),
        ("Asia/Shanghai", "2026-10-23T16:50:00+08:00", "2026-10-26T09:10:00+08:00"),
    ],
)
def test_a_deadline_in_business_time_sleeps_over_the_weekend(
    zone: str, friday: str, monday: str
) -> None:
    """Twenty minutes from ten before the close on Friday are ten past nine on Monday, clock changed or not."""
    weekly = tuple(Interval(day=day, start="09:00", end="17:00") for day in DAYS[:5])
    simulation = Simulation()
    simulation.now_ns = int(datetime.fromisoformat(friday).timestamp()) * SECOND_NS
    simulation.tell(
        desk.agent("ann"),
        desk.team("ann"),
        desk.inbox(),
        desk.policy(
            first_response_s=1200,
            hours=Hours(zone=zone, weekly=weekly),
            deadline_clock="business",
        ),
    )
    _write(simulation, "c")
    simulation.settle()
    due_ns = int(datetime.fromisoformat(monday).timestamp()) * SECOND_NS
    assert simulation.wait((due_ns - simulation.now_ns) / SECOND_NS - 1) == []
    assert _kinds(simulation.wait(2)) == ["DeadlineMissed first_response"]


def test_a_policy_changed_in_mid_flight_counts_at_once() -> None:
    """A shorter deadline is judged for what already waits, and a restart agrees."""
    simulation = _office("ann", first_response_s=3600)
    _write(simulation, "c")
    simulation.settle()
    assert simulation.wait(100) == []
    simulation.tell(desk.policy(first_response_s=60))
    assert _kinds(simulation.settle()) == ["DeadlineMissed first_response"]
    assert codec.pack(simulation.replayed().state) == codec.pack(simulation.world.state)
