"""Behind proxies the client's address counts, and nobody chooses their own."""

from __future__ import annotations

import pytest

from services.gateway.proxies import HeaderName, Proxies
from shared.errors import Refused

NEAR = "10.0.0.7"
CLIENT = "203.0.113.9"


@pytest.mark.parametrize(
    ("peer", "said", "expected"),
    [
        (NEAR, [CLIENT], CLIENT),
        (NEAR, [f"1.1.1.1, {CLIENT}"], CLIENT),
        (NEAR, [f"1.1.1.1, {CLIENT}, 10.0.0.8"], CLIENT),
        (NEAR, ["1.1.1.1", f"{CLIENT}, 10.0.0.8"], CLIENT),
        (NEAR, [f"{CLIENT}:5123"], CLIENT),
        (NEAR, ["[2001:db8::1]:99"], "2001:db8::1"),
        (NEAR, ["2001:db8::1"], "2001:db8::1"),
        (NEAR, ["10.0.0.8, 10.0.0.9"], "10.0.0.8"),
        (NEAR, [f"{CLIENT}, rubbish"], NEAR),
        (NEAR, ["unknown"], NEAR),
        (NEAR, [""], NEAR),
        (NEAR, [], NEAR),
        ("::ffff:10.0.0.7", [CLIENT], CLIENT),
        (CLIENT, ["1.1.1.1"], CLIENT),
        (None, ["1.1.1.1"], None),
    ],
)
def test_the_last_that_is_no_proxy_counts(
    peer: str | None, said: list[str], expected: str | None
) -> None:
    """What a client writes into the header itself stands to the left and is not believed."""
    assert Proxies("10.0.0.0/8, 192.168.1.1").client(peer, said) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("for=203.0.113.9;proto=https", CLIENT),
        ('proto=https; For="203.0.113.9:99"', CLIENT),
        ('for=1.1.1.1, for="[2001:db8::1]:4711";by=10.0.0.8', "2001:db8::1"),
        ('by="x;for=1.1.1.1";for=203.0.113.9', CLIENT),
        ('for=1.1.1.1, for="203.0.113.9";host="a, for=1.2.3.4"', CLIENT),
        (r'for="1.1.1.1", for="203\.0.113.9";ext="say \"for=1.1.1.1\", please"', CLIENT),
        ('for="1.1.1.1, for=203.0.113.9', CLIENT),
        (r'for="1.1.1.1\", for="203.0.113.9"', CLIENT),
        ("for=_hidden", NEAR),
        ("by=203.0.113.9", NEAR),
    ],
)
def test_the_standard_header_is_read(said: str, expected: str) -> None:
    """RFC 7239, with quotes, ports and parameters."""
    header: HeaderName = "forwarded"
    assert Proxies("10.0.0.0/8", header).client(NEAR, [said]) == expected


def test_without_proxies_nobody_is_believed() -> None:
    """The default: the peer is who it is, whatever it says."""
    assert Proxies("").client(NEAR, [CLIENT]) == NEAR


def test_what_is_no_network_refuses_to_run() -> None:
    """A mistyped network must not open the door to anybody's word."""
    with pytest.raises(Refused, match=r"10\.0\.0\.0/99"):
        Proxies("10.0.0.0/99")
