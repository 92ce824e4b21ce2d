"""A policy that contradicts itself or names what is not there is refused with every place that is wrong."""

from __future__ import annotations

import pytest

from shared import directory
from shared.directory import Account, Directory
from shared.events import LabelSaved, PolicySaved
from shared.ids import TeamId
from shared.policy.check import faults
from shared.policy.document import DAYS, Day, FallbackTeam, Hours, Interval, SkillRule
from tests.support import desk

NIGHT = TeamId(desk.identifier("night"))
EMPTY = TeamId(desk.identifier("empty"))
NOBODY = TeamId(desk.identifier("nobody"))


def _account() -> Account:
    state = Directory()
    label = LabelSaved(account_id=desk.ACCOUNT, writer="test", name="vip")
    saved = [
        desk.agent("ann", skills={"tax": 3}),
        desk.team("ann", team_id=NIGHT),
        desk.team(team_id=EMPTY),
        label,
    ]
    for position, event in enumerate(saved, start=1):
        directory.evolve(state, event, position)  # type: ignore[arg-type]
    return state.accounts[desk.ACCOUNT]


def _pointers(**settings: object) -> list[str]:
    policy = desk.policy(desk.POLICY, **settings)
    assert isinstance(policy, PolicySaved)
    return [pointer for pointer, _ in faults(policy, _account())]


def _open(start: str, end: str, day: Day = "monday") -> Interval:
    return Interval(day=day, start=start, end=end)


def _hours(*weekly: Interval, zone: str = "Europe/Berlin", holidays: tuple[str, ...] = ()) -> Hours:
    return Hours(zone=zone, weekly=weekly, holidays=holidays)


ALWAYS = _hours(*(_open("00:00", "24:00", day) for day in DAYS))
SELDOM = {
    "deadline_clock": "business",
    "hours": _hours(_open("09:00", "09:01")),
}
"""A minute a week: nine hours of it take ten years, so a deadline of them is none."""


def test_a_whole_policy_that_fits_has_no_fault() -> None:
    """Everything used at once, each part right."""
    found = _pointers(
        skill_rules=(SkillRule(skill="tax", level=3, label="vip"),),
        fallback_teams=(
            FallbackTeam(
                team_id=NIGHT, after_s=60, when_closed=True, hours=_hours(_open("00:00", "06:00"))
            ),
        ),
        outside_hours="wait",
        hours=_hours(_open("09:00", "12:00"), _open("12:00", "24:00"), holidays=("2026-12-25",)),
        deadline_clock="business",
        first_response_s=60,
        reassign_after_s=30,
        escalate_after_s=60,
        previous_agent_wait_s=60,
    )
    assert found == []


def test_every_fault_is_told_with_its_place() -> None:
    """Not only the first one."""
    found = _pointers(
        skill_rules=(SkillRule(skill="law", label="none"), SkillRule(skill="tax", level=5)),
        fallback_teams=(
            FallbackTeam(team_id=NOBODY, after_s=60),
            FallbackTeam(team_id=EMPTY, after_s=60, hours=_hours()),
        ),
        hours=_hours(_open("09:00", "17:00"), _open("16:00", "18:00"), zone="Berlin"),
    )
    assert found == [
        "/skill_rules/0/skill",
        "/skill_rules/0/label",
        "/skill_rules/1",
        "/skill_rules/1/level",
        "/fallback_teams/0/team_id",
        "/fallback_teams/1/team_id",
        "/fallback_teams/1/after_s",
        "/fallback_teams/1/hours/weekly",
        "/hours/zone",
        "/hours/weekly/1",
    ]


@pytest.mark.parametrize(
    ("hours", "pointer"),
    [
        (_hours(), "/hours/weekly"),
        (_hours(_open("17:00", "09:00")), "/hours/weekly/0"),
        (_hours(_open("09:00", "24:30")), "/hours/weekly/0/end"),
        (_hours(_open("09:00", "10:00"), zone="Factory"), "/hours/zone"),
        (_hours(_open("09:00", "10:00"), holidays=("2026-02-30",)), "/hours/holidays/0"),
        (_hours(_open("09:00", "10:00"), holidays=("20261225",)), "/hours/holidays/0"),
    ],
)
def test_hours_that_are_none(hours: Hours, pointer: str) -> None:
    """Empty, backwards, beyond midnight, on days that do not exist, in a zone that is nowhere."""
    assert _pointers(hours=hours) == [pointer]


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"deadline_clock": "business"}, "/deadline_clock"),
        ({"previous_agent_wait_s": 9, "prefer_previous_agent": False}, "/previous_agent_wait_s"),
        ({"previous_agent_wait_s": 9, "strategy": "manual"}, "/previous_agent_wait_s"),
        ({"outside_hours": "wait"}, "/outside_hours"),
        ({"outside_hours": "wait", "hours": ALWAYS}, "/outside_hours"),
        (
            {"fallback_teams": (FallbackTeam(team_id=NIGHT, after_s=60, when_closed=True),)},
            "/fallback_teams/0/when_closed",
        ),
        ({"reassign_after_s": 9}, "/reassign_after_s"),
        ({"escalate_after_s": 9}, "/escalate_after_s"),
        (
            {"next_response_s": 9, "reassign_after_s": 9, "escalate_after_s": 8},
            "/escalate_after_s",
        ),
        ({**SELDOM, "first_response_s": 9 * 3600}, "/first_response_s"),
        ({**SELDOM, "next_response_s": 60, "reassign_after_s": 9 * 3600}, "/next_response_s"),
        ({**SELDOM, "resolution_s": 9 * 3600}, "/resolution_s"),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, object], pointer: str) -> None:
    """A setting without what it needs is a mistake, not a wish to be ignored."""
    assert _pointers(**settings) == [pointer]
