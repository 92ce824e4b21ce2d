"""What a client sends to save a policy. Answers show the parts of `shared.policy.document` as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import msgspec

from shared.errors import Rejected
from shared.ids import TeamId, canonical
from shared.policy.conditions import Condition
from shared.policy.document import (
    Day,
    DeadlineClock,
    FallbackTeam,
    Hours,
    OutsideHours,
    SkillRule,
    Strategy,
)
from shared.wire.bodies import Name, Seconds, Word

Duration = Annotated[int, msgspec.Meta(ge=1, le=31_536_000)]
TimeOfDay = Annotated[str, msgspec.Meta(pattern=r"^([01][0-9]|2[0-4]):[0-5][0-9]$", max_length=5)]


class _In(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of requests."""


class SkillRuleBody(_In, frozen=True, kw_only=True):
    """A conversation that equals all of language, channel and label that are given wants `skill` at `level`; `page` and
    `attribute` are kept secret and judged where conversations come in. `page`: a pattern with *, for the path when it
    begins with a slash, else for host and path. `equals`: the attribute's value, any when empty."""

    skill: Word
    level: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1
    language: Annotated[str, msgspec.Meta(max_length=16, pattern=r"^[A-Za-z0-9-]*$")] = ""
    channel: Annotated[str, msgspec.Meta(max_length=16, pattern=r"^[a-z_]*$")] = ""
    label: Annotated[str, msgspec.Meta(max_length=64)] = ""
    page: Annotated[str, msgspec.Meta(max_length=200)] = ""
    attribute: Annotated[str, msgspec.Meta(max_length=64)] = ""
    equals: Annotated[str, msgspec.Meta(max_length=500)] = ""


class IntervalBody(_In, frozen=True, kw_only=True):
    """Open on this day from `start` to `end`, wall clock as HH:MM; "24:00" is the end of the day."""

    day: Day
    start: TimeOfDay
    end: TimeOfDay


class HoursBody(_In, frozen=True, kw_only=True):
    """Business hours: an IANA time zone, the week, and the dates (YYYY-MM-DD) on which it is closed all day."""

    zone: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    weekly: Annotated[list[IntervalBody], msgspec.Meta(max_length=100)]
    holidays: Annotated[
        list[Annotated[str, msgspec.Meta(max_length=10)]], msgspec.Meta(max_length=1_000)
    ] = []


class FallbackTeamBody(_In, frozen=True, kw_only=True):
    """After a conversation has waited `after_s` this team is asked as well; with `when_closed` at once outside the
    policy's hours. `hours`: its own, it is not asked before they begin."""

    team_id: str
    after_s: Duration
    when_closed: bool = False
    hours: HoursBody | None = None


class SavePolicy(_In, frozen=True, kw_only=True):
    """POST /policies, PATCH /policies/{id} (absent fields stay; a part that is given replaces the whole part)."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    assignment_lease_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    offline_return_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    first_response_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    next_response_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    prefer_previous_agent: bool | msgspec.UnsetType = msgspec.UNSET
    language_skills: bool | msgspec.UnsetType = msgspec.UNSET
    skill_rules: (
        Annotated[list[SkillRuleBody], msgspec.Meta(max_length=100)] | msgspec.UnsetType
    ) = msgspec.UNSET
    ageing_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    strategy: Strategy | msgspec.UnsetType = msgspec.UNSET
    fallback_teams: (
        Annotated[list[FallbackTeamBody], msgspec.Meta(max_length=20)] | msgspec.UnsetType
    ) = msgspec.UNSET
    previous_agent_wait_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    hours: HoursBody | msgspec.UnsetType | None = msgspec.UNSET
    deadline_clock: DeadlineClock | msgspec.UnsetType = msgspec.UNSET
    resolution_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    reassign_after_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    escalate_after_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    outside_hours: OutsideHours | msgspec.UnsetType = msgspec.UNSET


_NOTHING_EQUALS = "there is no attribute to equal it"
Conceal = Callable[[Condition], tuple[str, bytes]]
"""Gives a condition its name without a meaning, and its ciphertext."""


def fields_of(body: SavePolicy, conceal: Conceal) -> dict[str, Any]:
    """The fields that the body names, as `PolicySaved` has them. Raises `Rejected("bad_id")`, `Rejected("invalid")`."""
    named = {name: getattr(body, name) for name in body.__struct_fields__}
    fields = {name: value for name, value in named.items() if value is not msgspec.UNSET}
    if "skill_rules" in fields:
        fields["skill_rules"] = tuple(
            _rule(rule, f"/skill_rules/{number}", conceal)
            for number, rule in enumerate(fields["skill_rules"])
        )
    if "fallback_teams" in fields:
        fields["fallback_teams"] = tuple(
            FallbackTeam(
                team_id=TeamId(
                    canonical(
                        step.team_id, what="team_id", pointer=f"/fallback_teams/{number}/team_id"
                    )
                ),
                after_s=step.after_s,
                when_closed=step.when_closed,
                hours=_hours(step.hours),
            )
            for number, step in enumerate(fields["fallback_teams"])
        )
    if fields.get("hours") is not None:
        fields["hours"] = _hours(fields["hours"])
    return fields


def misfits(body: SavePolicy) -> Iterator[tuple[str, str]]:
    """Every place at which `fields_of` would stop, and why."""
    rules = body.skill_rules if body.skill_rules is not msgspec.UNSET else []
    for number, rule in enumerate(rules):
        if rule.equals and not rule.attribute:
            yield f"/skill_rules/{number}/equals", _NOTHING_EQUALS
    steps = body.fallback_teams if body.fallback_teams is not msgspec.UNSET else []
    for number, step in enumerate(steps):
        try:
            canonical(step.team_id, what="team_id")
        except Rejected as err:
            yield f"/fallback_teams/{number}/team_id", err.message


def _rule(body: SkillRuleBody, at: str, conceal: Conceal) -> SkillRule:
    if body.equals and not body.attribute:
        raise Rejected("invalid", _NOTHING_EQUALS, pointer=f"{at}/equals")
    wanted = Condition(page=body.page, attribute=body.attribute, equals=body.equals)
    condition, sealed = ("", b"") if wanted.is_empty else conceal(wanted)
    return SkillRule(
        skill=body.skill,
        level=body.level,
        language=body.language,
        channel=body.channel,
        label=body.label,
        condition=condition,
        sealed=sealed,
    )


def _hours(body: HoursBody | None) -> Hours | None:
    return None if body is None else msgspec.convert(msgspec.to_builtins(body), Hours)
