"""When a team works, as instants: log times in, log times out. Wall-clock bounds become instants day by day, so an
hour that comes twice counts twice and one that never comes does not count."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from shared.policy.document import DAYS, Hours
from shared.policy.zones import is_zone, zone_of

SECOND_NS = 1_000_000_000
_MINUTES_A_DAY = 24 * 60
_FARTHEST_DAYS = 3_660
"""Ten years: hours that do not open again within them never do."""
Span = tuple[int, int]


def is_open(hours: Hours, at_ns: int) -> bool:
    """Whether the moment lies within the hours; a closing moment does not."""
    today = _date_of(hours, at_ns)
    return any(start_ns <= at_ns < end_ns for start_ns, end_ns in _spans(hours, today.toordinal()))


def next_opening_ns(hours: Hours, at_ns: int) -> int | None:
    """The first moment from `at_ns` on that is open: `at_ns` itself when it is. None if there is none in ten years."""
    if not is_zone(hours.zone):
        return None
    for start_ns, _ in _from(hours, at_ns):
        return max(start_ns, at_ns)
    return None


def next_closing_ns(hours: Hours, at_ns: int) -> int | None:
    """The first moment from `at_ns` on that is closed: `at_ns` itself when it is. None if there is none in ten years."""
    if not is_zone(hours.zone):
        return None
    closing_ns = at_ns
    for start_ns, end_ns in _from(hours, at_ns):
        if start_ns > closing_ns:
            return closing_ns
        closing_ns = max(closing_ns, end_ns)
    return closing_ns if closing_ns == at_ns else None


def next_turn_ns(hours: Hours, at_ns: int) -> int | None:
    """The first moment after `at_ns` at which the hours begin or end; None if they never do."""
    if not is_zone(hours.zone):
        return None
    return next_closing_ns(hours, at_ns) if is_open(hours, at_ns) else next_opening_ns(hours, at_ns)


def after_ns(hours: Hours, began_ns: int, seconds: int) -> int | None:
    """The moment at which `seconds` of open time have passed since `began_ns`; None if not in ten years."""
    if not is_zone(hours.zone):
        # Saved by a release that knows more zones: a deadline in plain time is better than none.
        return began_ns + seconds * SECOND_NS
    left_ns = seconds * SECOND_NS
    for start_ns, end_ns in _from(hours, began_ns):
        start_ns = max(start_ns, began_ns)  # noqa: PLW2901 - only what lies behind the beginning counts
        if left_ns <= end_ns - start_ns:
            return start_ns + left_ns
        left_ns -= end_ns - start_ns
    return None


def minutes_of(text: str) -> int | None:
    """Minutes since midnight of "HH:MM" up to "24:00"; None for any other text."""
    hour, colon, minute = text.partition(":")
    is_written = len(text) == 5 and colon and text.isascii() and (hour + minute).isdigit()
    if not is_written or int(minute) > 59:
        return None
    found = int(hour) * 60 + int(minute)
    return found if found <= _MINUTES_A_DAY else None


def _from(hours: Hours, at_ns: int) -> Iterator[Span]:
    """Open spans that end after the moment, in order."""
    first = _date_of(hours, at_ns).toordinal()
    last = min(first + _FARTHEST_DAYS, date.max.toordinal() - 2)
    for ordinal in range(first, last):
        yield from (span for span in _spans(hours, ordinal) if span[1] > at_ns)


@lru_cache(maxsize=16_384)
def _spans(hours: Hours, ordinal: int) -> tuple[Span, ...]:
    """The open spans of one day of the calendar."""
    day = date.fromordinal(ordinal)
    if day.isoformat() in hours.holidays:
        return ()
    zone, name = zone_of(hours.zone), DAYS[day.weekday()]
    found = []
    for interval in hours.weekly:
        start, end = minutes_of(interval.start), minutes_of(interval.end)
        if interval.day != name or start is None or end is None:
            continue
        # A day whose midnight comes twice ends at the first: the second lies in the next day.
        fold = 0 if end == _MINUTES_A_DAY else 1
        span = (_instant(day, start, zone, fold=0), _instant(day, end, zone, fold=fold))
        if span[0] < span[1]:
            found.append(span)
    return tuple(sorted(found))


def _date_of(hours: Hours, at_ns: int) -> date:
    return datetime.fromtimestamp(at_ns // SECOND_NS, zone_of(hours.zone)).date()


def _instant(day: date, minutes: int, zone: ZoneInfo, *, fold: int) -> int:
    """The instant of a wall-clock time. Of one that comes twice the first opens and the last closes (`fold`); one that
    never comes is the moment at which the clock jumps over it."""
    wall = datetime(day.year, day.month, day.day) + timedelta(minutes=minutes)  # noqa: DTZ001 - a wall clock
    early = wall.replace(tzinfo=zone, fold=0)
    late = wall.replace(tzinfo=zone, fold=1)
    before, after = early.astimezone(UTC), late.astimezone(UTC)
    if before <= after:
        chosen = after if fold else before
        return int(chosen.timestamp()) * SECOND_NS
    # In a gap the offset from before the jump gives an instant after it, and the other way round.
    return _jump_s(int(after.timestamp()), int(before.timestamp()), zone) * SECOND_NS


def _jump_s(low_s: int, high_s: int, zone: ZoneInfo) -> int:
    """The second, after `low_s` and up to `high_s`, from which the zone has the offset it has at `high_s`."""
    wanted = datetime.fromtimestamp(high_s, zone).utcoffset()
    while high_s - low_s > 1:
        middle_s = (low_s + high_s) // 2
        if datetime.fromtimestamp(middle_s, zone).utcoffset() == wanted:
            high_s = middle_s
        else:
            low_s = middle_s
    return high_s
