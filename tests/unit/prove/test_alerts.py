"""Whether somebody was alerted, and not too many: judged from what devices noted and what the log says."""

from __future__ import annotations

from typing import Any

import pytest

from prove.alerts import hear, too_many, unheard
from prove.diary import Diary, Ring, Screen
from prove.evidence import LogEntry

AGENT, OTHER = "a1", "a2"
POSTED = 3
AT_S = 1000.0


class Evening:
    """An agent with a desk and a phone, and a visitor's message at `POSTED` for which the desk rang."""

    def __init__(self) -> None:
        self.log = [
            self.entry(1, "conversation_assigned", agent_id=AGENT),
            self.entry(2, "primary_device_changed", agent_id=AGENT, at_s=AT_S - 100),
            self.entry(POSTED, "message_posted", message_id="m1", author=self.by("visitor", "v1")),
        ]
        self.desk = Screen(name="desk", owner=AGENT, kind="agent", is_open=True)
        self.phone = Screen(name="phone", owner=AGENT, kind="agent", is_open=True)
        self.ring(self.desk)
        self.troubled: list[tuple[float, float]] = []

    @staticmethod
    def by(kind: str, who: str) -> dict[str, str]:
        return {"kind": kind, "id": who}

    @staticmethod
    def entry(position: int, kind: str, *, at_s: float = AT_S, **event: Any) -> LogEntry:
        event = {"type": kind, "conversation_id": "c1", **event}
        return LogEntry(position=position, family="any", at_s=at_s, event=event)

    @staticmethod
    def ring(screen: Screen, position: int = POSTED, at_s: float = AT_S + 1) -> None:
        screen.rings.append(Ring(position=position, at_s=at_s))

    def silent(self) -> list[str]:
        diary = Diary(screens=[self.desk, self.phone])
        return unheard(diary, hear(self.log), since_s=AT_S - 10)

    def loud(self) -> list[str]:
        diary = Diary(screens=[self.desk, self.phone])
        return list(too_many(diary, hear(self.log), self.troubled))


def test_one_ring_is_as_promised() -> None:
    """Nothing is said of an evening on which one device rang."""
    evening = Evening()
    assert (evening.silent(), evening.loud()) == ([], [])


def test_nobody_rang() -> None:
    """A message that a person holds and has not dealt with, and no device that rang for it: found."""
    evening = Evening()
    evening.desk.rings.clear()
    assert len(evening.silent()) == 1
    evening.ring(evening.phone, POSTED - 1)
    assert len(evening.silent()) == 1
    evening.ring(evening.phone, POSTED + 1)
    assert evening.silent() == []


@pytest.mark.parametrize(
    "excuse",
    [
        Evening.entry(4, "read", recipient=Evening.by("agent", AGENT), up_to=POSTED),
        Evening.entry(4, "message_posted", message_id="m2", author=Evening.by("agent", AGENT)),
        Evening.entry(4, "conversation_queued"),
        Evening.entry(4, "conversation_assigned", agent_id=OTHER),
    ],
    ids=["read", "answered", "given back", "given away"],
)
def test_who_need_not_be_alerted(excuse: LogEntry) -> None:
    """Who has read or answered it, or holds it no longer, is owed nothing; nor is who has every device switched off."""
    evening = Evening()
    evening.desk.rings.clear()
    evening.log.append(excuse)
    assert evening.silent() == []
    evening.log.pop()
    assert evening.silent()
    evening.desk.is_open = evening.phone.is_open = False
    assert evening.silent() == []


def test_two_rang() -> None:
    """Without a move of the lock that is one too many; with one, or while it was not known who holds it, it is not."""
    evening = Evening()
    evening.ring(evening.phone, at_s=AT_S + 6)
    assert len(evening.loud()) == 1
    evening.troubled = [(AT_S + 3, AT_S + 4)]
    assert evening.loud() == []
    evening.troubled = [(AT_S + 60, AT_S + 70)]
    assert len(evening.loud()) == 1
    evening.log.append(Evening.entry(4, "primary_device_changed", agent_id=OTHER))
    assert len(evening.loud()) == 1
    evening.log.append(Evening.entry(5, "primary_device_changed", agent_id=AGENT, at_s=AT_S + 5))
    assert evening.loud() == []


def test_a_device_rings_once() -> None:
    """Whatever the lock does, and whatever else was broken meanwhile."""
    evening = Evening()
    evening.ring(evening.desk, at_s=AT_S + 6)
    evening.troubled = [(0.0, AT_S * 2)]
    assert evening.loud() == ["desk rang twice for 3"]
