"""What is wrong with a policy: everything at once, each with the JSON pointer of its place. Whatever passes here the
dispatcher can obey."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from shared.directory import Account
from shared.events import PolicySaved
from shared.policy.document import DAYS, Hours, Interval
from shared.policy.hours import minutes_of
from shared.policy.zones import is_zone

_MOST_WEEKS = 5 * 52
Fault = tuple[str, str]
"""Pointer and what is wrong there."""


def faults(policy: PolicySaved, account: Account) -> list[Fault]:
    """Every fault of the document as a whole, in the account as it is now."""
    return [
        *_rules(policy, account),
        *_fallbacks(policy, account),
        *(_hours(policy.hours, "/hours") if policy.hours is not None else ()),
        *_contradictions(policy),
        *_endless(policy),
    ]


def _rules(policy: PolicySaved, account: Account) -> Iterator[Fault]:
    levels: dict[str, int] = {}
    for agent in account.agents.values():
        for skill, level in agent.skills.items():
            levels[skill] = max(level, levels.get(skill, 0))
    for number, rule in enumerate(policy.skill_rules):
        at = f"/skill_rules/{number}"
        if not (rule.language or rule.channel or rule.label or rule.condition):
            yield at, "names no language, channel, label, page or attribute"
        if rule.skill not in levels:
            yield f"{at}/skill", "no agent has this skill"
        elif levels[rule.skill] < rule.level:
            yield f"{at}/level", "no agent has the skill at this level"
        if rule.label and rule.label not in account.labels:
            yield f"{at}/label", "there is no such label"
        if rule in policy.skill_rules[:number]:
            yield at, "stands here twice"


def _fallbacks(policy: PolicySaved, account: Account) -> Iterator[Fault]:
    before_s = 0
    for number, step in enumerate(policy.fallback_teams):
        at = f"/fallback_teams/{number}"
        team = account.teams.get(step.team_id)
        if team is None:
            yield f"{at}/team_id", "there is no such team"
        elif not team.members:
            yield f"{at}/team_id", "the team has no members"
        if any(step.team_id == other.team_id for other in policy.fallback_teams[:number]):
            yield f"{at}/team_id", "stands here twice"
        if step.after_s <= before_s:
            yield f"{at}/after_s", "must be more than the one before"
        before_s = step.after_s
        if step.when_closed and (policy.hours is None or _is_always(policy.hours)):
            yield f"{at}/when_closed", "it is never closed"
        if step.hours is not None:
            yield from _hours(step.hours, f"{at}/hours")


def _hours(hours: Hours, root: str) -> Iterator[Fault]:
    if not is_zone(hours.zone):
        yield f"{root}/zone", "there is no such time zone"
    if not hours.weekly:
        yield f"{root}/weekly", "open at no time"
    for number, interval in enumerate(hours.weekly):
        yield from _interval(interval, hours.weekly[:number], f"{root}/weekly/{number}")
    for number, text in enumerate(hours.holidays):
        at = f"{root}/holidays/{number}"
        if not _is_date(text):
            yield at, "is no date as YYYY-MM-DD"
        elif text in hours.holidays[:number]:
            yield at, "stands here twice"


def _interval(interval: Interval, others: tuple[Interval, ...], at: str) -> Iterator[Fault]:
    start, end = minutes_of(interval.start), minutes_of(interval.end)
    if interval.day not in DAYS:
        yield f"{at}/day", "is no day of the week"
    if start is None:
        yield f"{at}/start", "is no time of day as HH:MM"
    if end is None:
        yield f"{at}/end", "is no time of day as HH:MM"
    if start is None or end is None:
        return
    if start >= end:
        yield at, "ends before it starts; a night is two intervals, one a day"
        return
    for number, other in enumerate(others):
        other_start, other_end = minutes_of(other.start), minutes_of(other.end)
        if other.day != interval.day or other_start is None or other_end is None:
            continue
        if start < other_end and other_start < end:
            yield at, f"overlaps the interval at {number}"


def _is_always(hours: Hours) -> bool:
    """Whether nothing ever closes it."""
    return _open_minutes(hours) >= 7 * 24 * 60 and not hours.holidays


def _open_minutes(hours: Hours) -> int:
    """Of a week."""
    found = 0
    for interval in hours.weekly:
        start, end = minutes_of(interval.start), minutes_of(interval.end)
        found += max(0, end - start) if start is not None and end is not None else 0
    return found


def _endless(policy: PolicySaved) -> Iterator[Fault]:
    """Deadlines that such short hours would not reach in years: whoever waits would have none."""
    hours, more_s = policy.hours, max(policy.reassign_after_s, policy.escalate_after_s)
    if policy.deadline_clock != "business" or hours is None:
        return
    most_s = _open_minutes(hours) * 60 * _MOST_WEEKS
    for name in ("first_response_s", "next_response_s", "resolution_s"):
        seconds: int = getattr(policy, name)
        if seconds and seconds + (more_s or seconds) > most_s:
            yield f"/{name}", "these hours need more than five years for it"


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _contradictions(policy: PolicySaved) -> Iterator[Fault]:
    has_response = policy.first_response_s or policy.next_response_s
    if policy.deadline_clock == "business" and policy.hours is None:
        yield "/deadline_clock", "business time needs hours"
    if policy.outside_hours == "wait" and (policy.hours is None or _is_always(policy.hours)):
        yield "/outside_hours", "it is never closed"
    if policy.previous_agent_wait_s and not policy.prefer_previous_agent:
        yield "/previous_agent_wait_s", "nobody is waited for unless prefer_previous_agent"
    if policy.previous_agent_wait_s and policy.strategy == "manual":
        yield "/previous_agent_wait_s", "nobody is waited for where nobody is picked"
    if policy.reassign_after_s and not has_response:
        yield "/reassign_after_s", "there is no response deadline to miss"
    if policy.escalate_after_s and not (has_response or policy.resolution_s):
        yield "/escalate_after_s", "there is no deadline to miss"
    if policy.escalate_after_s and policy.escalate_after_s < policy.reassign_after_s:
        yield "/escalate_after_s", "must not be less than reassign_after_s"
