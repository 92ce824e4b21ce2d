"""Whether this device makes itself heard: in time only, once for each position, and never from a lock that has moved.

The server lets one device of a person alert, for a few seconds. A device that was asleep meanwhile stays silent, says
so with its acknowledgement, and is told again if it is still the one."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

from nightdesk_client import wire
from nightdesk_client.items import Alert


def _ignore(_alert: Alert) -> None:
    return


class Alarm:
    """`alerted`: the newest position that this device made itself heard for. `on_alert` is called once for each
    alert and must not block."""

    def __init__(self, *, alerted: int = 0, now_s: Callable[[], float] = time.time) -> None:
        self.alerted = alerted
        self.on_alert: Callable[[Alert], None] = _ignore
        self._now_s = now_s
        self._offset_s = 0.0
        self._fence = 0
        self._is_used = False
        self._granted: wire.Alert | None = None

    @property
    def claim(self) -> int | None:
        """What to say with an acknowledgement; None as long as the server never wanted to know."""
        return self.alerted if self._is_used else None

    def synchronise(self, server_time: str | None, *, asked_s: float) -> None:
        """Learn how far the local clock is off, from an answer to what was asked at `asked_s` (local)."""
        if server_time is not None:
            self._offset_s = _seconds(server_time) - (asked_s + self._now_s()) / 2

    def taken(self, entry: wire.InboxEntry) -> bool:
        """The application takes an entry; whether it alerts."""
        until = entry.alert_until if entry.alert else None
        granted = self._granted
        if granted is not None and granted.position <= entry.position:
            self._granted = None
            until = max(until or "", granted.alert_until or "")
        if until is None:
            return False
        return self._ring(
            Alert(position=entry.position, conversation_id=entry.conversation_id), until
        )

    def told(self, frame: wire.Alert, *, held: int) -> bool:
        """This device became the one that alerts. True: it acknowledges again, having alerted or not; else it will
        when the application has taken what the frame is about (`held`: what it has taken)."""
        if frame.fence < self._fence:
            return False
        self._fence = frame.fence
        self._is_used = True
        if frame.position > held:
            self._granted = frame
            return False
        self._ring(Alert(position=frame.position, is_moved=True), frame.alert_until or "")
        return True

    def _ring(self, alert: Alert, until: str) -> bool:
        self._is_used = True
        is_late = not until or self._now_s() + self._offset_s > _seconds(until)
        if is_late or alert.position <= self.alerted:
            return False
        self.alerted = alert.position
        self.on_alert(alert)
        return True


def _seconds(moment: str) -> float:
    return dt.datetime.fromisoformat(moment).timestamp()
