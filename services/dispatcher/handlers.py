"""Edge in: folds the log's batches, hears the store's hints, decides at the log's end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import get_args

import msgspec
import structlog

from services.dispatcher import metrics
from services.dispatcher.ahead import Ahead
from services.dispatcher.config import Config
from services.dispatcher.decide import (
    UNTOUCHED,
    Evidence,
    Settings,
    State,
    World,
    decide,
    estimate,
    paces,
    spread,
)
from services.dispatcher.decide.settings import PLACED_AT_ONCE
from services.dispatcher.evidence import Watch
from shared import codec
from shared.bus import Batch, Bus, CoreMessage, Delivery
from shared.clock import monotonic_s, now_ns
from shared.commands import AskQueue
from shared.crashpoints import crashpoint
from shared.deciding import Folded
from shared.errors import Malformed
from shared.events import (
    ConversationAssigned,
    ConversationStarted,
    Event,
    Received,
    ReceivedTogether,
    RoutingEvent,
)
from shared.events.conversation import Priority
from shared.fenced import Act, FencedFamily, Step
from shared.ids import AgentId, Position
from shared.planted import planted

log = structlog.get_logger(__name__)
_MEASURE_S = 5.0
_COUNT_S = 0.2
"""Walks over every queue; asked after every message it was more than the message."""
_WAITED = {priority: metrics.WAITED.labels(priority) for priority in get_args(Priority)}


class _HintHead(msgspec.Struct, frozen=True):
    """All that matters here of a hint of the store (`shared.queries.Hint`)."""

    to: Position


def _is_forgotten(event: Event, position: Position) -> bool:
    """Only for the planted bug `conversation_forgotten`."""
    return isinstance(event, ConversationStarted) and position % 3 == 0


def _without_reason(event: RoutingEvent) -> RoutingEvent:
    """Only for the planted bug of that name."""
    if not isinstance(event, ConversationAssigned):
        return event
    return msgspec.structs.replace(event, why=msgspec.structs.replace(event.why, winner=None))


class Desk:
    """The dispatcher at work: the folded world, the evidence, and the right to write."""

    def __init__(
        self, bus: Bus, family: FencedFamily, folded: Folded[State], config: Config
    ) -> None:
        settings = Settings(
            burst=config.burst,
            pardon_s=config.pardon_s,
            round_events=config.round_events,
            placed_at_once=PLACED_AT_ONCE,
        )
        self.world = World(folded.state, settings)
        self.act = Act(family)
        self._bus = bus
        self._family = family
        family.on_flight = self.look_ahead
        self._ahead = Ahead()
        self._config = config
        self._watch = Watch(reconnects=bus.reconnects)
        self._counted_s = self._measured_s = float("-inf")
        self.is_ready = False
        """Whether the log's end was reached."""

    def fold(self, batch: Batch) -> None:
        """Fold a batch of the log."""
        was_active = self._family.is_active
        read = sum([self._fold_one(delivery) for delivery in batch.deliveries])
        metrics.FOLDED.labels("ok").inc(read)
        metrics.FOLDED.labels("unreadable").inc(len(batch.deliveries) - read)
        if self._family.is_active and not was_active:
            self._watch.renew(batch.now_ns)
        is_judged = batch.at_end or planted("timer_before_log_end")
        self.act.now_ns = batch.now_ns if is_judged else None
        if planted("process_clock") and is_judged:
            self.act.now_ns = now_ns()
        self.is_ready = self.is_ready or batch.at_end
        self.act.wake()

    def pack(self) -> bytes:
        """The folded state, for a snapshot."""
        return codec.pack(Folded(state=self.world.state, tail=self._family.tail))

    def decide(self, now_ns: int) -> Sequence[RoutingEvent]:
        """One round: what was prepared while the last one was on its way, else what the state says now."""
        if not self._family.is_active:
            self._ahead.drop()
        events = self._ahead.take() or self._round(now_ns)
        if self.world.behind:
            # Through the loop: others get their turn between two shares of the work.
            asyncio.get_running_loop().call_soon(self._go_on)
        if events:
            for name, count in Counter(type(event).__name__ for event in events).items():
                metrics.DECIDED.labels(name).inc(count)
        else:
            self._measure(monotonic_s())
        return events

    def _go_on(self) -> None:
        """The next share. A standby decides only now and then, but must be in step when it takes over."""
        now_ns = self.act.now_ns
        if self._family.is_active or now_ns is None or not self.world.behind:
            self.act.wake()
            return
        self.world.ring(now_ns)
        asyncio.get_running_loop().call_soon(self._go_on)

    def look_ahead(self, events: Sequence[Event], payloads: Sequence[bytes]) -> None:
        """These are on their way. If they fill a round there is more: decide that while the log writes."""
        flying = [event for event in events if isinstance(event, RoutingEvent)]
        self._ahead.fly(flying, payloads if len(flying) == len(events) else ())
        now_ns = self.act.now_ns
        is_full = len(flying) == self.world.settings.round_events
        if is_full and now_ns is not None and self._ahead.can_carry:
            self._ahead.prepare(self._round(now_ns))

    def _round(self, now_ns: int) -> Sequence[RoutingEvent]:
        began_s = monotonic_s()
        evidence = self._watch.look(
            end=self.world.state.position,
            now_ns=now_ns,
            now_s=began_s,
            reconnects=self._bus.reconnects,
            silence_s=self._config.store_silence_s,
        )
        if planted("lease_in_the_dark"):
            evidence = Evidence(stored=self.world.state.position, fresh_ns=0)
        events: Sequence[RoutingEvent] = decide(
            self.world,
            now_ns,
            evidence=evidence,
            writer=self._family.writer,
            flying=self._ahead.flying,
        )
        if planted("decision_without_reason"):
            events = [_without_reason(event) for event in events]
        if events:
            metrics.ROUND.observe(monotonic_s() - began_s)
        return events

    def note(self, step: Step) -> None:
        """Count what became of a round."""
        if step in ("lost", "unknown", "unavailable"):
            self._ahead.drop()
        metrics.STEPS.labels(step).inc()
        metrics.IS_ACTIVE.set(self._family.is_active)

    async def on_hint(self, message: CoreMessage) -> None:
        """The store tells how far it has committed."""
        try:
            hint = codec.unpack(message.payload, _HintHead)
        except Malformed:
            metrics.HINTS.labels("malformed").inc()
            return
        metrics.HINTS.labels("ok").inc()
        self._watch.hear(hint.to, monotonic_s())

    def _measure(self, now_s: float) -> None:
        """What waits, and how evenly the work lies; the second seldom, because it looks at every team."""
        if now_s - self._counted_s >= _COUNT_S:
            self._counted_s = now_s
            metrics.WAITING.set(self.world.waiting())
            metrics.LIMBO.set(self.world.limbo())
        if now_s - self._measured_s < _MEASURE_S:
            return
        self._measured_s = now_s
        found = spread(self.world)
        metrics.SPREAD.labels("largest").set(found.largest)
        metrics.SPREAD.labels("mean").set(found.mean)
        pace = paces(self.world)
        for standing, count in pace.standings.items():
            metrics.AGENTS.labels(standing).set(count)
        for name, window in (("least", pace.least), ("mean", pace.mean), ("most", pace.most)):
            metrics.WINDOW.labels(name).set(window)

    def _count_wait(self, event: ConversationAssigned, at_ns: int) -> None:
        """Only of what is decided now: a restart would count the whole log again."""
        office = self.world.state.offices.get(event.account_id)
        track = office.tracks.get(event.conversation_id) if office is not None else None
        if self.is_ready and track is not None and track.is_waiting:
            waited_s = max(0, at_ns - track.since_ns) / 1_000_000_000
            _WAITED[track.conversation.priority].observe(waited_s)

    def _count_acknowledged(self, event: Received, at_ns: int) -> None:
        office = self.world.state.offices.get(event.account_id)
        agent = office.agents.get(AgentId(event.recipient.id)) if office is not None else None
        if not self.is_ready or agent is None:
            return
        for position, given_ns in agent.flight.items():
            if position <= event.up_to:
                metrics.ACKNOWLEDGED.observe(max(0, at_ns - given_ns) / 1_000_000_000)

    async def on_estimate(self, message: CoreMessage) -> None:
        """Where a conversation stands; a dispatcher that has not read the log to its end leaves it to another."""
        now_ns = self.act.now_ns
        if now_ns is None:
            metrics.ASKED.labels("behind").inc()
            return
        try:
            question = codec.unpack(message.payload, AskQueue)
        except Malformed:
            metrics.ASKED.labels("malformed").inc()
            return
        answer = estimate(self.world, question.account_id, question.conversation_id, now_ns)
        metrics.ASKED.labels("ok").inc()
        crashpoint("dispatcher.answer")
        await message.reply(codec.pack(answer))

    def _fold_one(self, delivery: Delivery) -> bool:
        """Whether it could be read."""
        try:
            event = self._ahead.known(delivery.payload) or codec.decode_event(delivery.payload)
        except Malformed:
            # The store quarantines it and raises the alarm; routing goes on with what can be read.
            log.warning("event_unreadable", position=delivery.position)
            self._family.fold(delivery)
            self.world.skip(delivery.position, delivery.at_ns)
            return False
        self._family.fold(delivery, event)
        if planted("conversation_forgotten") and _is_forgotten(event, delivery.position):
            self.world.skip(delivery.position, delivery.at_ns)
            return False
        if isinstance(event, ConversationAssigned):
            self._count_wait(event, delivery.at_ns)
        elif isinstance(event, Received):
            self._count_acknowledged(event, delivery.at_ns)
        elif isinstance(event, ReceivedTogether):
            for each in event.each():
                self._count_acknowledged(each, delivery.at_ns)
        touched = self.world.evolve(event, delivery.position, delivery.at_ns)
        if isinstance(event, RoutingEvent) and event.writer == self._family.writer:
            self._ahead.landed(self.world.lapsed(event))
        elif touched is not UNTOUCHED and self._ahead.is_prepared:
            self._ahead.cross(touched, self.world.owners(event.account_id, touched))
        return True
