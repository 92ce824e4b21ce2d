"""A decision of the past, folded up to: the account's log goes in from its beginning, the decision made again comes
out. Pure; who reads the log says when to stop."""

from __future__ import annotations

from services.dispatcher.decide.explain import recall
from services.dispatcher.decide.settings import Settings
from services.dispatcher.decide.state import State
from services.dispatcher.decide.world import World
from shared.events import (
    ConversationAssigned,
    ConversationQueued,
    Event,
    RoutingEvent,
)
from shared.explaining import Recalled
from shared.ids import Position


class Past:
    """One account on the way to one decision, which was judged at `now_ns` where it does not say so itself."""

    def __init__(
        self, event: ConversationAssigned | ConversationQueued, settings: Settings, *, now_ns: int
    ) -> None:
        self._event = event
        self._now_ns = event.why.now_ns or now_ns
        self._world = World(State(), settings)
        self._before: list[RoutingEvent] = []

    def fold(self, event: Event, position: Position, at_ns: int) -> None:
        """One event of the account that stands before the decision, in log order."""
        if position <= self._event.why.state_position:
            self._world.evolve(event, position, at_ns)
        elif isinstance(event, RoutingEvent) and event.writer == self._event.writer:
            # Decided in the same round, so the capacity was reserved; other facts came too late to be looked at.
            self._before.append(event)

    def recalled(self) -> Recalled:
        """The decision made again, once everything before it is folded."""
        return recall(self._world, self._event, self._before, now_ns=self._now_ns)
