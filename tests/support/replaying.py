"""The replay inside a test: the same run as `nightdesk replay`, with its state in the test's hands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from cli import demo
from cli.replay.board import Glance
from cli.replay.command import SAMPLE
from cli.replay.ledger import Ledger
from cli.replay.run import Run, Settings
from cli.replay.transcripts import load
from tests.support.stack import StackUnderTest

_LOOK_S = 0.02
_LONGEST_S = 240.0


class Replaying:
    """A run under way."""

    def __init__(self, run: Run, playing: asyncio.Task[Ledger]) -> None:
        self._run = run
        self._playing = playing

    async def until(self, reached: Callable[[Glance], bool]) -> None:
        """Wait until the run has come so far."""
        async with asyncio.timeout(_LONGEST_S):
            while not reached(self._run.glance()):
                if self._playing.done():
                    raise AssertionError(f"the run was over first: {self._playing}")
                await asyncio.sleep(_LOOK_S)

    async def ledger(self) -> Ledger:
        """The end of the run."""
        async with asyncio.timeout(_LONGEST_S):
            return await self._playing


@asynccontextmanager
async def replaying(stack: StackUnderTest, *, seed: int = 1) -> AsyncIterator[Replaying]:
    """The sample, played with three agents against a stack."""
    settings = Settings(
        url=stack.gateway_url,
        email=demo.ADMIN.email,
        password=demo.DEVELOPMENT_PASSWORD,
        agents=3,
        seed=seed,
    )
    run = Run(load(SAMPLE), settings)
    playing = asyncio.create_task(run.play())
    try:
        yield Replaying(run, playing)
    finally:
        playing.cancel()
        await asyncio.wait([playing], timeout=60.0)


def faults(ledger: Ledger) -> dict[str, object]:
    """What must be 0 and is not, and messages that were not stored or not delivered."""
    counts = msgspec.structs.asdict(ledger)
    wrong: dict[str, object] = {
        name: counts[name] for name in ("shown_twice", "out_of_order", "lost", "unexplained")
    }
    wrong |= {
        name: counts["accepted"] - counts[name] for name in ("durable", "stored", "delivered")
    }
    wrong["remarks"] = ledger.remarks
    return {name: count for name, count in wrong.items() if count}
