"""Business hours: what is open, when it opens next, and how long business time lasts, in summer and in winter."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.policy import hours as laid_out
from shared.policy.document import DAYS, Hours, Interval
from shared.policy.hours import after_ns, is_open, minutes_of, next_closing_ns, next_opening_ns
from shared.policy.zones import zone_of

HOUR_S = 3600
SECOND_NS = 1_000_000_000


def _hours(zone: str, *, start: str = "09:00", end: str = "17:00", days: int = 5) -> Hours:
    weekly = tuple(Interval(day=day, start=start, end=end) for day in DAYS[:days])
    return Hours(zone=zone, weekly=weekly)


def _ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * SECOND_NS


def test_a_friday_evening_waits_for_monday() -> None:
    """Closed from Friday's close on; the next opening is Monday at nine, a holiday is passed over."""
    hours = _hours("Europe/Berlin")
    friday = _ns("2026-06-12T17:00:00+02:00")
    assert is_open(hours, friday - 1)
    assert not is_open(hours, friday)
    assert next_opening_ns(hours, friday) == _ns("2026-06-15T09:00:00+02:00")
    off = Hours(zone=hours.zone, weekly=hours.weekly, holidays=("2026-06-15",))
    assert next_opening_ns(off, friday) == _ns("2026-06-16T09:00:00+02:00")


def test_business_time_stands_still_at_night() -> None:
    """Two hours that begin an hour before the close end an hour after the next opening."""
    hours = _hours("Asia/Shanghai")
    began = _ns("2026-06-12T16:00:00+08:00")
    assert after_ns(hours, began, 2 * HOUR_S) == _ns("2026-06-15T10:00:00+08:00")


