"""Limits: what is granted, over how long, and how much memory that takes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.config import GatewayConfig
from services.gateway.limits import Gcra, Limit, Limiter, address_key, limits_of
from shared.errors import Unavailable


@given(
    per_s=st.floats(0.1, 100),
    burst=st.integers(1, 50),
    gaps_s=st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_never_more_than_the_burst_and_the_rate(
    per_s: float, burst: int, gaps_s: list[float]
) -> None:
    """In any stretch of time no more is granted than burst + rate x seconds."""
    gcra = Gcra(Limit(per_s=per_s, burst=burst))
    now_s, granted = 1000.0, []
    for gap_s in gaps_s:
        now_s += gap_s
        if not gcra.take("k", now_s):
            granted.append(now_s)
    for first, from_s in enumerate(granted):
        for last, to_s in enumerate(granted[first:], start=first):
            assert last - first + 1 <= burst + per_s * (to_s - from_s) + 1e-3


@given(per_s=st.floats(0.1, 100), burst=st.integers(1, 50), asked=st.integers(1, 200))
def test_who_waits_as_told_is_granted(per_s: float, burst: int, asked: int) -> None:
    """The seconds that a refusal names are enough, and refusals cost nothing."""
    gcra = Gcra(Limit(per_s=per_s, burst=burst))
    waits = [gcra.take("k", 0.0) for _ in range(asked)]
    assert sum(1 for w in waits if not w) == min(asked, burst)
    if waits[-1]:
        assert gcra.take("k", waits[-1] + 1e-6) == 0.0


def test_keys_do_not_know_each_other() -> None:
    """One visitor's flood takes nothing from another."""
    gcra = Gcra(Limit(per_s=1, burst=1))
    assert gcra.take("a", 0) == 0
    assert gcra.take("a", 0) > 0
    assert gcra.take("b", 0) == 0


def test_several_processes_share_a_limit() -> None:
    """Each of four grants a quarter, at once and in the long run."""
    gcra = Gcra(Limit(per_s=4, burst=8), processes=4)
    assert [bool(gcra.take("k", 0)) for _ in range(3)] == [False, False, True]
    assert gcra.take("k", 1.01) == 0
    assert gcra.take("k", 1.02) > 0


def test_memory_is_bounded() -> None:
    """A flood of keys forgets the ones that asked longest ago, not the ones that ask now."""
    gcra = Gcra(Limit(per_s=0.001, burst=1), max_keys=100)
    for number in range(10_000):
        gcra.take(str(number), 0)
    assert len(gcra) == 100
    assert gcra.take("9999", 0) > 0


def test_a_right_password_costs_nothing() -> None:
    """What was charged before the check is given back."""
    limits = msgspec.structs.replace(
        limits_of(GatewayConfig()), failures=Limit(per_s=0.001, burst=1)
    )
    limiter = Limiter(limits)
    for _ in range(5):
        limiter.charge("failures", "k", 0)
        limiter.give_back("failures", "k")
    limiter.charge("failures", "k", 0)
    with pytest.raises(Unavailable) as refused:
        limiter.charge("failures", "k", 0)
    assert refused.value.code == "rate_limited"
    assert refused.value.retry_after_s > 900


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        (None, "unknown"),
        ("not an address", "unknown"),
    ],
)
def test_a_subscriber_is_one_address(address: str | None, key: str) -> None:
    """All of an IPv6 /64 counts as one, a mapped IPv4 address as itself."""
    assert address_key(address) == key
