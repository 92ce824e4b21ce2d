"""What goes with which commit: the store's term with a log and a database that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from services.store.config import Config
from services.store.handlers import lead
from services.store.handlers.batch import Folding, Prepared
from services.store.handlers.lead import Lead, Session
from services.store.handlers.place import Place
from services.store.handlers.poison import Poison
from services.store.handlers.progress import Progress
from shared import events as e
from shared.bus import Batch, Delivery
from shared.codec import encode_event
from shared.errors import Unavailable
from shared.ids import Position
from shared.subjects import event_subject
from shared.weight import Share
from tests.support.desk import ACCOUNT, agent_id
from tests.support.log import settled

_TIMEOUT_S = 60.0


class _Log:
    """Hands over one event whenever the test says so."""

    lag = 0
    behind_s = 0.0

    def __init__(self) -> None:
        self._batches: asyncio.Queue[Batch] = asyncio.Queue()
        self._position = 0
        self.all_folded = asyncio.Event()

    async def batches(self) -> AsyncGenerator[Batch, None]:
        while True:
            if self._batches.empty():
                self.all_folded.set()
            yield await self._batches.get()

    def append(self) -> None:
        """One more event, of a kind that needs no row."""
        self._position += 1
        self.all_folded.clear()
        event = e.WriterStarted(account_id=ACCOUNT, writer=agent_id("w"))
        delivery = Delivery(
            self._position, event_subject("0", "routing"), self._position, encode_event(event)
        )
        self._batches.put_nowait(Batch(deliveries=[delivery], at_end=True, now_ns=1))

    def say_nothing(self) -> None:
        """An idle moment."""
        self._batches.put_nowait(Batch(deliveries=[], at_end=True, now_ns=1))


class _Database:
    """Commits when the test lets it."""

    def __init__(self) -> None:
        self.begun: list[tuple[Position, Position]] = []
        self.has_begun = asyncio.Semaphore(0)
        self.may_commit = asyncio.Semaphore(0)
        self.failure: Exception | None = None

    async def make_room(self, *_: int) -> None:
        pass

    async def beat(self, *_: int) -> None:
        pass

    async def commit(self, batch: Prepared, expected: Position) -> None:
        assert batch.first == expected + 1
        self.begun.append((batch.first, batch.last))
        self.has_begun.release()
        await self.may_commit.acquire()
        if self.failure:
            raise self.failure


class _Hints:
    async def tell(self, *_: object, **__: object) -> None:
        pass


class _World:
    def __init__(self) -> None:
        self.log = _Log()
        self.database = _Database()
        self.progress = Progress()
        config = Config()
        self.weights: list[int] = []
        place = Place(
            bus=cast("Any", None),
            database_url="",
            shard="0",
            config=config,
            share=Share(5, behind_s=2.0, ways=[self._weigh]),
        )
        place.share.begin()
        term = Lead(
            place,
            Session(writer=cast("Any", self.database), loader=cast("Any", None)),
            progress=self.progress,
            hints=cast("Any", _Hints()),
            poison=Poison(batch_entries=config.batch_entries, limit=1),
        )
        self.stopping = asyncio.Event()
        self.running = asyncio.create_task(term.run(cast("Any", self.log), self.stopping))

    def _weigh(self, nice: int) -> bool:
        self.weights.append(nice)
        return True

    async def begun(self) -> None:
        """Wait until one more commit has begun."""
        await asyncio.wait_for(self.database.has_begun.acquire(), _TIMEOUT_S)

    async def close(self) -> None:
        self.stopping.set()
        self.database.may_commit.release()
        self.log.say_nothing()
        await asyncio.wait_for(self.running, _TIMEOUT_S)


async def test_what_comes_during_a_commit_goes_with_the_next_one() -> None:
    """Nobody waits for a commit that began after their event came, and a commit that ends begins the next by itself."""
    world = _World()
    world.log.append()
    await world.begun()
    for _ in range(3):
        world.log.append()
    await asyncio.wait_for(world.log.all_folded.wait(), _TIMEOUT_S)
    world.database.may_commit.release()
    await world.begun()
    assert world.database.begun == [(1, 1), (2, 4)]
    world.database.may_commit.release()
    assert await world.progress.reach(4, _TIMEOUT_S)
    world.log.append()
    await world.begun()
    assert world.database.begun[-1] == (5, 5)
    await world.close()


async def test_after_a_commit_that_failed_nothing_is_committed() -> None:
    """What was folded behind it stands on rows that are not there: the term ends."""
    world = _World()
    world.database.failure = Unavailable("gone")
    world.log.append()
    await world.begun()
    world.log.append()
    world.database.may_commit.release()
    world.log.say_nothing()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(world.running, _TIMEOUT_S)
    assert world.database.begun == [(1, 1)]


async def test_a_store_that_is_far_behind_steps_back_for_nobody() -> None:
    """The weight that lets acceptance go first in a rush ends where the lag would grow without end."""
    world = _World()
    world.log.behind_s = 9.0
    world.log.append()
    await world.begun()
    await asyncio.wait_for(world.log.all_folded.wait(), _TIMEOUT_S)
    assert world.weights == [5, 0]
    await world.close()


async def test_what_is_far_behind_is_committed_before_the_batch_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A store that catches up collects a large batch, but not for so long that its lease runs out."""
    world = _World()
    world.log.lag = 10**9
    monkeypatch.setattr(lead, "_FOLDED_FOR_S", 3600.0)
    world.log.append()
    await asyncio.wait_for(world.log.all_folded.wait(), _TIMEOUT_S)
    assert world.database.begun == []
    monkeypatch.setattr(lead, "_FOLDED_FOR_S", -1.0)
    world.log.append()
    await world.begun()
    assert world.database.begun == [(1, 2)]
    await world.close()


async def test_what_is_half_folded_is_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that ends while the rows of the next events are being read leaves those to the reader."""
    may_go_on, is_folding = asyncio.Event(), asyncio.Event()
    add = Folding.add

    async def held(self: Folding, deliveries: list[Delivery]) -> None:
        await add(self, deliveries)
        is_folding.set()
        await may_go_on.wait()

    world = _World()
    world.log.append()
    await world.begun()
    monkeypatch.setattr(Folding, "add", held)
    world.log.append()
    await asyncio.wait_for(is_folding.wait(), _TIMEOUT_S)
    world.database.may_commit.release()
    assert await world.progress.reach(1, _TIMEOUT_S)
    await settled()
    assert world.database.begun == [(1, 1)]
    may_go_on.set()
    await world.begun()
    assert world.database.begun == [(1, 1), (2, 2)]
    await world.close()
