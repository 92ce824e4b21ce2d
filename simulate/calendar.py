"""Business time a second time, by looking at every quarter of an hour of a day; no arithmetic of bounds, and nothing
of the code that it judges."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from shared.policy.document import DAYS, Hours

SECOND_NS = 1_000_000_000
_QUARTER_S = 900
_FARTHEST_DAYS = 45
Span = tuple[int, int]


def after_ns(hours: Hours, began_ns: int, seconds: int) -> int | None:
    """When so many open seconds have passed; None if not within the weeks that are simulated."""
    left_ns = seconds * SECOND_NS
    first = datetime.fromtimestamp(began_ns // SECOND_NS, UTC).toordinal() - 1
    for ordinal in range(first, first + _FARTHEST_DAYS):
        for opens_ns, closes_ns in open_spans(hours, ordinal):
            from_ns = max(opens_ns, began_ns)
            if from_ns >= closes_ns:
                continue
            if left_ns <= closes_ns - from_ns:
                return from_ns + left_ns
            left_ns -= closes_ns - from_ns
    return None


def is_open(hours: Hours, at_ns: int) -> bool:
    """Whether somebody is there by the hours."""
    day = datetime.fromtimestamp(at_ns // SECOND_NS, UTC).toordinal()
    spans = (span for ordinal in (day - 1, day, day + 1) for span in open_spans(hours, ordinal))
    return any(opens_ns <= at_ns < closes_ns for opens_ns, closes_ns in spans)


def next_ns(hours: Hours, at_ns: int, *, is_open_then: bool) -> int | None:
    """The first moment from `at_ns` on that is open, or that is closed; None if not within the weeks simulated."""
    if is_open(hours, at_ns) == is_open_then:
        return at_ns
    first = datetime.fromtimestamp(at_ns // SECOND_NS, UTC).toordinal() - 1
    for ordinal in range(first, first + _FARTHEST_DAYS):
        for span in open_spans(hours, ordinal):
            edge_ns = span[0] if is_open_then else span[1]
            if edge_ns > at_ns and is_open(hours, edge_ns) == is_open_then:
                return edge_ns
    return None


@lru_cache(maxsize=8_192)
def open_spans(hours: Hours, ordinal: int) -> tuple[Span, ...]:
    """The open quarters of one local day, those beside each other as one."""
    day = date.fromordinal(ordinal)
    if day.isoformat() in hours.holidays:
        return ()
    name, walls = DAYS[day.weekday()], _walls(hours.zone, ordinal)
    found: set[int] = set()
    for interval in hours.weekly:
        if interval.day != name:
            continue
        start, end = _minutes(interval.start), _minutes(interval.end)
        # It opens when the clock on the wall first shows the start, and closes when it last shows less than the end.
        opened = [at_s for at_s, minute in walls if minute >= start]
        closing = [at_s for at_s, minute in walls if minute < end]
        if opened and closing:
            found.update(at_s for at_s, _ in walls if opened[0] <= at_s <= closing[-1])
    return _joined(sorted(found))


@lru_cache(maxsize=512)
def _walls(zone: str, ordinal: int) -> list[tuple[int, int]]:
    """Every quarter of an hour of a local day: the instant in seconds, and the minute that the wall shows."""
    there = ZoneInfo(zone)
    midnight = datetime.combine(date.fromordinal(ordinal), datetime.min.time(), UTC)
    begin = midnight - timedelta(hours=15)
    found = []
    for quarter in range(54 * 4):
        at = begin + timedelta(seconds=quarter * _QUARTER_S)
        wall = at.astimezone(there)
        if wall.toordinal() == ordinal:
            found.append((int(at.timestamp()), wall.hour * 60 + wall.minute))
    return found


def _minutes(text: str) -> int:
    hour, minute = text.split(":")
    found = int(hour) * 60 + int(minute)
    if found * 60 % _QUARTER_S:
        raise ValueError("the simulated hours begin and end at a quarter")
    return found


def _joined(quarters: list[int]) -> tuple[Span, ...]:
    spans: list[Span] = []
    for at_s in quarters:
        begin_ns, end_ns = at_s * SECOND_NS, (at_s + _QUARTER_S) * SECOND_NS
        if spans and spans[-1][1] == begin_ns:
            spans[-1] = (spans[-1][0], end_ns)
        else:
            spans.append((begin_ns, end_ns))
    return tuple(spans)
