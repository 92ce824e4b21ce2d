"""The nested parts of a policy, the same in events and in answers of the API. Only fields with defaults may be added."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.ids import TeamId

Strategy = Literal["balanced", "round_robin", "longest_idle", "manual"]
OutsideHours = Literal["assign", "wait"]
DeadlineClock = Literal["clock", "business"]
Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
DAYS: tuple[Day, ...] = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)


class SkillRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A conversation whose language, channel and label equal all that are given here, and which meets the condition if
    there is one, wants `skill` at `level`. `condition`: a name without a meaning, the same for the same condition;
    `sealed`: what it asks, ciphertext (part "condition") of a JSON `Condition`."""

    skill: str
    level: int = 1
    language: str = ""
    channel: str = ""
    label: str = ""
    condition: str = ""
    sealed: bytes = b""


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Open on this day of the week from `start` to `end`, wall clock as HH:MM; "24:00" is the end of the day."""

    day: Day
    start: str
    end: str


class Hours(msgspec.Struct, frozen=True, kw_only=True):
    """Business hours. `zone` is an IANA time zone; on `holidays` (YYYY-MM-DD) it is closed all day."""

    zone: str
    weekly: tuple[Interval, ...]
    holidays: tuple[str, ...] = ()


class FallbackTeam(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """After a conversation has waited `after_s` this team is asked as well; with `when_closed` at once outside the
    policy's hours. `hours`: its own, it is not asked before they begin. What has its default is left out."""

    team_id: TeamId
    after_s: int
    when_closed: bool = False
    hours: Hours | None = None
