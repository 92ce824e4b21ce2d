"""People try again. A call that the client gave up after its minute is made anew; the watchdog ends what never comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from nightdesk_client import ApiError, Unreachable

T = TypeVar("T")

_LATER = frozenset({429, 502, 503, 504})


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """The call's result. It must be safe to repeat: the same ids in every try. The client pauses between its own."""
    while True:
        try:
            return await call()
        except Unreachable:
            continue
        except ApiError as err:
            if err.status not in _LATER:
                raise
