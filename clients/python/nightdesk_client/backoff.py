"""When to come back: the first try after 0–1 s at random, then full jitter growing to 5 s in the first minute of an
outage and to 20 s after that.

At random from zero, so that ten thousand devices that lost the same gateway don't return as one wave. What answers at
once that it is away (a process that is started again) costs nothing to ask; where an answer does not come in time there
is a crowd already, and each failure counts in full.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

FIRST_S = 1.0
SOON_S = 5.0
SOON_FOR_S = 60.0
LONGEST_S = 20.0


class Backoff:
    """Counts the failures in a row and says how long to wait."""

    def __init__(
        self,
        *,
        first_s: float = FIRST_S,
        longest_s: float = LONGEST_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._now_s = now_s
        self._failures = 0
        self._since_s = 0.0

    def next_s(self, *, is_crowded: bool = False) -> float:
        """Seconds to wait before the next try; grows with every call until `reset`. `is_crowded`: it did not answer in
        time."""
        if self._failures == 0:
            self._since_s = self._now_s()
        is_soon = not is_crowded and self._now_s() - self._since_s < SOON_FOR_S
        most_s = min(SOON_S, self._longest_s) if is_soon else self._longest_s
        ceiling = min(most_s, self._first_s * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        return random.uniform(0, ceiling)  # noqa: S311 - jitter, not a secret

    def reset(self) -> None:
        """It worked: the next failure is the first again."""
        self._failures = 0
