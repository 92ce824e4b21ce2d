"""Conditions on pages and attributes: what is met, and what never is."""

from __future__ import annotations

import pytest

from shared.policy.conditions import Condition, is_met

_PAGE = "https://Shop.example/pricing/teams?plan=gold#top"


@pytest.mark.parametrize(
    ("pattern", "is_there"),
    [
        ("/pricing/teams", True),
        ("/pricing", False),
        ("/pricing*", True),
        ("/*/teams", True),
        ("*teams", True),
        ("/pricing/teams?plan=gold", False),
        ("shop.example/*", True),
        ("shop.example", False),
        ("*.example/pricing/*", True),
        ("other.example/*", False),
        ("/pricing*pricing/teams", False),
        ("*", True),
    ],
)
def test_a_page_is_matched_without_query(pattern: str, is_there: bool) -> None:
    """Path or host and path, * for anything, the whole of it; query, fragment and the case of the host don't count."""
    assert is_met(Condition(page=pattern), _PAGE, {}) is is_there


@pytest.mark.parametrize("page", ["", "http://[", "no address", "https://shop.example"])
def test_what_is_no_page_is_on_none(page: str) -> None:
    """A broken address never fails and never fits a path."""
    assert not is_met(Condition(page="/pricing*"), page, {})


def test_an_attribute_is_there_or_equals() -> None:
    """All that is given must be so; without a value any will do; a missing attribute never equals."""
    gold = {"plan": "gold"}
    assert is_met(Condition(attribute="plan", equals="gold"), "", gold)
    assert is_met(Condition(attribute="plan"), "", gold)
    assert not is_met(Condition(attribute="plan", equals="Gold"), "", gold)
    assert not is_met(Condition(attribute="plan"), "", {})
    both = Condition(page="/pricing*", attribute="plan", equals="gold")
    assert is_met(both, _PAGE, gold)
    assert not is_met(both, _PAGE, {})
    assert not is_met(both, "https://shop.example/", gold)


def test_a_hostile_pattern_takes_no_time() -> None:
    """Many stars over a long page: linear pieces, not a search tree."""
    assert not is_met(Condition(page="/" + "*a" * 90 + "b"), "https://x.example/" + "a" * 1900, {})
