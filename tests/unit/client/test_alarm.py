"""When a device of the Python client makes itself heard."""

from __future__ import annotations

import datetime as dt

from nightdesk_client.alarm import Alarm
from nightdesk_client.items import Alert
from nightdesk_client.wire import Alert as AlertFrame
from nightdesk_client.wire import InboxEntry

SKEW_S = 3600.0


class Stage:
    """An alarm on a device whose clock is an hour off."""

    def __init__(self) -> None:
        self.server_s = 1_750_000_000.0
        self.heard: list[Alert] = []
        self.alarm = Alarm(now_s=lambda: self.server_s - SKEW_S)
        self.alarm.on_alert = self.heard.append
        self.alarm.synchronise(self._moment(0), asked_s=self.server_s - SKEW_S)

    def _moment(self, after_s: float) -> str:
        moment = dt.datetime.fromtimestamp(self.server_s + after_s, dt.UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def entry(self, position: int, *, for_s: float | None) -> InboxEntry:
        """An entry; `for_s`: how long it may alert, None: not at all."""
        return InboxEntry(
            position=position,
            prev=position - 1,
            at=self._moment(0),
            kind="message",
            conversation_id="c",
            alert=for_s is not None,
            alert_until=None if for_s is None else self._moment(for_s),
        )

    def frame(self, position: int, *, for_s: float = 5, fence: int = 2) -> AlertFrame:
        """The lock came here."""
        return AlertFrame(position=position, alert_until=self._moment(for_s), fence=fence)

    @property
    def positions(self) -> list[int]:
        """What was heard."""
        return [alert.position for alert in self.heard]


def test_an_entry_alerts_in_time_whatever_the_local_clock_says() -> None:
    """Marked and in time: once. Not marked: never."""
    stage = Stage()
    assert stage.alarm.claim is None
    assert stage.alarm.taken(stage.entry(7, for_s=5))
    assert not stage.alarm.taken(stage.entry(8, for_s=None))
    assert stage.positions == [7]
    assert stage.alarm.claim == 7


def test_a_device_that_slept_is_silent_and_says_so() -> None:
    """An entry that is taken after its time makes no noise; the claim shows it, so that the server may tell again."""
    stage = Stage()
    late = stage.entry(7, for_s=5)
    stage.server_s += 6
    assert not stage.alarm.taken(late)
    assert stage.alarm.claim == 0
    assert stage.alarm.told(stage.frame(7), held=7)
    assert stage.positions == [7]


def test_a_position_alerts_once() -> None:
    """Told again for what it alerted for already, a device acknowledges and is silent."""
    stage = Stage()
    stage.alarm.taken(stage.entry(7, for_s=5))
    assert stage.alarm.told(stage.frame(7), held=7)
    assert stage.alarm.told(stage.frame(6, fence=3), held=7)
    assert not stage.alarm.taken(stage.entry(7, for_s=5))
    assert stage.positions == [7]


def test_a_lock_that_moved_on_is_ignored() -> None:
    """A frame with a lower fence than was seen is late: another device has the lock, or had it since."""
    stage = Stage()
    stage.alarm.told(stage.frame(7, fence=5), held=7)
    assert not stage.alarm.told(stage.frame(9, fence=4), held=9)
    assert stage.positions == [7]


def test_an_alert_waits_for_what_it_is_about() -> None:
    """A frame about an entry that the application has not taken alerts when it takes it, in time."""
    stage = Stage()
    assert not stage.alarm.told(stage.frame(9), held=7)
    assert not stage.alarm.taken(stage.entry(8, for_s=None))
    assert stage.positions == []
    assert stage.alarm.taken(stage.entry(9, for_s=None))
    assert stage.positions == [9]
