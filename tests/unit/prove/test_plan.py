"""The schedule of a fault campaign: a seed says everything, and nobody is left out."""

from __future__ import annotations

from itertools import islice

from prove import plan

WHOLE = plan.Extent(nats=plan.THREE, has_power=True, has_network=True)
ROUND = 90


def _first(seed: int, extent: plan.Extent, count: int = ROUND) -> list[plan.Fault]:
    return list(islice(plan.faults(seed, extent), count))


def test_a_seed_gives_the_same_faults_again() -> None:
    """Whoever reads a seed in the ledger can have that run again, and another seed is another run."""
    assert _first(7, WHOLE) == _first(7, WHOLE)
    assert _first(7, WHOLE) != _first(8, WHOLE)


def test_a_round_has_every_kind_of_fault_and_every_process() -> None:
    """Nothing is left to luck: each deed, each process killed, each pair of the log's servers cut."""
    faults = _first(7, WHOLE)
    deeds = {fault.deed for fault in faults}
    assert deeds == {
        "kill", "pause", "choke", "away", "power", "part", "fill", "clock", "deaf",
        "asleep",
    }  # fmt: skip
    killed = {fault.victims for fault in faults if fault.deed == "kill"}
    assert {(name,) for name in (*plan.PROCESSES, *WHOLE.servers)} <= killed
    cut = {fault.pairs for fault in faults}
    for one, other in (("nats-1", "nats-2"), ("nats-1", "nats-3"), ("nats-2", "nats-3")):
        assert ((one, other), (other, one)) in cut
    assert any(fault.for_s == plan.MINUTE_S and fault.deed == "away" for fault in faults)


def test_every_sort_of_fault_comes_within_ten_minutes() -> None:
    """Some 45 faults fit into ten minutes, fewer than a round has: each sort comes before any comes again, and a shorter
    run says what it left out."""
    for seed in range(1, 20):
        faults = _first(seed, WHOLE)
        sorts = [plan._sort(fault) for fault in faults]
        new = [n for n, sort in enumerate(sorts) if sort not in sorts[:n]]
        assert new == list(range(len(new)))
        assert 30 < len(new) <= 48
        assert plan.left_out(seed, WHOLE, len(new)) == []
        assert plan.left_out(seed, WHOLE, len(new) - 2) == [f.name for f in faults[: len(new)][-2:]]
    paused = {fault.victims for fault in _first(7, WHOLE) if fault.deed == "pause"}
    assert {(name,) for name in (*plan.PROCESSES, *WHOLE.servers)} <= paused


def test_half_of_the_faults_are_followed_by_silence() -> None:
    """Steady traffic hides what a lost last hint does."""
    silent = sum(fault.is_silent for fault in _first(7, WHOLE, 400))
    assert 160 < silent < 240


def test_only_what_the_machine_can_do_is_planned() -> None:
    """Without root nothing is cut, filled or robbed of its power, and kills alone are kills alone."""
    plain = {fault.deed for fault in _first(7, plan.Extent())}
    assert not plain & {"part", "power", "fill"}
    assert {f.deed for f in _first(7, plan.Extent(is_kills_only=True))} == {"kill"}
