"""When the campaign calls something stuck: never what only is slow, always what stands still."""

from __future__ import annotations

from prove.patience import Limits, Patience

_LIMITS = Limits(still_s=15, connecting_s=40, most_s=120)


def test_what_stands_still_is_stuck() -> None:
    """A message that does not come while all are connected is called stuck after the time that was always given."""
    patience = Patience(_LIMITS, now_s=0)
    assert not patience.is_over(["a"], is_connecting=False, now_s=1)
    assert not patience.is_over(["a"], is_connecting=False, now_s=15.9)
    assert patience.is_over(["a"], is_connecting=False, now_s=16)


def test_what_moves_is_only_slow() -> None:
    """Devices that get what they miss one after the other are waited for."""
    patience = Patience(_LIMITS, now_s=0)
    for number in range(9):
        left = list(range(9 - number))
        assert not patience.is_over(left, is_connecting=False, now_s=number * 13.0)


def test_who_has_no_connection_may_not_have_asked_for_one_yet() -> None:
    """A device that was told to come back later is no proof that a message is stuck; one that never comes back is."""
    patience = Patience(_LIMITS, now_s=0)
    assert not patience.is_over(["a"], is_connecting=True, now_s=0)
    assert not patience.is_over(["a"], is_connecting=True, now_s=39)
    assert patience.is_over(["a"], is_connecting=True, now_s=40)


def test_what_changes_for_ever_and_never_comes_is_stuck() -> None:
    """Connections that come and go must not hide a message for ever."""
    patience = Patience(_LIMITS, now_s=0)
    over = [patience.is_over(n, is_connecting=n % 2 == 0, now_s=float(n)) for n in range(121)]
    assert over.index(True) == 120
