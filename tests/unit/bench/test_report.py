"""The result of record holds the newest measurement of each figure."""

from __future__ import annotations

from bench.figures import Measured, Point, Row
from bench.report import Machine, Result, joined

_MACHINE = Machine(cores=2, memory_gb=24, system="Linux", python="3.11", load_before=0.1)


def _result(at: str, value: float, *figures: str) -> Result:
    return Result(
        at=at,
        is_quick=False,
        machine=_MACHINE,
        measured=Measured(
            rows=[Row(figure=name, what="work", unit="ms", ours=[value]) for name in figures],
            points=[Point(line=f"accepted ({name})", load=1, p50=value, p99=1) for name in figures],
        ),
        figures=dict.fromkeys(figures, at),
    )


def test_a_figure_measured_again_replaces_itself_alone() -> None:
    """The others stay, with their points and the time of their own measurement."""
    kept = joined(_result("monday", 1.0, "B1", "B4"), _result("tuesday", 2.0, "B4"))
    assert [(row.figure, row.ours) for row in kept.measured.rows] == [("B1", [1.0]), ("B4", [2.0])]
    assert [(p.line, p.p50) for p in kept.measured.points] == [
        ("accepted (B1)", 1.0),
        ("accepted (B4)", 2.0),
    ]
    assert kept.figures == {"B1": "monday", "B4": "tuesday"}
