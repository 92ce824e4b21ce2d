"""Edge in: folds the log's batches, takes in beats, answers questions and wishes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from services.presence import heard as evidence
from services.presence import metrics
from services.presence.config import Config
from services.presence.decide import Terms, decide, everybody
from services.presence.heard import Heard
from services.presence.state import AgentKey, State, evolve
from shared import codec
from shared.bus import Batch, Bus, CoreMessage
from shared.clock import monotonic_s
from shared.commands import (
    Accepted,
    AgentPresence,
    AskPresence,
    Beats,
    PresenceAnswer,
    SetAvailability,
)
from shared.crashpoints import crashpoint
from shared.deciding import Folded
from shared.errors import Malformed
from shared.events import PresenceEvent, PrimaryDeviceChanged
from shared.fenced import Act, FencedFamily, Step

log = structlog.get_logger(__name__)

_LATE_S = 1.0
_FULL_LOOK_S = 0.5


class Desk:
    """Presence at work: the folded state, the evidence, and the right to write."""

    def __init__(
        self,
        bus: Bus,
        family: FencedFamily,
        folded: Folded[State],
        config: Config,
        *,
        alert_wait_s: float,
    ) -> None:
        self.state = folded.state
        self.act = Act(family, tick_s=min(0.25, config.lease_s / 4))
        self._bus = bus
        self._family = family
        self._config = config
        self._heard = Heard(fresh_s=monotonic_s())
        self._terms = Terms(
            writer=family.writer,
            lease_s=config.lease_s,
            grace_s=config.grace_s,
            primary_pause_s=config.primary_pause_s,
            alert_wait_s=alert_wait_s,
        )
        self._reconnects = bus.reconnects
        self._looked_s = evidence.NEVER_S
        self._news = asyncio.Event()
        self.ready = asyncio.Event()
        """Set once the log's end was reached."""

    def fold(self, batch: Batch) -> None:
        """Fold a batch of the log; whole or not at all, so it must not wait."""
        writer = self._family.tail.writer
        for delivery in batch.deliveries:
            self._family.fold(delivery)
            try:
                event = codec.decode_event(delivery.payload)
            except Malformed:
                metrics.FOLDED.labels("unreadable").inc()
                log.warning("event_unreadable", position=delivery.position)
                continue
            metrics.FOLDED.labels("ok").inc()
            key = evolve(self.state, event, delivery.position)
            if key is not None:
                self._heard.touched[key] = None
                if isinstance(event, PrimaryDeviceChanged):
                    self._heard.moved_s[key] = monotonic_s()
                    self._count(event)
        if self._family.tail.writer != writer:
            # Whoever took over gives full new leases. Were ours older, we would call the writer overdue before it
            # may judge, take over in our turn, and nobody would ever be called offline.
            self._refresh("takeover")
        if batch.deliveries:
            self._news.set()
            self._news = asyncio.Event()
        self.act.now_ns = batch.now_ns if batch.at_end else None
        if batch.at_end:
            self.ready.set()
        self.act.wake()

    @property
    def is_ready(self) -> bool:
        """Whether the log's end was reached."""
        return self.ready.is_set()

    def _count(self, event: PrimaryDeviceChanged) -> None:
        """Moves of our own, not those that are read at the start."""
        if self.ready.is_set() and event.writer == self._terms.writer:
            metrics.LOCK_MOVES.labels(event.why).inc()

    def pack(self) -> bytes:
        """The folded state, for a snapshot."""
        return codec.pack(Folded(state=self.state, tail=self._family.tail))

    def decide(self, _now_ns: int) -> Sequence[PresenceEvent]:
        """What to record now; looks at everybody twice a second and else at those touched."""
        now_s = monotonic_s()
        if evidence.tick(self._heard, now_s, late_s=_LATE_S):
            metrics.REFRESHES.labels("late").inc()
        if self._bus.reconnects != self._reconnects:
            self._reconnects = self._bus.reconnects
            self._refresh("reconnect")
        if now_s - self._looked_s >= _FULL_LOOK_S:
            agents = everybody(self.state, self._heard)
        else:
            agents = self._heard.touched
        events = decide(self.state, self._heard, agents, now_s, self._terms)
        if events or not self._family.is_active:
            return events
        if agents is not self._heard.touched:
            self._looked_s = now_s
            evidence.forget(
                self._heard, now_s, after_s=2 * (self._config.lease_s + self._config.grace_s)
            )
        self._heard.touched = {}
        return events

    def note(self, step: Step) -> None:
        """Count what became of a look."""
        metrics.STEPS.labels(step).inc()
        metrics.IS_ACTIVE.set(self._family.is_active)

    async def on_beats(self, message: CoreMessage) -> None:
        """A gateway's batch."""
        try:
            beats = codec.unpack(message.payload, Beats)
        except Malformed:
            metrics.BEATS.labels("malformed").inc()
            log.warning("beats_unreadable")
            return
        metrics.BEATS.labels("ok").inc()
        evidence.hear(self._heard, beats, monotonic_s(), lease_s=self._config.lease_s)
        if self._heard.touched:
            self.act.wake()

    async def on_agents(self, message: CoreMessage) -> None:
        """How every agent of an account is."""
        try:
            question = codec.unpack(message.payload, AskPresence)
        except Malformed:
            metrics.ASKED.labels("malformed").inc()
            return
        account = self.state.directory.accounts.get(question.account_id)
        found = []
        for agent_id in account.agents if account is not None else ():
            agent = self.state.agent((question.account_id, agent_id))
            found.append(
                AgentPresence(
                    agent_id=agent_id,
                    online=bool(agent.devices),
                    availability=agent.availability,
                    primary_device_id=agent.primary,
                    fence=agent.fence,
                    alert=agent.alert,
                    alert_until_ns=agent.alert_until_ns,
                    heard=self._heard.answered.get((question.account_id, agent_id), 0),
                )
            )
        metrics.ASKED.labels("ok").inc()
        crashpoint("presence.answer")
        await message.reply(codec.pack(PresenceAnswer(agents=tuple(found))))

    async def on_set_availability(self, message: CoreMessage) -> None:
        """An agent's word: answered when it is in the log. A standby stays silent, the writer hears it too."""
        if not self._family.is_active:
            return
        try:
            wish = codec.unpack(message.payload, SetAvailability)
        except Malformed:
            metrics.ASKED.labels("malformed").inc()
            return
        key = (wish.account_id, wish.agent_id)
        self._heard.wishes[key] = wish.availability
        self._heard.touched[key] = None
        self.act.wake()
        answer = await self._granted(key, wish)
        metrics.ASKED.labels(answer.status).inc()
        crashpoint("presence.wish.answer")
        await message.reply(codec.pack(answer))

    async def _granted(self, key: AgentKey, wish: SetAvailability) -> Accepted:
        """Wait until the wish is folded. A wish that is not in time is dropped; the sender asks again."""
        try:
            async with asyncio.timeout(self._config.answer_s):
                while self.state.agent(key).availability != wish.availability:
                    await self._news.wait()
            return Accepted(position=self.state.agent(key).availability_position)
        except TimeoutError:
            return Accepted(status="unavailable")
        finally:
            if self._heard.wishes.get(key) == wish.availability:
                del self._heard.wishes[key]

    def _refresh(self, why: str) -> None:
        metrics.REFRESHES.labels(why).inc()
        evidence.refresh(self._heard, monotonic_s())
