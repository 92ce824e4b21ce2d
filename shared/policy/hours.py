"""When a team works, as instants: log times in, log times out. Wall-clock bounds become instants day by day, so an
hour that comes twice counts twice and one that never comes does not count. Years are laid out once and then searched:
a deadline that takes years of short hours costs no more than one of today."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from zoneinfo import ZoneInfo

from shared.policy.document import DAYS, Hours
from shared.policy.zones import is_zone, zone_of

SECOND_NS = 1_000_000_000
_MINUTES_A_DAY = 24 * 60
_EPOCH = date(1970, 1, 1).toordinal()
_FARTHEST_YEARS = 10
"""Hours that do not open again within them never do."""
Span = tuple[int, int]


class _Year:
    """The open spans of one calendar year in order. `done`: how much open time has passed at the end of each."""

    __slots__ = ("done", "ends", "starts")

    def __init__(self, spans: list[Span]) -> None:
        self.starts = [start_ns for start_ns, _ in spans]
        self.ends = [end_ns for _, end_ns in spans]
        self.done = list(accumulate(end_ns - start_ns for start_ns, end_ns in spans))

    def passed_ns(self, at_ns: int) -> int:
        """Open time from the year's beginning up to a moment."""
        behind = bisect_right(self.ends, at_ns)
        passed = self.done[behind - 1] if behind else 0
        if behind < len(self.starts):
            passed += max(0, at_ns - self.starts[behind])
        return passed


class _Calendar:
    """The years of one set of hours, laid out when they are asked for."""

    def __init__(self, hours: Hours) -> None:
        self._hours = hours
        self._zone = zone_of(hours.zone)
        self._holidays = frozenset(hours.holidays)
        self._weekly = tuple(tuple(_minutes(hours, name)) for name in DAYS)
        self._years: dict[int, _Year] = {}

    def from_(self, at_ns: int) -> Iterator[_Year]:
        """The year of the moment and the ten that follow."""
        first = datetime.fromtimestamp(at_ns // SECOND_NS, self._zone).year
        for number in range(first, min(first + _FARTHEST_YEARS, MAXYEAR - 1) + 1):
            if number not in self._years:
                self._years[number] = self._lay_out(number)
            yield self._years[number]

    def _lay_out(self, number: int) -> _Year:
        spans: list[Span] = []
        day, last = date(number, 1, 1), date(number, 12, 31)
        begins = _offsets_s(day, self._zone)
        while day <= last:
            following = day + timedelta(days=1)
            ends = _offsets_s(following, self._zone)
            if self._weekly[day.weekday()] and day.isoformat() not in self._holidays:
                is_plain = len({*begins, *ends}) == 1
                spans += self._plain(day, begins[0]) if is_plain else self._spans(day)
            day, begins = following, ends
        return _Year(spans)

    def _plain(self, day: date, offset_s: int) -> list[Span]:
        """Of a day on which the clock does not jump, as nearly all are: a year of many intervals is laid out in
        milliseconds so, and whoever decides waits for it."""
        midnight_s = (day.toordinal() - _EPOCH) * 86_400 - offset_s
        return [
            ((midnight_s + start * 60) * SECOND_NS, (midnight_s + end * 60) * SECOND_NS)
            for start, end in self._weekly[day.weekday()]
        ]

    def _spans(self, day: date) -> list[Span]:
        found = []
        for start, end in self._weekly[day.weekday()]:
            # A day whose midnight comes twice ends at the first: the second lies in the next day.
            fold = 0 if end == _MINUTES_A_DAY else 1
            zone = self._zone
            span = (_instant(day, start, zone, fold=0), _instant(day, end, zone, fold=fold))
            if span[0] < span[1]:
                found.append(span)
        return sorted(found)


def _minutes(hours: Hours, name: str) -> list[tuple[int, int]]:
    """The intervals of one day of the week, in order."""
    found = []
    for interval in hours.weekly:
        start, end = minutes_of(interval.start), minutes_of(interval.end)
        if interval.day == name and start is not None and end is not None and start < end:
            found.append((start, end))
    return sorted(found)


def _offsets_s(day: date, zone: ZoneInfo) -> tuple[int, int]:
    """How far the zone's clock is ahead at the day's midnight, the first and the last if there are two."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    offsets = (midnight.utcoffset(), midnight.replace(fold=1).utcoffset())
    first, last = (int(each.total_seconds()) if each is not None else 0 for each in offsets)
    return first, last


@lru_cache(maxsize=1_024)
def _calendar(hours: Hours) -> _Calendar:
    return _Calendar(hours)


def is_open(hours: Hours, at_ns: int) -> bool:
    """Whether the moment lies within the hours; a closing moment does not."""
    year = next(_calendar(hours).from_(at_ns))
    behind = bisect_right(year.ends, at_ns)
    return behind < len(year.starts) and year.starts[behind] <= at_ns


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
    for year in _calendar(hours).from_(began_ns):
        first = bisect_right(year.ends, began_ns)
        if first == len(year.ends):
            continue
        wanted_ns = year.passed_ns(began_ns) + left_ns
        if wanted_ns <= year.done[-1]:
            span = max(first, bisect_left(year.done, wanted_ns))
            return year.ends[span] - (year.done[span] - wanted_ns)
        left_ns = wanted_ns - year.done[-1]
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
    for year in _calendar(hours).from_(at_ns):
        first = bisect_right(year.ends, at_ns)
        yield from zip(year.starts[first:], year.ends[first:], strict=True)


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
