"""What may speak against the evidence that assignment leases are judged by."""

from __future__ import annotations

from services.dispatcher.decide import Evidence
from services.dispatcher.evidence import Watch

SECOND_NS = 1_000_000_000


class Clock:
    """A watch looked at four times a second, with a store that keeps up unless told otherwise."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.now_s = 100.0
        self.end = 10

    def look(self, *, reconnects: int = 0) -> Evidence:
        """The evidence now."""
        return self.watch.look(
            end=self.end,
            now_ns=int(self.now_s * SECOND_NS),
            now_s=self.now_s,
            reconnects=reconnects,
            silence_s=3,
        )

    def pass_time(
        self, seconds: float, *, stored: int | None = None, hints: bool = True
    ) -> Evidence:
        """Look again and again."""
        evidence = self.look()
        for _ in range(round(seconds * 4)):
            self.now_s += 0.25
            if hints:
                self.watch.hear(self.end if stored is None else stored, self.now_s)
            evidence = self.look()
        return evidence


def test_a_quiet_life_keeps_its_leases() -> None:
    """A store that keeps up and looks in time: leases count from when they began."""
    clock = Clock()
    began = clock.pass_time(2)
    assert clock.pass_time(600).fresh_ns == began.fresh_ns


def test_a_lagging_store_renews_every_lease() -> None:
    """While it lags, and once more when it has caught up, no lease is older than that."""
    clock = Clock()
    clock.pass_time(2)
    clock.end = 20
    lagging = clock.pass_time(60, stored=10)
    assert lagging.stored == 10
    assert clock.now_s * SECOND_NS - lagging.fresh_ns <= SECOND_NS
    caught_up = clock.pass_time(60)
    assert caught_up.stored == 20
    assert clock.now_s * SECOND_NS - caught_up.fresh_ns >= 58 * SECOND_NS


def test_a_store_that_is_ahead_renews_every_lease() -> None:
    """What the store has and this process has not folded may hold the acknowledgement."""
    clock = Clock()
    clock.pass_time(2)
    behind = clock.pass_time(60, stored=20)
    assert clock.now_s * SECOND_NS - behind.fresh_ns <= SECOND_NS


def test_a_silent_store_renews_every_lease() -> None:
    """No hint for longer than the limit: nothing is known."""
    clock = Clock()
    clock.pass_time(2)
    assert clock.pass_time(60, hints=False).fresh_ns == clock.now_s * SECOND_NS


def test_a_pause_or_a_reconnect_renews_every_lease() -> None:
    """A process that was frozen, or cut off, blames nobody for it."""
    clock = Clock()
    clock.pass_time(10)
    clock.now_s += 30
    clock.watch.hear(10, clock.now_s)
    assert clock.look().fresh_ns == clock.now_s * SECOND_NS
    clock.pass_time(10)
    assert clock.look(reconnects=1).fresh_ns == clock.now_s * SECOND_NS
