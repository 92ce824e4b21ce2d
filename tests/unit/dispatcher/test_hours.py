"""Outside the hours: who is asked, who waits for the opening, and when that is, whatever the clocks do."""

from __future__ import annotations

from datetime import datetime

import pytest

from services.dispatcher.decide import Settings, estimate, explain
from shared import codec
from shared.events import ConversationAssigned, ConversationQueued
from shared.ids import TeamId
from shared.policy.document import DAYS, FallbackTeam, Hours, Interval
from shared.policy.hours import next_closing_ns, next_opening_ns, next_turn_ns
from tests.support import desk
from tests.unit.dispatcher.simulation import SECOND_NS, Simulation, assigned, pair, queued

NIGHT = TeamId(desk.identifier("night team"))
WEEK = tuple(Interval(day=day, start="09:00", end="17:00") for day in DAYS[:5])
BERLIN = Hours(zone="Europe/Berlin", weekly=WEEK, holidays=("2026-05-01",))


def _ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * SECOND_NS


def _office(at: str, **policy: object) -> Simulation:
    simulation = Simulation(Settings(burst=9))
    simulation.now_ns = _ns(at)
    simulation.tell(
        desk.agent("ann"),
        desk.agent("nell"),
        desk.team("ann"),
        desk.team("nell", team_id=NIGHT),
        desk.inbox(),
        desk.policy(desk.POLICY, **({"hours": BERLIN, "outside_hours": "wait"} | policy)),
    )
    return simulation


def _write(simulation: Simulation, name: str = "c") -> None:
    simulation.tell(desk.started(name), desk.wrote(name))


@pytest.mark.parametrize(
    ("night", "opening"),
    [
        ("2026-03-27T20:00:00+01:00", "2026-03-30T09:00:00+02:00"),
        ("2026-10-23T20:00:00+02:00", "2026-10-26T09:00:00+01:00"),
        ("2026-04-30T20:00:00+02:00", "2026-05-04T09:00:00+02:00"),
    ],
    ids=["spring", "autumn", "holiday"],
)
def test_it_waits_for_the_opening(night: str, opening: str) -> None:
    """An agent who is at the desk outside the hours gets nothing where the policy says wait, until the very second at
    which the hours begin, over a change of the clocks and over a holiday; a restart in between changes nothing."""
    simulation = _office(night)
    simulation.tell(desk.online("ann"))
    _write(simulation)
    (waits,) = simulation.settle()
    assert isinstance(waits, ConversationQueued)
    assert waits.why.excluded == {"outside_hours": 1, "not_in_team": 1}
    told = estimate(simulation.world, desk.ACCOUNT, desk.conversation_id("c"), simulation.now_ns)
    assert (told.is_open, told.opens_ns, told.expected_s) == (False, _ns(opening), None)
    simulation.world = simulation.replayed()
    left_s = (_ns(opening) - simulation.now_ns) / SECOND_NS
    assert simulation.wait(left_s - 1) == []
    assert assigned(simulation.wait(2)) == [pair("c", "ann")]


def test_whoever_is_there_is_asked_unless_the_policy_says_wait() -> None:
    """Without the setting hours rule deadlines and words, not who is asked."""
    simulation = _office("2026-03-27T20:00:00+01:00", outside_hours="assign")
    simulation.tell(desk.online("ann"))
    _write(simulation)
    assert assigned(simulation.settle()) == [pair("c", "ann")]


def test_the_end_of_the_hours_counts_at_once() -> None:
    """What was not taken before the close waits from that second on, although nothing happened."""
    simulation = _office("2026-03-26T16:59:00+01:00")
    _write(simulation)
    simulation.settle()
    simulation.wait(61)
    simulation.tell(desk.online("ann"))
    assert assigned(simulation.settle()) == []


def test_a_claim_and_a_wish_go_before_the_hours() -> None:
    """Who asks for it gets it; what is sent to a team by hand is for that team, whatever the hours of the inbox."""
    simulation = _office("2026-03-27T20:00:00+01:00")
    simulation.tell(desk.online("ann"), desk.online("nell"))
    for name in ("claimed", "sent"):
        _write(simulation, name)
    simulation.settle()
    simulation.tell(desk.claim("claimed", "ann"), desk.hand_over("sent", by="boss", to_team=NIGHT))
    assert sorted(assigned(simulation.settle())) == sorted(
        [pair("claimed", "ann"), pair("sent", "nell")]
    )


def test_the_night_team_is_asked_at_once_outside_the_hours() -> None:
    """Not after the wait; and what comes in the day is asked of it only after the wait."""
    step = FallbackTeam(team_id=NIGHT, after_s=3600, when_closed=True)
    simulation = _office("2026-03-26T16:30:00+01:00", fallback_teams=(step,))
    simulation.tell(desk.online("nell"))
    _write(simulation, "day")
    assert assigned(simulation.settle()) == []
    assert simulation.wait(29 * 60) == []
    assert assigned(simulation.wait(61)) == [pair("day", "nell")]
    _write(simulation, "night")
    decided = simulation.settle()
    assert queued(decided)[0] == (desk.conversation_id("night"), "fallback")
    assert assigned(decided) == [pair("night", "nell")]


