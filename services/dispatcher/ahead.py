"""Decisions on their way, and the round that is decided on top of them while the log has not answered yet. Pure.

What is in flight reserves capacity and is an overlay, never state. The round ahead of it is appended only after all of
the flight was folded, fenced by what was folded, and only as far as nobody said anything about its conversations and
agents meanwhile: the rest is decided again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from services.dispatcher.decide import Touched
from shared.events import ConversationAssigned, ConversationQueued, RoutingEvent
from shared.ids import AgentId, ConversationId


class Ahead:
    """`flying`: appended and not folded yet, in log order."""

    def __init__(self) -> None:
        self.flying: deque[RoutingEvent] = deque()
        self._payloads: deque[bytes] = deque()
        self._prepared: Sequence[RoutingEvent] = ()
        self._conversations: set[ConversationId] = set()
        self._agents: set[AgentId] = set()

    def fly(self, events: Sequence[RoutingEvent], payloads: Sequence[bytes] = ()) -> None:
        """These are on their way to the log, as these bytes."""
        self.drop()
        self.flying.extend(events)
        self._payloads.extend(payloads)

    def known(self, payload: bytes) -> RoutingEvent | None:
        """The event that reads so if it is the first that flies: it need not be decoded, and its ids are those that are
        known already, which makes every look at them quicker."""
        return self.flying[0] if self._payloads and self._payloads[0] == payload else None

    def prepare(self, events: Sequence[RoutingEvent]) -> None:
        """These were decided on top of what flies."""
        self._prepared = events

    @property
    def is_prepared(self) -> bool:
        """Whether there is something that other events may cross."""
        return bool(self._prepared)

    @property
    def can_carry(self) -> bool:
        """Whether a round can be decided on top: not while something flies that may be handed out once it lies, because
        nothing is decided about it meanwhile and the younger would go first."""
        return all(
            isinstance(event, ConversationAssigned)
            or (isinstance(event, ConversationQueued) and event.why.trigger == "waiting")
            for event in self.flying
        )

    def landed(self, lapsed: AgentId | None = None) -> None:
        """The first that flies was folded; `lapsed`: who did not acknowledge in time, and is asked no more."""
        if self.flying:
            self.flying.popleft()
        if self._payloads:
            self._payloads.popleft()
        if lapsed is not None:
            self._agents.add(lapsed)

    def cross(self, touched: Touched | None, owners: Collection[AgentId] = ()) -> None:
        """Somebody else's event was folded and touched this; None: everything. `owners` have what was touched, and
        with it perhaps less room."""
        if not self._prepared:
            return
        if touched is None:
            self._prepared = ()
            return
        self._conversations.update(touched.conversations)
        self._agents.update(owners)
        if touched.agent_id is not None:
            self._agents.add(touched.agent_id)

    def standing(self) -> Sequence[RoutingEvent]:
        """What still holds of the prepared round: up to the first that was crossed, because those behind it counted on
        what it reserved."""
        prepared = self._prepared
        count = next(
            (n for n, event in enumerate(prepared) if self._is_crossed(event)), len(prepared)
        )
        return prepared[:count]

    def take(self) -> Sequence[RoutingEvent]:
        """What still holds, to be appended now."""
        standing = self.standing()
        self.drop()
        return standing

    def drop(self) -> None:
        """Nothing flies and nothing is prepared: refused, or taken, or unknown."""
        self.flying.clear()
        self._payloads.clear()
        self._prepared = ()
        self._conversations.clear()
        self._agents.clear()

    def _is_crossed(self, event: RoutingEvent) -> bool:
        if event.conversation_id in self._conversations:
            return True
        return isinstance(event, ConversationAssigned) and event.agent_id in self._agents
