"""Growing pauses with jitter between attempts, so that many processes do not come back at once."""

from __future__ import annotations

import random


def jitter(most_s: float) -> float:
    """A pause between nothing and `most_s`."""
    return random.uniform(0, most_s)  # noqa: S311  spreads load, guards nothing


class Backoff:
    """Each pause up to twice as long as the one before, from `first_s` to `most_s`."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._now_s = first_s

    def next_s(self) -> float:
        """The next pause: at least half of its length, the rest by chance."""
        pause_s = self._now_s
        self._now_s = min(self._now_s * 2, self._most_s)
        return pause_s / 2 + jitter(pause_s / 2)

    def reset(self) -> None:
        """Something worked: begin again with short pauses."""
        self._now_s = self._first_s
