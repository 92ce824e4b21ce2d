"""Three courses side by side: what happened, what the simulation makes of it, and what it makes of it under other
policies. Who got what, how long it took, how evenly it lay, and why the first two differ. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from cli.whatif.history import Course, Key, Wait
from shared.ids import AgentId, ConversationId, Position

_MOST_SHOWN = 50
_NEAR_NS = 2_000_000_000
"""Waits that end at the same agent within so long end the same: a dispatcher decides a moment after the fact."""
Reason = Literal[
    "lapsed", "unacknowledged", "by_hand", "not_given", "only_given", "later", "follows"
]
REASONS: dict[Reason, str] = {
    "lapsed": "an assignment was not acknowledged in time and went to somebody else; the simulation takes"
    " every assignment to be acknowledged at once",
    "unacknowledged": "agents had not acknowledged what they were given just before, and were passed over;"
    " in the simulation nobody is",
    "by_hand": "somebody claimed it or was given it by hand in one of the two, and was too late for it in the other",
    "not_given": "it was not handed out at all; in the simulation no service ever stops",
    "only_given": "it was handed out, and would not have been: somebody who took it without acknowledging,"
    " or a document that was another by then",
    "later": "the same agent got it, but at another time: a service or the log was away, or more was decided"
    " at once than one round takes",
    "follows": "loads and turns were others by then, because of waits that differ before it",
}
"""Why what happened and what is simulated may differ, each with what the simulation supposes."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One course in figures. `lapsed`: assignments that no device acknowledged in time. `unfairness`: 0 when all agents
    got the same number, near 1 when one got all (Gini)."""

    waits: int
    mean_s: float
    median_s: float
    p95_s: float
    longest_s: float
    unowned: int
    missed: int
    escalated: int
    lapsed: int
    unfairness: float
    given: dict[AgentId, int]


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A wait with another end under the other policies. None: it did not find an owner. `happened`: who really got it."""

    conversation_id: ConversationId
    since: Position
    owner: AgentId | None
    other_owner: AgentId | None
    waited_s: float | None
    other_waited_s: float | None
    happened: AgentId | None = None
    happened_waited_s: float | None = None


class Deviation(msgspec.Struct, frozen=True, kw_only=True):
    """A wait that went another way in the simulation than it did."""

    conversation_id: ConversationId
    since: Position
    reason: Reason
    owner: AgentId | None
    simulated_owner: AgentId | None
    waited_s: float | None
    simulated_waited_s: float | None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """`happened`: what the log says. `now`: simulated under the policies of the log. `other`: simulated under the tried
    ones. `moved`: the first of `moved_count` waits in which the latter two differ. `agreed`: waits in which the first
    two agree; `deviations`: the first of those in which they don't, all of them counted in `reasons`."""

    happened: Figures
    now: Figures
    other: Figures
    moved_count: int
    moved: list[Moved]
    agreed: int
    reasons: dict[Reason, int]
    deviations: list[Deviation]
    names: dict[AgentId, str] = {}
    """Of agents, where the master key is at hand."""


def compare(happened: Course, now: Course, other: Course) -> Difference:
    """What would have been different, and how far the simulation is to be believed."""
    moved = [
        _moved(key, happened, now, other)
        for key in _keys(now, other)
        if _owner(now.waits.get(key)) != _owner(other.waits.get(key))
    ]
    keys = _keys(happened, now)
    deviations = [found for key in keys if (found := _deviation(key, happened, now)) is not None]
    return Difference(
        happened=_figures(happened),
        now=_figures(now),
        other=_figures(other),
        moved_count=len(moved),
        moved=moved[:_MOST_SHOWN],
        agreed=len(keys) - len(deviations),
        reasons=_counted(deviations),
        deviations=deviations[:_MOST_SHOWN],
    )


def _counted(deviations: Sequence[Deviation]) -> dict[Reason, int]:
    """In the order of the words for them."""
    counts = Counter(each.reason for each in deviations)
    return {reason: counts[reason] for reason in REASONS if counts[reason]}


def _keys(*courses: Course) -> list[Key]:
    found = {key for course in courses for key in course.waits}
    return sorted(found, key=lambda each: (each[1], each[0]))


def _owner(wait: Wait | None) -> AgentId | None:
    return wait.agent_id if wait is not None else None


def _waited_s(wait: Wait | None) -> float | None:
    return wait.waited_ns / 1e9 if wait is not None else None


def _moved(key: Key, happened: Course, now: Course, other: Course) -> Moved:
    real, mine, theirs = (course.waits.get(key) for course in (happened, now, other))
    return Moved(
        conversation_id=key[0],
        since=key[1],
        owner=_owner(mine),
        other_owner=_owner(theirs),
        waited_s=_waited_s(mine),
        other_waited_s=_waited_s(theirs),
        happened=_owner(real),
        happened_waited_s=_waited_s(real),
    )


def _deviation(key: Key, happened: Course, now: Course) -> Deviation | None:
    real, mine = happened.waits.get(key), now.waits.get(key)
    is_near = real is not None and mine is not None
    if real is not None and mine is not None:
        is_near = abs(real.waited_ns - mine.waited_ns) <= _NEAR_NS
    if is_near and _owner(real) == _owner(mine):
        return None
    return Deviation(
        conversation_id=key[0],
        since=key[1],
        reason=_reason(key, happened, real, mine),
        owner=_owner(real),
        simulated_owner=_owner(mine),
        waited_s=_waited_s(real),
        simulated_waited_s=_waited_s(mine),
    )


def _reason(key: Key, happened: Course, real: Wait | None, mine: Wait | None) -> Reason:
    """The first that the log shows; what it does not show follows from another one."""
    if key in happened.lapses:
        return "lapsed"
    if real is None:
        return "not_given"
    if mine is None:
        return "by_hand" if real.is_by_hand else "only_given"
    if real.is_by_hand != mine.is_by_hand:
        return "by_hand"
    if real.is_passing_over:
        return "unacknowledged"
    return "later" if real.agent_id == mine.agent_id else "follows"


def _figures(course: Course) -> Figures:
    waited = sorted(wait.waited_ns / 1e9 for wait in course.waits.values())
    given = Counter(wait.agent_id for wait in course.waits.values())
    return Figures(
        waits=len(waited),
        mean_s=sum(waited) / max(1, len(waited)),
        median_s=_part(waited, 0.5),
        p95_s=_part(waited, 0.95),
        longest_s=waited[-1] if waited else 0.0,
        unowned=course.unowned,
        missed=course.missed,
        escalated=course.escalated,
        lapsed=sum(course.lapses.values()),
        unfairness=_gini(sorted(given.values())),
        given=dict(sorted(given.items())),
    )


def _part(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _gini(ordered: Sequence[int]) -> float:
    total = sum(ordered)
    if not total:
        return 0.0
    weighted = sum(rank * count for rank, count in enumerate(ordered, start=1))
    return 2 * weighted / (len(ordered) * total) - (len(ordered) + 1) / len(ordered)
