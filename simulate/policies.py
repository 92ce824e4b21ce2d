"""Policies as people write them, also strange ones: drawn anew at any moment, while everything runs."""

from __future__ import annotations

import random

from shared import codec
from shared import events as e
from shared.ids import AccountId, PolicyId, TeamId
from shared.policy.document import DAYS, FallbackTeam, Hours, Interval, SkillRule
from simulate.pages import CONDITIONS

_ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Asia/Shanghai",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
)
_WEEKS = (
    tuple(Interval(day=day, start="09:00", end="17:00") for day in DAYS[:5]),
    (
        Interval(day="monday", start="09:00", end="17:00"),
        Interval(day="thursday", start="13:30", end="24:00"),
    ),
    # Through the hours that come twice or never when the clocks change.
    tuple(
        Interval(day=day, start=start, end=end)
        for day in ("saturday", "sunday")
        for start, end in (("00:00", "01:45"), ("02:30", "03:15"), ("20:00", "24:00"))
    ),
    tuple(Interval(day=day, start="00:00", end="24:00") for day in DAYS),
)
_HOLIDAYS = ((), ("2027-01-18", "2026-10-26", "2027-03-15", "2027-03-29"))


def drawn(
    dice: random.Random, account_id: AccountId, policy_id: PolicyId, teams: list[TeamId]
) -> e.PolicySaved:
    """Other times and rules."""
    return e.PolicySaved(
        account_id=account_id,
        writer="gateway",
        policy_id=policy_id,
        name="policy",
        assignment_lease_s=dice.choice([5, 20, 45, 45, 300]),
        offline_return_s=dice.choice([0, 1, 60, 60, 600]),
        first_response_s=dice.choice([0, 60, 600, 3600]),
        next_response_s=dice.choice([0, 60, 900, 7200]),
        prefer_previous_agent=dice.random() < 0.7,
        language_skills=dice.random() < 0.7,
        **(_refined(dice, teams) if dice.random() < 0.6 else {}),  # type: ignore[arg-type]
    )


def _refined(dice: random.Random, teams: list[TeamId]) -> dict[str, object]:
    hours = _hours(dice)
    # What is never closed can't wait for its opening; such a policy is refused at the door.
    is_closing = hours.weekly != _WEEKS[-1]
    steps = [
        FallbackTeam(
            team_id=team_id,
            after_s=dice.choice([30, 900, 3600]),
            when_closed=is_closing and dice.random() < 0.3,
            hours=_hours(dice) if dice.random() < 0.3 else None,
        )
        for team_id in (*teams, TeamId("00000000-0000-7000-8000-00000000dead"))
    ]
    return {
        "skill_rules": tuple(_rule(dice) for _ in range(dice.choice([0, 1, 1, 2, 3]))),
        "ageing_s": dice.choice([0, 0, 300, 7200]),
        "strategy": dice.choice(
            ["balanced", "balanced", "round_robin", "longest_idle", "longest_idle", "manual"]
        ),
        "fallback_teams": tuple(dice.sample(steps, dice.choice([0, 0, 1, 2]))),
        "previous_agent_wait_s": dice.choice([0, 120, 3600, 3600]),
        "hours": hours,
        "outside_hours": dice.choice(["assign", "wait"]) if is_closing else "assign",
        "deadline_clock": dice.choice(["clock", "business"]),
        "resolution_s": dice.choice([0, 900, 90_000]),
        "reassign_after_s": dice.choice([0, 30, 600]),
        "escalate_after_s": dice.choice([0, 60, 5000]),
    }


def _hours(dice: random.Random) -> Hours:
    return Hours(
        zone=dice.choice(_ZONES), weekly=dice.choice(_WEEKS), holidays=dice.choice(_HOLIDAYS)
    )


def _rule(dice: random.Random) -> SkillRule:
    name = dice.choice(["", "", *CONDITIONS])
    return SkillRule(
        skill=dice.choice(["tax", "tax", "lang:zh"]),
        level=dice.randint(1, 4),
        language=dice.choice(["", "", "zh"]),
        channel=dice.choice(["", "", "mail"]),
        label=dice.choice(["", "a", "a"] if not name else ["", "", "", "a"]),
        condition=name,
        sealed=codec.to_json(CONDITIONS[name]) if name else b"",
    )
