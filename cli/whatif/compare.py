"""Two courses side by side: who got what, how long it took, how evenly it lay. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from cli.whatif.history import Course
from shared.ids import AgentId, ConversationId, Position

_MOST_MOVED = 50


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One course in figures. `unfairness`: 0 when all agents got the same number, near 1 when one got all (Gini)."""

    waits: int
    mean_s: float
    median_s: float
    p95_s: float
    longest_s: float
    unowned: int
    missed: int
    escalated: int
    unfairness: float
    given: dict[AgentId, int]


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A wait with another end. None: it did not find an owner."""

    conversation_id: ConversationId
    since: Position
    owner: AgentId | None
    other_owner: AgentId | None
    waited_s: float | None
    other_waited_s: float | None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """`now`: under the policies of the log. `other`: under the tried one. `moved`: the first of `moved_count`."""

    now: Figures
    other: Figures
    moved_count: int
    moved: list[Moved]
    names: dict[AgentId, str] = {}
    """Of agents, where the master key is at hand."""


def compare(now: Course, other: Course) -> Difference:
    """What would have been different."""
    moved = []
    for key in sorted({*now.waits, *other.waits}, key=lambda each: (each[1], each[0])):
        mine, theirs = now.waits.get(key), other.waits.get(key)
        owner = mine.agent_id if mine else None
        other_owner = theirs.agent_id if theirs else None
        if owner == other_owner:
            continue
        moved.append(
            Moved(
                conversation_id=key[0],
                since=key[1],
                owner=owner,
                other_owner=other_owner,
                waited_s=mine.waited_ns / 1e9 if mine else None,
                other_waited_s=theirs.waited_ns / 1e9 if theirs else None,
            )
        )
    return Difference(
        now=_figures(now),
        other=_figures(other),
        moved_count=len(moved),
        moved=moved[:_MOST_MOVED],
    )


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
