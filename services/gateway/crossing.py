"""Answers that the author wants posted only if nothing came in between.

What a colleague or the visitor wrote since is looked for in the store as of the log's end, and among what this gateway
has given to the log since. Another gateway may append in the same moment: then both are stored and the later one is
marked `crossed`, as every answer is that did not ask."""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway.asking import Asking
from shared.errors import Rejected
from shared.events import Author
from shared.ids import AccountId, ConversationId, Position
from shared.queries import ListMessages, MessageRow

_BEYOND_ALL = 2**31 - 1
_LOOKED_AT = 50


class Crossing:
    """`began` and `ended` for each append of a message, `check` before one that must not cross."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._in_flight: dict[ConversationId, list[str]] = {}
        self._checked: dict[ConversationId, list[set[str]]] = {}

    def began(self, conversation_id: ConversationId, author: Author) -> None:
        """A message was given to the log."""
        self._in_flight.setdefault(conversation_id, []).append(author.id)
        for seen in self._checked.get(conversation_id, ()):
            seen.add(author.id)

    def ended(self, conversation_id: ConversationId, author: Author) -> None:
        """The log has answered."""
        flying = self._in_flight[conversation_id]
        flying.remove(author.id)
        if not flying:
            del self._in_flight[conversation_id]

    async def check(
        self,
        account_id: AccountId,
        conversation_id: ConversationId,
        *,
        author: Author,
        seen_up_to: Position,
    ) -> None:
        """Raises `Rejected("crossed")`; `Unavailable` when nobody can tell. The caller appends without another wait."""
        # Whoever is in flight now may be stored behind the end that is asked for below.
        since = set(self._in_flight.get(conversation_id, ()))
        watching = self._checked.setdefault(conversation_id, [])
        watching.append(since)
        try:
            page = await self._asking.messages(
                ListMessages(
                    account_id=account_id,
                    conversation_id=conversation_id,
                    before_seq=_BEYOND_ALL,
                    limit=_LOOKED_AT,
                    at_least=await self._asking.end_of_log(),
                )
            )
        finally:
            # By identity: another check's set may hold the same.
            watching[:] = [each for each in watching if each is not since]
            if not watching:
                self._checked.pop(conversation_id, None)
        if since - {author.id} or _has_newer(page.rows, author, seen_up_to):
            raise Rejected("crossed", "something newer stands in the conversation: look again")


def check_strict(kind: str, seen_up_to: Position | None) -> None:
    """`only_if_seen` is for agents who say what they had seen. Raises `Rejected("invalid")`."""
    if kind != "agent" or seen_up_to is None:
        raise Rejected("invalid", "for agents, and with seen_up_to", pointer="/only_if_seen")


def _has_newer(rows: Sequence[MessageRow], author: Author, seen_up_to: Position) -> bool:
    return any(
        row.position > seen_up_to and row.author.id != author.id and not row.automatic
        for row in rows
    )
