"""Which device of an agent holds the alert lock: learned from hints, asked of presence when it is not known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from services.gateway.presence import Presence
from shared import clock
from shared.commands import AgentPresence
from shared.errors import Malformed, Unavailable
from shared.ids import AccountId, AgentId
from shared.planted import planted
from shared.queries import Lock

log = structlog.get_logger(__name__)

_ASK_AGAIN_S = 5.0
_WAIT_S = 1.0
_RETRY_S = 1.0


class Primaries:
    """While the holder of an agent's lock is not known every device of theirs alerts: one alert too many is better
    than none."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._known: dict[str, Lock] = {}
        self._asked_at_s: dict[AccountId, float] = {}
        self._wanted: dict[AccountId, None] = {}
        self._arrived = asyncio.Event()
        self._told = asyncio.Event()
        self.on_answer: Callable[[AccountId, AgentPresence, Lock | None], None] = lambda *_: None
        """Called with what presence said of an agent, and with the move of the lock if it is news."""

    def learn(self, lock: Lock) -> bool:
        """Take over a move of the lock; whether it is news. An older one (lower fence) changes nothing."""
        before = self._known.get(lock.agent_id)
        if before is not None and lock.fence <= before.fence:
            return False
        self._known[lock.agent_id] = lock
        return True

    def lock(self, agent_id: str) -> Lock | None:
        """The last move that is known."""
        return self._known.get(agent_id)

    def fence(self, agent_id: str) -> int:
        """Of the last move that is known, 0 before any."""
        known = self._known.get(agent_id)
        return known.fence if known is not None else 0

    def is_heard(self, agent_id: str, device_id: str) -> bool:
        """Whether this device may alert."""
        known = self._known.get(agent_id)
        if known is None or known.device_id is None or planted("everybody_rings"):
            return True
        return known.device_id == device_id

    def ask(self, account_id: AccountId, *, is_urgent: bool = False) -> None:
        """Have presence asked about an account, at most every few seconds unless something was surely missed."""
        now_s = clock.monotonic_s()
        asked_at_s = self._asked_at_s.get(account_id, float("-inf"))
        if is_urgent or now_s - asked_at_s >= _ASK_AGAIN_S:
            self._asked_at_s[account_id] = now_s
            self._wanted[account_id] = None
            self._arrived.set()

    async def ensure(self, agent_id: str, account_id: AccountId) -> None:
        """Wait a moment until something is known of an agent: devices that come back together after the death of
        their gateway must not all alert."""
        if agent_id in self._known:
            return
        self.ask(account_id)
        try:
            async with asyncio.timeout(_WAIT_S):
                while account_id in self._wanted:
                    await self._told.wait()
        except TimeoutError:
            log.debug("primaries_unknown", code="timeout")

    async def run(self) -> None:
        """Ask presence, one account after the other, until cancelled. An account for which it had no answer is asked
        about again: a move that was missed would leave two devices alerting until the next one."""
        unanswered: dict[AccountId, None] = {}
        while True:
            try:
                async with asyncio.timeout(_RETRY_S if unanswered else None):
                    await self._arrived.wait()
            except TimeoutError:
                self._wanted |= unanswered
            self._arrived.clear()
            for account_id in tuple(self._wanted):
                unanswered.pop(account_id, None)
                if not await self._ask(account_id):
                    unanswered[account_id] = None
                self._wanted.pop(account_id, None)
                self._told.set()
                self._told = asyncio.Event()

    async def _ask(self, account_id: AccountId) -> bool:
        """Whether there was an answer."""
        try:
            agents = await self._presence.agents(account_id)
        except (Unavailable, Malformed) as err:
            log.debug("primaries_unknown", code=err.code)
            return False
        for agent in agents.values():
            self._take(account_id, agent)
        return True

    def _take(self, account_id: AccountId, agent: AgentPresence) -> None:
        if not agent.fence:
            return
        lock = Lock(
            agent_id=AgentId(agent.agent_id),
            device_id=agent.primary_device_id,
            fence=agent.fence,
            alert=agent.alert,
            alert_until_ns=agent.alert_until_ns,
        )
        self.on_answer(account_id, agent, lock if self.learn(lock) else None)
