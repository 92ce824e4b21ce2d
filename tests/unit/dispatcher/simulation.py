"""A log without a broker: tests tell facts, the dispatcher's decisions are appended and folded until it is silent."""

from __future__ import annotations

from services.dispatcher.decide import Evidence, Settings, State, Touched, World, decide, faults
from services.dispatcher.decide.archive import find
from services.dispatcher.decide.state import Track
from shared import codec
from shared.events import ConversationAssigned, ConversationQueued, Event, RoutingEvent
from shared.ids import AgentId, Position
from tests.support import desk

SECOND_NS = 1_000_000_000
START_NS = 1_800_000_000 * SECOND_NS
_MOST_ROUNDS = 200


class Simulation:
    """A world and the log that made it. `lag` holds the store's checkpoint back."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.log: list[tuple[Position, int, Event]] = []
        self.world = World(State(), self.settings)
        self.now_ns = START_NS
        self.stored: Position | None = None
        self.fresh_ns = 0
        self.touched: Touched | None = None

    @property
    def position(self) -> Position:
        return len(self.log)

    def append(self, event: Event) -> Position:
        """One entry, folded at once."""
        self.now_ns += 1000
        position = len(self.log) + 1
        # Through the codec, as in life: nothing may hang on the identity of an object.
        event = codec.decode_event(codec.encode_event(event))
        self.log.append((position, self.now_ns, event))
        self.touched = self.world.evolve(event, position, self.now_ns)
        return position

    def tell(self, *events: Event) -> Position:
        """Facts from outside; the position of the last."""
        return [self.append(event) for event in events][-1]

    def wait(self, seconds: float) -> list[RoutingEvent]:
        """Let log time pass, then decide."""
        self.now_ns += int(seconds * SECOND_NS)
        return self.settle()

    def round(self) -> list[RoutingEvent]:
        """What would be decided now."""
        return decide(self.world, self.now_ns, evidence=self.evidence, writer="test")

    @property
    def evidence(self) -> Evidence:
        stored = self.position if self.stored is None else self.stored
        return Evidence(stored=stored, fresh_ns=self.fresh_ns)

    def settle(self) -> list[RoutingEvent]:
        """Decide and fold the decisions until there are none; everything decided."""
        decided: list[RoutingEvent] = []
        for _ in range(_MOST_ROUNDS):
            events = self.round()
            if not events and self.world.behind:
                continue
            if not events:
                assert faults(self.world) == []
                return decided
            for event in events:
                self.append(event)
            decided += events
        raise AssertionError("the decisions never come to an end")

    def replayed(self, until: Position | None = None) -> World:
        """Another process that folded the log, or its beginning."""
        world = World(State(), self.settings)
        for position, at_ns, event in self.log[:until]:
            world.evolve(event, position, at_ns)
        return world

    def owner(self, name: str) -> AgentId | None:
        """Who has the conversation of that name."""
        return self.track(name).conversation.agent_id

    def track(self, name: str) -> Track:
        """The conversation of that name."""
        office = self.world.state.offices[desk.ACCOUNT]
        found = find(office, desk.ACCOUNT, desk.conversation_id(name))
        assert found is not None
        return found


def assigned(events: list[RoutingEvent]) -> list[tuple[str, str]]:
    """(conversation, agent) of the assignments among these."""
    return [(e.conversation_id, e.agent_id) for e in events if isinstance(e, ConversationAssigned)]


def pair(conversation: str, agent: str) -> tuple[str, str]:
    """What `assigned` gives for these names."""
    return (desk.conversation_id(conversation), desk.agent_id(agent))


def queued(events: list[RoutingEvent]) -> list[tuple[str, str]]:
    """(conversation, trigger) of the records of waiting among these."""
    return [(e.conversation_id, e.why.trigger) for e in events if isinstance(e, ConversationQueued)]
