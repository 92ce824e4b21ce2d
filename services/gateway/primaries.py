"""Which device of an agent makes itself heard: learned from hints, asked of presence when it is not known."""

from __future__ import annotations

import asyncio

import structlog

from services.gateway.presence import Presence
from shared import clock
from shared.errors import Malformed, Unavailable
from shared.ids import AccountId, DeviceId

log = structlog.get_logger(__name__)

_ASK_AGAIN_S = 30.0
_WAITING_MOST = 1_000


class Primaries:
    """While the primary device of an agent is not known every device of theirs alerts: one alert too many is better
    than none."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._known: dict[str, tuple[DeviceId | None, int]] = {}
        self._asked_at_s: dict[AccountId, float] = {}
        self._wanted: asyncio.Queue[AccountId] = asyncio.Queue(_WAITING_MOST)

    def learn(self, agent_id: str, device_id: DeviceId | None, fence: int) -> bool:
        """Take over a move of the lock; whether it is news. An older one (lower fence) changes nothing."""
        before = self._known.get(agent_id)
        if before is not None and fence <= before[1]:
            return False
        self._known[agent_id] = (device_id, fence)
        return True

    def is_heard(self, agent_id: str, device_id: str) -> bool:
        """Whether this device may alert."""
        known = self._known.get(agent_id)
        return known is None or known[0] is None or known[0] == device_id

    def want(self, agent_id: str, account_id: AccountId) -> None:
        """An agent connected: find out about their devices if nothing is known."""
        now_s = clock.monotonic_s()
        if agent_id in self._known or self._wanted.full():
            return
        if now_s - self._asked_at_s.get(account_id, -_ASK_AGAIN_S) >= _ASK_AGAIN_S:
            self._asked_at_s[account_id] = now_s
            self._wanted.put_nowait(account_id)

    async def run(self) -> None:
        """Ask presence, one account after the other, until cancelled."""
        while True:
            account_id = await self._wanted.get()
            try:
                agents = await self._presence.agents(account_id)
            except (Unavailable, Malformed) as err:
                log.debug("primaries_unknown", code=err.code)
                continue
            for agent in agents.values():
                if agent.primary_device_id is not None:
                    self.learn(agent.agent_id, agent.primary_device_id, agent.fence)
