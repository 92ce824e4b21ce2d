"""Turns at the store: bounded, fair between accounts, and never for somebody who would be gone."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.turns import Turns
from shared import clock
from shared.errors import Unavailable
from tests.support.log import settled

LONG_S = 60.0


class Desk:
    """Who has had a turn, in order; each keeps it until `done` is set for it."""

    def __init__(self, *, at_once: int) -> None:
        self.turns = Turns("conversation", at_once=at_once)
        self.began: list[str] = []
        self.done: dict[str, asyncio.Event] = {}

    async def ask(self, account_id: str, name: str, *, wait_s: float = LONG_S) -> None:
        self.done[name] = asyncio.Event()
        async with self.turns.take(account_id, until_s=clock.monotonic_s() + wait_s):
            self.began.append(name)
            await self.done[name].wait()

    async def come(self, account_id: str, name: str) -> asyncio.Task[None]:
        """Ask in a task that has begun."""
        task = asyncio.create_task(self.ask(account_id, name))
        await settled()
        return task

    async def finish(self, *names: str) -> None:
        """These have their answers."""
        for name in names:
            self.done[name].set()
            await settled()


async def test_no_more_than_so_many_are_asked_at_once() -> None:
    """Who is beyond the bound waits for a turn and then has it."""
    desk = Desk(at_once=2)
    tasks = [await desk.come("a", name) for name in ("1", "2", "3")]
    assert desk.began == ["1", "2"]
    await desk.finish("1")
    assert desk.began == ["1", "2", "3"]
    await desk.finish("2", "3")
    await asyncio.gather(*tasks)
    again = await desk.come("a", "4")
    assert desk.began[-1] == "4"
    await desk.finish("4")
    await again


async def test_accounts_take_turns() -> None:
    """Whoever comes behind the many of another account is not behind all of them."""
    desk = Desk(at_once=1)
    names = ["first", "many 1", "many 2", "many 3"]
    tasks = [await desk.come("large", name) for name in names]
    tasks.append(await desk.come("small", "one"))
    for name in ("first", "many 1", "one", "many 2", "many 3"):
        await desk.finish(name)
    await asyncio.gather(*tasks)
    assert desk.began == ["first", "many 1", "one", "many 2", "many 3"]


async def test_who_waits_too_long_is_told_so_and_loses_nobody_a_turn() -> None:
    """A turn that comes too late is not taken: its asker hears "overloaded" in time, and the next one has it."""
    desk = Desk(at_once=1)
    first = await desk.come("a", "first")
    with pytest.raises(Unavailable) as refused:
        await desk.ask("a", "hasty", wait_s=0.01)
    assert refused.value.code == "overloaded"
    last = await desk.come("a", "last")
    await desk.finish("first", "last")
    await asyncio.gather(first, last)
    assert desk.began == ["first", "last"]


async def test_who_would_be_gone_before_the_answer_has_no_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While answers take minutes, who waits for less hears "overloaded" when the turn comes, and the next one has it."""
    now_s = 0.0
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s)
    desk = Desk(at_once=1)
    first = await desk.come("a", "first")
    now_s = 100 * LONG_S
    brief = await desk.come("a", "brief")
    patient = asyncio.create_task(desk.ask("a", "patient", wait_s=100 * LONG_S))
    await settled()
    await desk.finish("first", "patient")
    with pytest.raises(Unavailable) as refused:
        await brief
    assert refused.value.code == "overloaded"
    await asyncio.gather(first, patient)
    assert desk.began == ["first", "patient"]


async def test_a_cancelled_asker_gives_the_turn_back() -> None:
    """Whether they waited, had just been given it, or held it: those behind them are served."""
    desk = Desk(at_once=1)
    holder = await desk.come("a", "holder")
    given = await desk.come("a", "given")
    waiting = await desk.come("a", "waiting")
    last = await desk.come("a", "last")
    waiting.cancel()
    await settled()
    holder.cancel()
    # One step further the turn is the next one's, who has not woken yet.
    await asyncio.sleep(0)
    given.cancel()
    await settled()
    await desk.finish("last")
    await last
    assert desk.began[-1] == "last"