@pytest.mark.parametrize(
    ("zone", "spring", "autumn"),
    [
        ("Europe/Berlin", "2026-03-29", "2026-10-25"),
        ("America/New_York", "2026-03-08", "2026-11-01"),
    ],
)
def test_the_days_on_which_the_clock_changes(zone: str, spring: str, autumn: str) -> None:
    """A whole day is 23 hours long in spring and 25 in autumn; nine o'clock stays nine o'clock on the wall."""
    hours = _hours(zone, start="00:00", end="24:00", days=7)
    for day, length in ((spring, 23), (autumn, 25)):
        midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
        begins = int(midnight.timestamp()) * SECOND_NS
        only = Hours(zone=zone, weekly=(Interval(day="sunday", start="00:00", end="24:00"),))
        ends = after_ns(only, begins, length * HOUR_S)
        assert ends == begins + length * HOUR_S * SECOND_NS
        assert not is_open(only, ends)
        assert is_open(only, ends - 1)
        assert is_open(hours, ends)
        nine = _hours(zone, days=7)
        opens = next_opening_ns(nine, begins)
        assert opens is not None
        assert datetime.fromtimestamp(opens // SECOND_NS, ZoneInfo(zone)).hour == 9


def test_an_hour_that_comes_twice_or_never() -> None:
    """Two to three o'clock in Berlin: nothing in spring, two hours in autumn; half past two opens at the jump."""
    hours = Hours(
        zone="Europe/Berlin", weekly=(Interval(day="sunday", start="02:00", end="03:00"),)
    )
    spring = _ns("2026-03-29T00:00:00+01:00")
    assert next_opening_ns(hours, spring) == _ns("2026-04-05T02:00:00+02:00")
    autumn = _ns("2026-10-25T00:00:00+02:00")
    assert after_ns(hours, autumn, 2 * HOUR_S) == _ns("2026-10-25T03:00:00+01:00")
    half = Hours(zone="Europe/Berlin", weekly=(Interval(day="sunday", start="02:30", end="04:00"),))
    assert next_opening_ns(half, spring) == _ns("2026-03-29T03:00:00+02:00")


def test_a_midnight_that_comes_twice_is_counted_once() -> None:
    """Where the clock falls back to midnight, a day ends at the first of the two: hours that never close have no gap
    and no hour twice, and hours that end at 24:00 end when the wall says so first."""
    always = _hours("Atlantic/Azores", start="00:00", end="24:00", days=7)
    began = _ns("2026-10-24T20:00:00+00:00")
    for hours in (3, 4, 5, 6, 30):
        assert after_ns(always, began, hours * HOUR_S) == began + hours * HOUR_S * SECOND_NS
    evening = Hours(
        zone=always.zone, weekly=(Interval(day="saturday", start="20:00", end="24:00"),)
    )
    closing = next_closing_ns(evening, began + HOUR_S * SECOND_NS)
    assert closing == _ns("2026-10-25T00:00:00+00:00")
    assert is_open(evening, closing - 1)
    assert not is_open(evening, closing)


def test_shanghai_knows_no_summer_time() -> None:
    """Every day of the year is 24 hours long."""
    hours = _hours("Asia/Shanghai", start="00:00", end="24:00", days=7)
    began = _ns("2026-01-01T00:00:00+08:00")
    assert after_ns(hours, began, 365 * 24 * HOUR_S) == _ns("2027-01-01T00:00:00+08:00")


def test_hours_that_never_come_are_none() -> None:
    """A calendar with nothing in it gives no moment instead of searching for ever."""
    nothing = Hours(zone="UTC", weekly=(Interval(day="monday", start="09:00", end="09:00"),))
    assert next_opening_ns(nothing, 0) is None
    assert after_ns(nothing, 0, 60) is None


@pytest.mark.parametrize(
    "name", ["", "Nowhere/Town", "../etc/passwd", "zone.tab", "Europe", "é" * 9]
)
def test_what_is_no_zone(name: str) -> None:
    """Only IANA names name a zone, and no text leads out of the data."""
    with pytest.raises(KeyError):
        zone_of(name)


@pytest.mark.parametrize(
    "text", ["", "9:00", "24:01", "12:60", "-1:00", "aa:bb", "09:00 ", "٠٩:٠٠"]
)
def test_what_is_no_time_of_day(text: str) -> None:
    """HH:MM and nothing else."""
    assert minutes_of(text) is None


@given(
    zone=st.sampled_from(
        ["Europe/Berlin", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe"]
    ),
    minute=st.integers(0, 2 * 366 * 24 * 60),
    seconds=st.integers(0, 3 * 24 * HOUR_S),
)
def test_business_time_is_the_count_of_open_minutes(zone: str, minute: int, seconds: int) -> None:
    """Counted minute by minute on the wall clock, the same time has passed (bounds lie on whole minutes)."""
    hours = _hours(zone, start="01:30", end="23:00", days=6)
    began = _ns("2026-01-01T00:00:00+00:00") + minute * 60 * SECOND_NS
    seconds -= seconds % 60
    ends = after_ns(hours, began, seconds)
    assert ends is not None
    wall = ZoneInfo(zone)
    counted = 0
    for at_s in range(began // SECOND_NS, ends // SECOND_NS, 60):
        now = datetime.fromtimestamp(at_s, wall)
        opens = now.replace(hour=1, minute=30, fold=0)
        is_night = now - now.replace(hour=0, minute=0) < timedelta(hours=1, minutes=30)
        counted += not (is_night or now.hour >= 23 or now.weekday() == 6) and now >= opens
    assert counted * 60 == seconds


def test_a_deadline_of_years_costs_like_one_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    """Years are laid out once: one minute a week and a thousand holidays of one account hold up nobody else."""
    holidays = tuple(f"{2026 + n // 300}-{n // 25 % 12 + 1:02}-{n % 25 + 1:02}" for n in range(999))
    weekly = (Interval(day="monday", start="09:00", end="09:01"),)
    hours = Hours(zone="Europe/Berlin", weekly=weekly, holidays=holidays)
    began_ns = _ns("2026-01-01 00:00")
    first = after_ns(hours, began_ns, 400 * 60)
    assert first is not None
    # Whoever lays out a year again fails.
    monkeypatch.setattr(laid_out._Calendar, "_lay_out", None)
    assert after_ns(hours, began_ns + 1, 400 * 60) == first
    assert after_ns(hours, began_ns, 399 * 60) == first - 7 * 24 * HOUR_S * SECOND_NS


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Havana", "Australia/Lord_Howe"])
def test_a_day_on_which_no_clock_jumps_is_laid_out_like_any_other(zone: str) -> None:
    """Nearly all days are laid out by adding minutes to their midnight; to look at each bound by itself gives the same
    year, also around the days on which midnight comes twice."""
    bounds = (("00:00", "00:30"), ("01:15", "23:45"), ("23:50", "24:00"))
    weekly = tuple(Interval(day=day, start=a, end=b) for day in DAYS for a, b in bounds)
    calendar = laid_out._Calendar(Hours(zone=zone, weekly=weekly, holidays=("2026-05-01",)))
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]
    spans = [s for day in days if day != date(2026, 5, 1) for s in calendar._spans(day)]
    year = calendar._lay_out(2026)
    assert list(zip(year.starts, year.ends, strict=True)) == spans
