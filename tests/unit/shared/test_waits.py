"""The list of what waits in a conversation stays short, and is never kinder to us than the whole list would be."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.ids import Position
from shared.waits import MOST, NEWEST, Waits, joined, times, uncovered

_SECOND_NS = 1_000_000_000


class _Wait:
    """The list as it is kept, beside the whole of it."""

    def __init__(self) -> None:
        self.position: Position = 10
        self.kept: Waits = ()
        self.kept_ns: tuple[int, ...] = ()
        self.whole: list[Position] = []

    def write(self, after: int) -> None:
        """A message, so many positions later."""
        self.position += after
        self._follow(joined(self.kept, self.position))
        self.whole.append(self.position)

    def answer(self, share: float) -> Position:
        """By somebody who had been shown that share of everything, and where that ends."""
        seen = round(share * self.position)
        self.position += 1
        self._follow(uncovered(self.kept, seen))
        self.whole = [each for each in self.whole if each > seen]
        return seen

    def _follow(self, after: Waits) -> None:
        at_ns = self.position * _SECOND_NS
        self.kept_ns = times(self.kept, self.kept_ns, after, self.position, at_ns)
        self.kept = after


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 400), st.integers(1, 9)),
        st.tuples(st.just("answer"), st.floats(0, 1), st.just(0)),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(_steps)
def test_a_thinned_wait_is_never_kinder_than_the_whole_one(
    steps: list[tuple[str, float, int]],
) -> None:
    """It is open exactly when the whole one is, its newest is exact, and it begins no later, in place and in time, yet
    after what the last answer covered; where fewer than `NEWEST` are open it is exact."""
    wait, covered = _Wait(), 0
    for kind, amount, apart in steps:
        if kind == "answer":
            covered = max(covered, wait.answer(amount))
        else:
            for _ in range(int(amount)):
                wait.write(apart)
        assert len(wait.kept) <= MOST
        assert bool(wait.kept) == bool(wait.whole)
        assert list(wait.kept) == sorted(set(wait.kept))
        assert len(wait.kept_ns) == len(wait.kept)
        if wait.whole:
            assert wait.kept[-NEWEST + 1 :] == tuple(wait.whole[-NEWEST + 1 :])
            assert covered < wait.kept[0] <= wait.whole[0]
            assert wait.kept_ns[0] <= wait.whole[0] * _SECOND_NS
        if len(wait.whole) < NEWEST:
            assert wait.kept == tuple(wait.whole)
            assert [each * _SECOND_NS for each in wait.whole] == list(wait.kept_ns)


def test_thousands_keep_their_begin_and_an_early_answer_costs_little() -> None:
    """Twenty thousand unanswered messages wait since the first; an answer to half of them leaves the other half open
    since a time that is no more than a sixteenth of the wait too early."""
    wait = _Wait()
    for _ in range(20_000):
        wait.write(1)
    assert (wait.kept[0], wait.kept[-1]) == (wait.whole[0], wait.whole[-1])
    wait.answer(0.5)
    assert wait.kept[0] == wait.whole[0]
    early_ns = wait.whole[0] * _SECOND_NS - wait.kept_ns[0]
    assert 0 <= early_ns <= 20_000 * _SECOND_NS / 16
