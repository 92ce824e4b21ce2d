"""What a figure is: runs of ours and of the raw server in turn, their median, and what makes it void. Pure."""

from __future__ import annotations

import statistics

import msgspec


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured: everything, or a small version that only shows that it works."""

    is_quick: bool = False

    @property
    def runs(self) -> int:
        """How often each side has its turn."""
        return 1 if self.is_quick else 5

    def of(self, full: int, quick: int) -> int:
        """The one or the other size."""
        return quick if self.is_quick else full


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """A raw server at the same work in the same run; `factor`: how many times its figure ours is to be."""

    what: str
    runs: list[float]
    factor: float | None = None


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """What the completeness check found after the runs; anything but zeros makes the figure void."""

    lost: int = 0
    doubled: int = 0
    disordered: int = 0

    @property
    def count(self) -> int:
        """All of them."""
        return self.lost + self.doubled + self.disordered

    def plus(self, other: Faults) -> Faults:
        """Of both."""
        return Faults(
            lost=self.lost + other.lost,
            doubled=self.doubled + other.doubled,
            disordered=self.disordered + other.disordered,
        )


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. `reach` is a floor, or a ceiling when less is better (a unit of time or size).
    `costs`: processor microseconds per unit of work, by process. `notes`: what else the run showed."""

    figure: str
    what: str
    unit: str
    ours: list[float]
    reach: float | None = None
    is_less_better: bool = False
    beside: list[Beside] = []
    faults: Faults | None = None
    costs: dict[str, float] = {}
    notes: dict[str, float | str] = {}

    @property
    def median(self) -> float:
        """Ours."""
        return statistics.median(self.ours)

    def times(self, other: Beside) -> float:
        """How many times the raw server's figure ours is."""
        raw = statistics.median(other.runs)
        return self.median / raw if raw else 0.0

    @property
    def is_void(self) -> bool:
        """Whether something was lost, doubled or out of order."""
        return self.faults is not None and self.faults.count > 0

    @property
    def is_reached(self) -> bool:
        """Whether the goals are met, those against the raw servers too."""
        if self.is_void:
            return False
        is_met = self.reach is None or self._is_within(self.median, self.reach)
        return is_met and all(
            other.factor is None or self._is_within(self.times(other), other.factor)
            for other in self.beside
        )

    def _is_within(self, value: float, limit: float) -> bool:
        return value <= limit if self.is_less_better else value >= limit


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """Latency at one offered load, in ms; from the moment a message was due, whether or not it could be sent then."""

    line: str
    load: float
    p50: float
    p99: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a module hands back: lines of the table and points of the plot."""

    rows: list[Row]
    points: list[Point] = []


def percentile(values: list[float], part: float) -> float:
    """The value below which this part of the values lies; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
