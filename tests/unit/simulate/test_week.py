"""The simulator keeps its word: clean weeks pass, planted faults are found, and a failing seed can be shown again."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulate.broken import RULES
from simulate.faults import FAULTS, first_found
from simulate.trace import told
from simulate.week import evenings, live, replay, shrink

PAGE = Path(__file__).parents[3] / "docs/how-to/simulate.md"


@pytest.mark.parametrize("seed", [1, 2])
def test_a_week_keeps_every_promise(seed: int) -> None:
    """Flaps, restarts, takeovers, repeats, strange policies: no rule is broken in a whole week."""
    outcome = live(seed, 1_200)
    assert (outcome.rule, outcome.text) == ("", "")
    assert outcome.events >= 1_200
    assert outcome.decisions > 200
    assert outcome.judged.keys() <= RULES.keys()


def test_evenings_keep_the_promise_of_alerts() -> None:
    """Sleep, cuts, roaming, dead gateways, frozen presence, lost beats and hints: one rings, and never none."""
    assert evenings(1, 60) is None


def test_a_failing_evening_is_told() -> None:
    """The story of an evening names what happened, and is the same again."""
    fault = FAULTS["lock_never_moves"]
    with fault.patch():
        found = evenings(0, 20, after=50)
        assert found is not None
        assert any("comes" in line for line in found.story)
        assert evenings(0, 20, after=50) == found


def test_a_seed_is_a_week() -> None:
    """The same seed gives the same events, decisions and steps; another one gives others."""
    first, again, other = (live(seed, 400) for seed in (5, 5, 6))
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str) -> None:
    """Each promise has teeth: a decision that breaks it is caught, and by the rule that names it."""
    fault = FAULTS[name]
    outcome = first_found(fault)
    assert outcome is not None
    assert outcome.rule in fault.rules, outcome.text


def test_every_rule_has_a_fault_and_a_line_in_the_docs() -> None:
    """No promise is judged that nothing could break, none is left out of the page that lists them."""
    broken = {rule for fault in FAULTS.values() for rule in fault.rules}
    assert broken == RULES.keys()
    page = PAGE.read_text()
    assert [rule for rule in RULES if f"`{rule}`" not in page] == []


def test_a_failing_week_is_cut_to_what_matters() -> None:
    """The trace holds a fraction of the inputs, still breaks the same rule, and names the seed's log lines."""
    fault = FAULTS["repeats_count"]
    outcome = first_found(fault)
    assert outcome is not None
    with fault.patch():
        fewer = shrink(outcome, most_tries=30)
        assert len(fewer) < len(outcome.inputs)
        _, broken = replay(outcome.seed, fewer)
        assert broken is not None
        assert broken.rule == outcome.rule
        assert str(broken) in told(outcome, fewer)
