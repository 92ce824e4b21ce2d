"""Waiting in the replay: it goes on at once when it may, and gives up when nothing moves."""

from __future__ import annotations

import asyncio

import pytest

from cli.replay.pulse import Pulse, Stalled, Stir
from tests.support.log import settled


async def test_a_standstill_is_told() -> None:
    """A run in which nothing moves ends instead of waiting for ever; a beat puts that off."""
    pulse = Pulse(patience_s=0.05)
    pulse.beat()
    with pytest.raises(Stalled):
        await asyncio.wait_for(pulse.watch(), 60.0)


async def test_a_waiter_looks_again_when_stirred() -> None:
    """The state is looked at anew after every change, and what is waited for can be named meanwhile."""
    stir, seen = Stir(), [False]
    waiting = asyncio.create_task(stir.until(lambda: seen[0], waits_for="an answer"))
    await settled()
    stir.stir()
    await settled()
    assert (waiting.done(), stir.waits_for) == (False, "an answer")
    seen[0] = True
    stir.stir()
    await asyncio.wait_for(waiting, 60.0)
    assert stir.waits_for == ""
