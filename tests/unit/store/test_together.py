"""Questions read together: nobody waits for company, for nothing, or in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from services.store.handlers.together import Bounds, Together
from shared import clock
from shared.errors import Unavailable
from tests.support.log import settled

FOR_EVER = float("inf")


class Reads:
    """Answers each question with its double; a read goes on when it is let."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.held: list[asyncio.Future[None]] = []
        self.is_held = False

    async def read(self, questions: Sequence[int]) -> Sequence[int]:
        self.asked.append(list(questions))
        if self.is_held:
            self.held.append(asyncio.get_running_loop().create_future())
            await self.held[-1]
        if any(question < 0 for question in questions):
            raise Unavailable("no")
        return [question * 2 for question in questions]

    async def begin(
        self, together: Together[int, int], *questions: int
    ) -> asyncio.Future[list[int | BaseException]]:
        """Ask, and come back when it is being read or waits."""
        asked = (together.read(each, until_s=FOR_EVER) for each in questions)
        answers = asyncio.gather(*asked, return_exceptions=True)
        await settled()
        return answers

    def let_go(self) -> None:
        """Every read goes on, and those to come."""
        self.is_held = False
        for each in self.held:
            each.set_result(None)


async def test_those_who_come_meanwhile_are_read_together() -> None:
    """The first is read at once and alone; who comes while it is read goes in as few reads as hold them, and each gets
    its own answer."""
    reads = Reads()
    together = Together(reads.read, Bounds(at_once=1, most=3))
    reads.is_held = True
    first = await reads.begin(together, 1)
    rest = await reads.begin(together, 2, 3, 4, 5)
    reads.let_go()
    assert (await first, await rest) == ([2], [4, 6, 8, 10])
    assert reads.asked == [[1], [2, 3, 4], [5]]


async def test_who_comes_as_the_last_read_ends_is_read_at_once() -> None:
    """Whoever asks in the very moment in which the last read is over is not left to a reader that has just gone home."""
    for turns in range(8):
        reads = Reads()
        together = Together(reads.read, Bounds(at_once=1, most=8))
        reads.is_held = True
        first = await reads.begin(together, 1)
        reads.let_go()
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            assert (await together.read(2, until_s=FOR_EVER), await first) == (4, [2])


async def test_who_gives_up_takes_the_read_from_nobody() -> None:
    """One of those who are read for together goes away in the midst of it: the others get their answers."""
    reads = Reads()
    together = Together(reads.read, Bounds(at_once=1, most=8))
    reads.is_held = True
    first = await reads.begin(together, 1)
    gone = asyncio.create_task(together.read(2, until_s=FOR_EVER))
    last = await reads.begin(together, 3)
    reads.held[0].set_result(None)
    await first
    # The next read holds both questions by now, and is under way.
    await settled()
    gone.cancel()
    await settled()
    reads.held[1].set_result(None)
    async with asyncio.timeout(10):
        assert await last == [6]
    assert reads.asked == [[1], [2, 3]]


async def test_few_are_spread_over_the_reads() -> None:
    """Two who come at once do not wait in one read while another could be under way."""
    reads = Reads()
    together = Together(reads.read, Bounds(at_once=2, most=8))
    await (await reads.begin(together, 1, 2))
    assert reads.asked == [[1], [2]]


async def test_nothing_is_read_for_those_who_have_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question whose asker waits no longer is dropped when its turn comes, before it costs the database anything; so
    is one whose task was cancelled."""
    monkeypatch.setattr(clock, "monotonic_s", lambda: 100.0)
    reads = Reads()
    together = Together(reads.read, Bounds(at_once=1, most=8))
    reads.is_held = True
    first = await reads.begin(together, 1)
    late = asyncio.create_task(together.read(2, until_s=110.0))
    gone = asyncio.create_task(together.read(3, until_s=FOR_EVER))
    last = await reads.begin(together, 4)
    gone.cancel()
    monkeypatch.setattr(clock, "monotonic_s", lambda: 111.0)
    reads.let_go()
    with pytest.raises(Unavailable) as refused:
        await late
    assert refused.value.code == "late"
    assert (await first, await last) == ([2], [8])
    assert reads.asked == [[1], [4]]


async def test_too_many_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """When more waits than is answered while somebody waits, they are told so and not kept until they have gone; who has
    more patience is taken."""
    monkeypatch.setattr(clock, "monotonic_s", lambda: 100.0)
    reads = Reads()
    together = Together(reads.read, Bounds(at_once=1, most=1))
    reads.is_held = True
    slow = await reads.begin(together, 1)
    monkeypatch.setattr(clock, "monotonic_s", lambda: 101.0)
    reads.let_go()
    await slow
    # The first took a second: the next are expected to take a fifth of it.
    reads.is_held, reads.held = True, []
    waiting = await reads.begin(together, *range(2, 13))
    with pytest.raises(Unavailable) as refused:
        await together.read(13, until_s=102.5)
    assert refused.value.code == "overloaded"
    patient = await reads.begin(together, 14)
    reads.let_go()
    await waiting
    assert await patient == [28]
    assert reads.asked[-1] == [14]


async def test_a_failed_read_fails_those_in_it_and_nobody_else() -> None:
    """What a read raises all of its questions get; the next read is carried out."""
    reads = Reads()
    together = Together(reads.read, Bounds(at_once=1, most=2))
    reads.is_held = True
    first = await reads.begin(together, 1)
    rest = await reads.begin(together, -2, 3, 4)
    reads.let_go()
    answers = await rest
    assert await first == [2]
    assert isinstance(answers, list)
    assert [isinstance(answer, Unavailable) for answer in answers] == [True, True, False]
    assert answers[2] == 8
