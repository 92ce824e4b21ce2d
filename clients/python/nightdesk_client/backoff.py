"""When to come back: the first try after 0–1 s at random, then full jitter growing to 20 s.

At random from zero, so that ten thousand devices that lost the same gateway don't return as one wave.
"""

from __future__ import annotations

import random

FIRST_S = 1.0
LONGEST_S = 20.0


class Backoff:
    """Counts the failures in a row and says how long to wait."""

    def __init__(self, *, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._failures = 0

    def next_s(self) -> float:
        """Seconds to wait before the next try; grows with every call until `reset`."""
        ceiling = min(self._longest_s, self._first_s * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        return random.uniform(0, ceiling)  # noqa: S311 - jitter, not a secret

    def reset(self) -> None:
        """It worked: the next failure is the first again."""
        self._failures = 0
