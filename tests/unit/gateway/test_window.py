"""The drain window: what a device may hold in flight."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.sessions.window import Window


def fill(window: Window, first: int, now_s: float) -> int:
    """Send as many as there is room for; the position after the last."""
    while window.room > 0:
        window.sent([first], now_s, owed=[first])
        first += 1
    return first


def test_quick_acknowledgements_widen_it() -> None:
    """Who acknowledges a full window at once gets twice as much next time, up to the limit."""
    window = Window(200, 2_000)
    position, sizes = 1, []
    for second in range(5):
        position = fill(window, position, float(second))
        window.acked(position, second + 0.1)
        sizes.append(window.size)
    assert sizes == [400, 800, 1600, 2000, 2000]


def test_late_acknowledgements_narrow_it() -> None:
    """Who needs long to acknowledge gets less, but never nothing."""
    window = Window(200, 2_000)
    position = 1
    for second in range(0, 1000, 100):
        position = fill(window, position, float(second))
        window.acked(position, second + 10.0)
    assert window.size == 50


def test_a_full_window_waits_for_ever() -> None:
    """Without an acknowledgement there is no room, whatever the time."""
    window = Window(3, 10)
    fill(window, 1, 0.0)
    assert window.room == 0
    assert window.acked(0, 1e9) == 0
    assert window.room == 0
    assert window.acked(1, 1e9) == 1
    assert window.room == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 400)), max_size=80))
def test_room_and_unacked_always_add_up(steps: list[tuple[bool, int]]) -> None:
    """Never more unacknowledged than the window holds, whatever a client claims."""
    window = Window(50, 200)
    position, now_s = 0, 0.0
    for is_ack, number in steps:
        now_s += 0.5
        if is_ack:
            window.acked(number, now_s)
        elif window.room > 0:
            position += 1
            window.sent([position], now_s, owed=[position])
        assert window.unacked <= max(window.size, 50)
        assert window.last_unacked in (0, position)


def test_an_acknowledgement_is_owed_once() -> None:
    """The first of a connection always counts; later ones only if they cover something that others wait to hear of."""
    window = Window(50, 200)
    window.sent([5], 0.0, owed=[])
    assert window.pay(5)
    window.sent([6], 0.0, owed=[])
    assert not window.pay(6)
    window.sent([7], 0.0, owed=[7])
    window.sent([8], 0.0, owed=[])
    window.sent([9], 0.0, owed=[9])
    assert not window.pay(6)
    assert window.pay(8)
    assert not window.pay(8)
    assert window.pay(9)
    assert not window.pay(9)