def test_a_fallback_team_that_does_not_work_yet_is_passed_over() -> None:
    """The one that works now is asked first, the other when its own hours begin."""
    other = TeamId(desk.identifier("other"))
    steps = (
        FallbackTeam(team_id=NIGHT, after_s=60, hours=Hours(zone="Asia/Shanghai", weekly=WEEK)),
        FallbackTeam(team_id=other, after_s=120),
    )
    # Friday evening in Berlin is Saturday in Shanghai.
    simulation = _office("2026-03-27T20:00:00+01:00", fallback_teams=steps)
    simulation.tell(desk.team(team_id=other), desk.online("nell"))
    _write(simulation)
    simulation.settle()
    decided = simulation.wait(121)
    assert [e.team_id for e in decided if isinstance(e, ConversationQueued)] == [other]
    left_s = (_ns("2026-03-30T09:00:00+08:00") - simulation.now_ns) / SECOND_NS
    assert assigned(simulation.wait(left_s - 1)) == []
    assert assigned(simulation.wait(2)) == [pair("c", "nell")]


def test_a_fallback_team_is_asked_as_well_not_instead() -> None:
    """Nobody of the night team came: in the morning the inbox's own team gets it, in its old place, as of its team."""
    step = FallbackTeam(team_id=NIGHT, after_s=60, when_closed=True)
    simulation = _office("2026-03-26T20:00:00+01:00", fallback_teams=(step,))
    _write(simulation)
    since = simulation.position
    assert queued(simulation.settle())[0] == (desk.conversation_id("c"), "fallback")
    simulation.wait(13 * 3600)
    simulation.tell(desk.online("ann"))
    (given,) = simulation.settle()
    assert isinstance(given, ConversationAssigned)
    assert (given.agent_id, given.team_id) == (desk.agent_id("ann"), desk.TEAM)
    track = simulation.world.state.offices[desk.ACCOUNT].tracks[desk.conversation_id("c")]
    assert track.since == since
    assert codec.pack(simulation.replayed().state) == codec.pack(simulation.world.state)


def test_a_move_by_hand_is_to_that_team_alone() -> None:
    """The fallback teams that had their chance before are not asked again by the clock."""
    step = FallbackTeam(team_id=NIGHT, after_s=60)
    other = TeamId(desk.identifier("other"))
    simulation = _office(
        "2026-03-26T10:00:00+01:00", fallback_teams=(step,), outside_hours="assign"
    )
    simulation.tell(desk.team(team_id=other))
    _write(simulation)
    simulation.settle()
    simulation.wait(61)
    simulation.tell(desk.hand_over("c", by="boss", to_team=other))
    simulation.settle()
    simulation.tell(desk.online("nell"), desk.online("ann"))
    assert assigned(simulation.wait(600)) == []


def test_the_story_of_a_night_names_the_opening() -> None:
    """Who is not asked and why, when the team is back, when the night team will be asked; what was put away waits for
    neither."""
    step = FallbackTeam(team_id=NIGHT, after_s=3600)
    simulation = _office("2026-03-27T20:00:00+01:00", fallback_teams=(step,))
    simulation.tell(desk.online("ann"), desk.online("nell"))
    _write(simulation)
    simulation.settle()
    told = explain(
        simulation.world, desk.ACCOUNT, desk.conversation_id("c"), now_ns=simulation.now_ns
    )
    assert {each.agent_id: each.rule for each in told.verdicts} == {
        desk.agent_id("ann"): "outside_hours",
        desk.agent_id("nell"): "not_in_team",
    }
    assert [(each.what, each.team_id) for each in told.nexts] == [
        ("fallback", NIGHT),
        ("opens", desk.TEAM),
    ]
    assert told.nexts[1].at_ns == _ns("2026-03-30T09:00:00+02:00")
    wakes_ns = _ns("2026-04-02T12:00:00+02:00")
    seen = simulation.position
    simulation.tell(desk.snoozed("c", "ann", seen_up_to=seen, until_ns=wakes_ns))
    told = explain(
        simulation.world, desk.ACCOUNT, desk.conversation_id("c"), now_ns=simulation.now_ns
    )
    assert [each.what for each in told.nexts] == ["wake"]


def test_openings_and_closings_are_found() -> None:
    """From inside and outside, at the bounds, over intervals that touch, and for hours without an end."""
    noon, night = _ns("2026-03-26T12:00:00+01:00"), _ns("2026-03-26T20:00:00+01:00")
    close, begin = _ns("2026-03-26T17:00:00+01:00"), _ns("2026-03-27T09:00:00+01:00")
    assert (next_closing_ns(BERLIN, noon), next_closing_ns(BERLIN, night)) == (close, night)
    assert (next_turn_ns(BERLIN, noon), next_turn_ns(BERLIN, night)) == (close, begin)
    assert next_turn_ns(BERLIN, close) == begin
    assert next_opening_ns(BERLIN, begin) == begin
    split = (
        Interval(day="thursday", start="09:00", end="12:30"),
        Interval(day="thursday", start="12:30", end="17:00"),
    )
    assert next_closing_ns(Hours(zone="Europe/Berlin", weekly=split), noon) == close
    always = tuple(Interval(day=day, start="00:00", end="24:00") for day in DAYS)
    assert next_closing_ns(Hours(zone="Europe/Berlin", weekly=always), noon) is None
