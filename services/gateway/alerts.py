"""Who makes itself heard, at the edge: tells devices, hears their answers, reports to presence who does not answer.

The right to alert is short (`alert_wait_s`), as long as presence waits before it moves the lock: a device that sleeps
and wakes up finds its right gone, acknowledges, and is told again only if the lock is still its own.
Never: an alert from a lock that is known to have moved. What is lost on the way (a hint, a beat, this process) is
found by asking presence, as long as something waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from services.gateway import metrics
from services.gateway.handing import AlertTimes
from services.gateway.presence import Presence
from services.gateway.primaries import Primaries
from services.gateway.sessions.registry import Registry
from services.gateway.sessions.session import Session
from services.gateway.unheard import Alerting, Ear, Unheard
from services.gateway.views import at
from shared import clock
from shared.codec import to_json
from shared.commands import AgentPresence, Waiting
from shared.ids import AccountId, AgentId, Position
from shared.planted import planted
from shared.queries import Lock, ReceiptRow, UnheardRow
from shared.wire.frames import Alert

_TICK_S = 0.25
_SLACK_S = 2.0
_DOUBT_S = 1.0
"""How long presence may take to say who holds the lock, before the device that last held it is told all the same."""


class _Late(NamedTuple):
    """A device that acknowledged too late to be heard, and what it is told of if it still holds the lock."""

    session: Session
    owed: Alerting
    since_s: float


class Alerts:
    """`run` in a task; the rest is called as frames and hints come."""

    def __init__(
        self, primaries: Primaries, unheard: Unheard, registry: Registry, *, times: AlertTimes
    ) -> None:
        self._primaries = primaries
        self._unheard = unheard
        self._registry = registry
        self._wait_s = times.wait_ns / 1e9
        self._for_ns = times.for_ns
        self._late: dict[AgentId, _Late] = {}
        primaries.on_answer = self._answered

    def learn(self, lock: Lock) -> None:
        """A hint tells of a move."""
        if self._primaries.learn(lock):
            self._moved(lock)

    def opened(self, session: Session) -> None:
        """A device was welcomed: it may have become the holder while it was away, or the gateway before us died
        between the move and the alert."""
        lock = self._primaries.lock(session.owner_id)
        if lock is not None and lock.device_id == session.device_id:
            self._tell_of(lock, session)

    def held(self, session: Session, rows: Sequence[UnheardRow]) -> None:
        """What a device that comes back was given before, by a gateway that may have died with its book: nobody here
        knows whether a device was heard for it, but presence may, or else somebody must be told."""
        principal = session.principal
        assert principal is not None
        self._unheard.handed(
            (principal.account_id, AgentId(principal.id)),
            [
                Alerting(
                    position=row.position,
                    conversation_id=row.conversation_id,
                    until_ns=row.at_ns + self._for_ns,
                )
                for row in rows
            ],
            None,
            clock.monotonic_s(),
        )

    def acked(self, session: Session, up_to: Position, alerted: Position | None) -> None:
        """A device acknowledged; one that was too late to be heard and still holds the lock is told again. Presence is
        asked: the lock may have moved while the device slept, and the hint that says so be on its way to us."""
        agent_id = AgentId(session.owner_id)
        claimed = None if alerted is None else min(alerted, session.position)
        late = self._unheard.acked(
            agent_id,
            up_to,
            alerted=claimed,
            by=_ear(session),
            now_s=clock.monotonic_s(),
        )
        if late is None or not self._primaries.is_heard(agent_id, session.device_id):
            return
        principal = session.principal
        assert principal is not None
        is_first = agent_id not in self._late
        self._late[agent_id] = _Late(session, late, clock.monotonic_s())
        self._primaries.ask(principal.account_id, is_urgent=is_first)

    def turn(self, now_s: float) -> None:
        """Tell those for whom presence did not say in time who holds the lock: one alert too many is better than none."""
        for agent_id, late in tuple(self._late.items()):
            if now_s - late.since_s >= _DOUBT_S:
                self._tell_late(agent_id)

    def _tell_late(self, agent_id: AgentId) -> None:
        late = self._late.pop(agent_id, None)
        if late is None or late.session.is_closing:
            return
        is_holder = self._primaries.is_heard(agent_id, late.session.device_id)
        if is_holder and not self._unheard.is_settled(agent_id, late.owed.position):
            self._tell(late.session, late.owed, "again")

    def read(self, row: ReceiptRow) -> None:
        """What an agent read on one device needs no alert on the others."""
        if row.recipient.kind == "agent" and row.read:
            self._unheard.read(AgentId(row.recipient.id), row.conversation_id, row.read)

    def waiting(self, session: Session) -> list[Waiting]:
        """What is known of the agent of a session that ends."""
        return self._unheard.of(AgentId(session.owner_id), clock.monotonic_s())

    async def beat(self, presence: Presence) -> None:
        """Say everything again, with the leases: what was said before may have been lost."""
        await presence.tell_waiting(self._unheard.all(clock.monotonic_s()))

    def _answered(self, account_id: AccountId, agent: AgentPresence, news: Lock | None) -> None:
        self._unheard.answered((account_id, agent.agent_id), agent.heard, clock.monotonic_s())
        if news is not None:
            self._moved(news)
        self._tell_late(agent.agent_id)

    def _moved(self, lock: Lock) -> None:
        if planted("move_untold"):
            return
        for session in self._registry.of_owner(lock.agent_id):
            if session.device_id == lock.device_id and session.epoch:
                self._tell_of(lock, session)

    def _tell_of(self, lock: Lock, session: Session) -> None:
        """The new holder alerts for what was unanswered when the lock moved, unless somebody answered since."""
        owed = self._unheard.owed(lock.agent_id)
        is_newer = lock.alert > (owed.position if owed is not None else 0)
        if is_newer and not self._unheard.is_settled(lock.agent_id, lock.alert):
            owed = Alerting(position=lock.alert, conversation_id="", until_ns=lock.alert_until_ns)
        if owed is None or owed.until_ns <= clock.now_ns():
            return
        left_s, is_over_this = self._unheard.right(
            lock.agent_id, _ear(session), owed.position, clock.monotonic_s()
        )
        if left_s <= 0:
            # What came since nobody else is going to be told of: the lock is here already.
            newest = self._unheard.newest(lock.agent_id)
            is_more = newest is not None and owed.position < newest.position <= session.position
            self._tell(session, newest if newest is not None and is_more else owed, "moved")
        elif not is_over_this:
            # The frame may have been lost with the connection. No new right: a device that keeps coming back without
            # an answer must not hold up the lock. (One told here before anybody knew the holder needs no second.)
            self._send(session, owed, left_s)
            metrics.ALERTS.labels("again").inc()

    def _send(self, session: Session, owed: Alerting, for_s: float) -> None:
        until_ns = min(clock.now_ns() + int(for_s * 1e9), owed.until_ns)
        frame = Alert(
            position=owed.position,
            alert_until=at(until_ns),
            fence=self._primaries.fence(session.owner_id),
        )
        session.send(to_json(frame))
        metrics.SENT.labels("alert").inc()

    def _tell(self, session: Session, owed: Alerting, why: str) -> None:
        principal = session.principal
        assert principal is not None
        self._send(session, owed, self._wait_s)
        self._unheard.told(
            (principal.account_id, AgentId(principal.id)),
            session.device_id,
            owed,
            clock.monotonic_s(),
        )
        metrics.ALERTS.labels(why).inc()

    async def run(self, presence: Presence) -> None:
        """Report which devices people took up and who does not answer, and ask when nothing comes of it, until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            await presence.tell_used()
            now_s = clock.monotonic_s()
            self.turn(now_s)
            self._unheard.forget_old(now_s, clock.now_ns())
            due = self._unheard.due(now_s)
            if due:
                await presence.tell_waiting(due)
            for account_id, _ in self._unheard.overdue(now_s, after_s=self._wait_s + _SLACK_S):
                self._primaries.ask(account_id)


def _ear(session: Session) -> Ear:
    return Ear(device_id=session.device_id, since_s=session.opened_at_s)
