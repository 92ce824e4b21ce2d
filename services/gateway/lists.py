"""Lists that are no inbox (unassigned, team, supervisor) and the counts beside them: agents are told that they changed,
the first time at once, then at most so often, and fetch what they show."""

from __future__ import annotations

import asyncio

from services.gateway import metrics
from services.gateway.directory import LiveDirectory
from services.gateway.sessions.registry import Registry
from services.gateway.tokens import Principal
from shared import clock
from shared.codec import to_json
from shared.ids import AccountId, AgentId, Position, TeamId
from shared.wire.frames import Changed

_LOOKS = 10
"""How often within the time between two frames it is looked whose time has come."""
_CROWD = 200
"""So many devices of an account are told once in the whole time between two frames, fewer more often."""


class Lists:
    """`changed` notes, `run` in a task tells."""

    def __init__(self, registry: Registry, directory: LiveDirectory, *, flush_s: float) -> None:
        self._registry = registry
        self._directory = directory
        self._flush_s = flush_s
        self._changes: dict[AccountId, tuple[set[str], Position]] = {}
        self._quiet_until_s: dict[AccountId, float] = {}
        self._arrived = asyncio.Event()

    def changed(self, account_id: AccountId, team_id: str, position: Position) -> None:
        """A list of the account changed; `team_id` is empty when no team owns it."""
        teams, before = self._changes.get(account_id, (set(), 0))
        teams.add(team_id)
        self._changes[account_id] = (teams, max(before, position))
        self._arrived.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._changes:
                self.flush(clock.monotonic_s())
                await asyncio.sleep(self._flush_s / _LOOKS)

    def flush(self, now_s: float) -> None:
        """Tell the agents of every account whose lists changed and who were not told a moment ago."""
        quiet = {a: until_s for a, until_s in self._quiet_until_s.items() if until_s > now_s}
        self._quiet_until_s = quiet
        for account_id in [each for each in self._changes if each not in quiet]:
            self._tell(account_id, now_s)

    def _tell(self, account_id: AccountId, now_s: float) -> None:
        teams, position = self._changes.pop(account_id)
        sessions = self._registry.agents_of(account_id)
        if sessions:
            # A small team hears at once; what a large one costs is bounded, here and in what it then asks.
            share = min(1.0, max(1 / _LOOKS, len(sessions) / _CROWD))
            self._quiet_until_s[account_id] = now_s + self._flush_s * share
        for session in sessions:
            assert session.principal is not None
            seen = sorted(t for t in teams if self._sees(session.principal, t))
            if seen:
                frame = Changed(position=position, team_ids=[t for t in seen if t])
                session.send(to_json(frame))
                metrics.SENT.labels("changed").inc()

    def _sees(self, principal: Principal, team_id: str) -> bool:
        if not team_id or principal.is_staff:
            return True
        account = self._directory.state.accounts.get(principal.account_id)
        team = account.teams.get(TeamId(team_id)) if account else None
        return team is not None and AgentId(principal.id) in team.members
