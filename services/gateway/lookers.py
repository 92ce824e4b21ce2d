"""Who has which conversation open, over all gateways: kept for a while after the last word of it, so that a gateway
that died takes its lookers along. Pure: the moment is an argument."""

from __future__ import annotations

from collections.abc import Iterable

from shared.commands import Looker
from shared.ids import AgentId, ConversationId

MOST_SHOWN = 50
_Key = tuple[ConversationId, str, int]


class Lookers:
    """Bounded: beyond `most` the one of whom nothing was heard for longest is forgotten, and told of again."""

    def __init__(self, *, life_s: float, most: int = 100_000) -> None:
        self._life_s = life_s
        self._most = most
        self._kept: dict[_Key, tuple[Looker, float]] = {}
        self._of: dict[ConversationId, set[_Key]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def hear(self, gateway: str, lookers: Iterable[Looker], now_s: float) -> set[ConversationId]:
        """Take what a gateway says; the conversations in which another list of agents is to be shown now."""
        changed: set[ConversationId] = set()
        for looker in lookers:
            key = (looker.conversation_id, gateway, looker.connection)
            is_known = self._kept.pop(key, None) is not None
            if looker.is_looking:
                # Laid behind the others: what lapses first stands first.
                self._kept[key] = (looker, now_s + self._life_s)
                self._of.setdefault(looker.conversation_id, set()).add(key)
            elif is_known:
                self._leave(key)
            if is_known != looker.is_looking:
                changed.add(looker.conversation_id)
        while len(self._kept) > self._most:
            changed.add(self._forget(next(iter(self._kept))))
        return changed

    def lapse(self, now_s: float) -> set[ConversationId]:
        """Forget those of whom nothing was heard for too long; the conversations that they were seen in."""
        changed: set[ConversationId] = set()
        while self._kept:
            key, (_, until_s) = next(iter(self._kept.items()))
            if until_s > now_s:
                break
            changed.add(self._forget(key))
        return changed

    def at(self, conversation_id: ConversationId) -> list[tuple[AgentId, int]]:
        """The agents who have it open, each once, the longest there first, and since when."""
        since: dict[AgentId, int] = {}
        for key in self._of.get(conversation_id, ()):
            looker, _ = self._kept[key]
            known_ns = since.get(looker.agent_id, looker.since_ns)
            since[looker.agent_id] = min(known_ns, looker.since_ns)
        return sorted(since.items(), key=lambda each: (each[1], each[0]))

    def _forget(self, key: _Key) -> ConversationId:
        del self._kept[key]
        self._leave(key)
        return key[0]

    def _leave(self, key: _Key) -> None:
        seen = self._of[key[0]]
        seen.discard(key)
        if not seen:
            del self._of[key[0]]
