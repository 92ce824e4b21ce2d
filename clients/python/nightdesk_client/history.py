"""Reads what a feed needs beside its entries: the rest of a long assignment, and everything after a reset.

Patient: while the server can't answer, the application simply waits, because going on would lose messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from nightdesk_client.api.conversations import ConversationsApi
from nightdesk_client.backoff import Backoff
from nightdesk_client.errors import ApiError, Unreachable
from nightdesk_client.wire import Conversation, Message

T = TypeVar("T")

_GONE = frozenset({403, 404})
_PAGE = 100


class History:
    """Whole reads through the REST API. `view` is the list that makes up this identity's inbox."""

    def __init__(self, api: ConversationsApi, *, view: str) -> None:
        self._api = api
        self._view = view

    async def conversations(self) -> list[Conversation]:
        """Every conversation of the inbox's owner."""
        found: list[Conversation] = []
        after: str | None = ""
        while after is not None:
            page = await _patiently(partial(self._api.page, view=self._view, after=after))
            found += page.data
            after = page.page.next
        return found

    async def since(self, conversation_id: str, *, seq: int, message_id: str) -> list[Message]:
        """Messages after the one shown last; all of them when that one now stands elsewhere (another epoch)."""
        found = await self.messages(conversation_id, after_seq=max(seq - 1, 0))
        if seq and (not found or found[0].message_id != message_id):
            return await self.messages(conversation_id, after_seq=0)
        return found

    async def messages(
        self, conversation_id: str, *, after_seq: int, up_to_seq: int = 0
    ) -> list[Message]:
        """Messages in ascending `seq`; none when the conversation may no longer be read."""
        found: list[Message] = []
        more = True
        while more and not (up_to_seq and after_seq >= up_to_seq):
            try:
                page = await _patiently(
                    partial(self._api.messages, conversation_id, after_seq=after_seq, limit=_PAGE)
                )
            except ApiError as err:
                if err.status in _GONE:
                    return found
                raise
            found += [x for x in page.data if not up_to_seq or x.seq <= up_to_seq]
            more = page.more and bool(page.data)
            after_seq = page.data[-1].seq if page.data else after_seq
        return found


async def _patiently(read: Callable[[], Awaitable[T]]) -> T:
    backoff = Backoff()
    while True:
        try:
            return await read()
        except Unreachable:
            await asyncio.sleep(backoff.next_s())
        except ApiError as err:
            if err.status < 500 and err.status != 429:
                raise
            await asyncio.sleep(backoff.next_s())
