"""Questions to JetStream's API that a cluster without a leader forgets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from shared.bus import api
from shared.bus.api import ApiFailed, ask_again
from shared.errors import Unavailable

_Answers = Callable[[int], bytes | Exception | None]


class _Bus:
    """`answers`: what the n-th question gets; None: nothing, for as long as a question may take."""

    def __init__(self, answers: _Answers) -> None:
        self._answers = answers
        self.asked = 0
        self.waiting = 0

    async def request(self, _subject: str, _payload: bytes) -> bytes:
        self.asked += 1
        answer = self._answers(self.asked)
        if answer is None:
            self.waiting += 1
            try:
                await asyncio.Event().wait()
            finally:
                self.waiting -= 1
        if isinstance(answer, Exception):
            raise answer
        return answer or b""


async def _ask(bus: Any) -> bytes:
    async with asyncio.timeout(30):
        return await ask_again(bus, "STREAM.INFO.EVENTS_0")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_AGAIN_S", 0.01)


async def test_what_was_forgotten_is_asked_again() -> None:
    """A question that got lost without a leader is not waited for: the next one is answered, and nothing is left over."""
    bus = _Bus(lambda number: b"{}" if number == 3 else None)
    assert await _ask(bus) == b"{}"
    assert (bus.asked, bus.waiting) == (3, 0)


async def test_a_question_has_an_end() -> None:
    """When the first question runs out of time nobody goes on asking."""
    bus = _Bus(lambda number: Unavailable("no answer") if number == 2 else None)
    with pytest.raises(Unavailable):
        await _ask(bus)
    assert (bus.asked, bus.waiting) == (2, 0)


async def test_a_no_is_an_answer() -> None:
    """What the API refuses is not asked again."""
    bus = _Bus(lambda _number: b'{"error": {"code": 404, "err_code": 10059, "description": "no"}}')
    with pytest.raises(ApiFailed):
        await _ask(bus)
    assert bus.asked == 1


async def test_whoever_stops_asking_leaves_nothing() -> None:
    """A cancelled reader has no questions left on their way."""
    bus = _Bus(lambda _number: None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await _ask(bus)
    assert bus.asked > 1
    assert bus.waiting == 0
