"""Metrics with labels, their children kept: finding a child by its labels costs three times what counting does.

Where even that is much, a `Tally` counts in a number of its own and gives it to the metric now and then: a message
passes ten counters, each of which takes a lock."""

from __future__ import annotations

import functools
from typing import TypeVar

from prometheus_client import Counter, Gauge, Histogram

M = TypeVar("M", Counter, Gauge, Histogram)


@functools.cache
def labelled(metric: M, *labels: str) -> M:
    """The child of a metric; labels come from closed sets, so there are few."""
    return metric.labels(*labels)


class Tally:
    """Counts for one child of a counter; `settle` gives to the counter what was counted."""

    __slots__ = ("_child", "_count")

    def __init__(self, child: Counter) -> None:
        self._child = child
        self._count = 0

    def inc(self, count: int = 1) -> None:
        """Count, in the event loop."""
        self._count += count

    def settle(self) -> None:
        """Show what was counted."""
        if self._count:
            count, self._count = self._count, 0
            self._child.inc(count)


_tallies: list[Tally] = []


@functools.cache
def tally(metric: Counter, *labels: str) -> Tally:
    """The tally of a metric's child; its counts show after the next `settle_tallies`."""
    made = Tally(metric.labels(*labels) if labels else metric)
    _tallies.append(made)
    return made


def settle_tallies() -> None:
    """Give every tally's count to its counter; a service that uses them calls it a few times a second."""
    for each in _tallies:
        each.settle()
