"""The devices of a campaign say things in the order in which people said them."""

from __future__ import annotations

import asyncio
from typing import cast

from nightdesk_client import Client, Closed, Options, Sent
from prove.device import Device
from prove.diary import Diary, Said, Screen


class _Client:
    """Notes what it is given, unless it has ended."""

    def __init__(self, heard: list[str], *, has_ended: bool = False) -> None:
        self._heard = heard
        self._has_ended = has_ended

    async def send(self, _conversation_id: str, text: str, *, message_id: str) -> Sent:
        if self._has_ended:
            raise Closed("the client was closed")
        self._heard.append(text)
        return Sent(message_id=message_id, position=len(self._heard))


def _said(number: int) -> Said:
    text = f"line {number}"
    return Said(
        message_id=text, conversation_id="c", sender="v", text=text, number=number, began_s=0.0
    )


def _nowhere(_url: str, _options: Options) -> object:
    raise AssertionError


async def test_lines_reach_the_next_client_in_their_order() -> None:
    """A line that met a client which had just ended is not overtaken by the next one, which meets its successor: the
    campaign would blame the services for that."""
    diary, heard = Diary(), list[str]()
    screen = Screen(name="one", owner="v", kind="visitor")
    device = Device(diary, screen, _nowhere)  # type: ignore[arg-type]
    device.client = cast("Client", _Client(heard, has_ended=True))
    lines = [_said(1), _said(2)]
    saying = [asyncio.create_task(device.say(line)) for line in lines[:1]]
    for _ in range(5):
        await asyncio.sleep(0)
    device.client = cast("Client", _Client(heard))
    saying.append(asyncio.create_task(device.say(lines[1])))
    async with asyncio.timeout(30):
        await asyncio.gather(*saying)
    assert heard == ["line 1", "line 2"]
    assert [line.position for line in lines] == [1, 2]
