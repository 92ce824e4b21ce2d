"""The order in which processes die at their crash points: none is forgotten, and what was missed is tried harder."""

from __future__ import annotations

from collections import Counter

from prove import points


def _mark(name: str, trap: str) -> str:
    return f"{name.rpartition('-')[0]} {trap.partition(':')[0]}"


def test_every_point_is_tried_before_one_is_tried_twice() -> None:
    """A site where everybody dies as told is through all points in as many faults as the longest list of a kind has."""
    sprung: set[str] = set()
    wanted = {point.mark for point in points.points()}
    most = max(Counter(point.kind for point in points.points()).values())
    for number, fault in enumerate(points.traps(3, sprung)):
        if wanted <= sprung:
            break
        assert number < most
        assert {name.rpartition("-")[0] for name in fault.traps} == {
            "gateway",
            "store",
            "dispatcher",
            "presence",
        }
        assert set(fault.traps) <= set(fault.victims)
        sprung.update(_mark(name, trap) for name, trap in fault.traps.items())


def test_as_long_as_some_are_new_each_dies_at_another_point() -> None:
    """Two processes of a kind try two points at a time, or one alone: else a campaign is half as fast."""
    faults = points.traps(3, set())
    pairs = 0
    for _ in range(8):
        traps = next(faults).traps
        for kind in ("gateway", "store", "dispatcher", "presence"):
            places = [_mark(name, trap) for name, trap in traps.items() if name.startswith(kind)]
            assert len(set(places)) == len(places)
            pairs += len(places) == 2
    assert pairs


def test_where_one_has_died_both_die_at_once() -> None:
    """Once every point of a kind had its death, no standby is left over to help."""
    sprung = {point.mark for point in points.points()}
    faults = points.traps(3, sprung)
    together = 0
    for _ in range(20):
        traps = next(faults).traps
        for kind in ("gateway", "store", "dispatcher", "presence"):
            places = [_mark(name, trap) for name, trap in traps.items() if name.startswith(kind)]
            assert len(set(places)) == 1, "one freezes alone, two die at the same point"
            together += len(places) == 2
    assert together


def test_what_nobody_came_by_is_tried_again_and_longer() -> None:
    """At its first pass then, and with more patience; after a few tries the others have their turns again."""
    rare = "gateway gateway.queue.ask"
    sprung: set[str] = set()
    tried: list[tuple[str, float]] = []
    faults = points.traps(3, sprung)
    for _ in range(300):
        fault = next(faults)
        for name, trap in fault.traps.items():
            if _mark(name, trap) != rare:
                sprung.add(_mark(name, trap))
            elif not tried or tried[-1][1] != fault.for_s:
                tried.append((trap.split(":")[1], fault.for_s))
    assert [passes for passes, _ in tried[1:4]] == ["1"] * 3
    waits = [wait_s for _, wait_s in tried[:4]]
    assert waits == sorted(waits)
    assert waits[0] < waits[3]
    assert f"crash of {rare.replace(' ', ' at ')}: it was not passed" in points.never_reached(
        sprung
    )


def test_what_no_campaign_comes_by_says_why() -> None:
    """Such a point exists, is tried nowhere in vain, and the result names the reason."""
    told = points.never_reached({point.mark for point in points.points()})
    assert told
    assert all(": " in text and "see tests/" in text for text in told)
    names = {text.removeprefix("crash at ").partition(":")[0] for text in told}
    assert not names & {point.name for point in points.points()}


def test_a_part_of_the_points_can_be_asked_for() -> None:
    """By the kind of process, by the beginning of a name, or one alone; the result says that the others were left out."""
    assert {point.kind for point in points.points("store")} == {"store"}
    assert {point.name for point in points.points("gateway.keys")} == {"gateway.keys"}
    both = {point.kind for point in points.points("presence, fenced")}
    assert both == {"presence", "dispatcher"}
    assert list(points.traps(3, set(), only="no.such")) == []
    fault = next(points.traps(3, set(), only="presence"))
    assert {name.rpartition("-")[0] for name in fault.traps} == {"presence"}
    assert any("not asked for" in text for text in points.never_reached(set(), only="presence"))
