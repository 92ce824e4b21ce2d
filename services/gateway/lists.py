"""Lists that are no inbox (unassigned, team, supervisor): agents are told that they changed, at most once in a while
for an account, and fetch what they show."""

from __future__ import annotations

import asyncio

from services.gateway import metrics
from services.gateway.directory import LiveDirectory
from services.gateway.sessions.registry import Registry
from services.gateway.tokens import Principal
from shared.codec import to_json
from shared.ids import AccountId, AgentId, Position, TeamId
from shared.wire.frames import Changed


class Lists:
    """`changed` notes, `run` in a task tells."""

    def __init__(self, registry: Registry, directory: LiveDirectory, *, flush_s: float) -> None:
        self._registry = registry
        self._directory = directory
        self._flush_s = flush_s
        self._changes: dict[AccountId, tuple[set[str], Position]] = {}

    def changed(self, account_id: AccountId, team_id: str, position: Position) -> None:
        """A list of the account changed; `team_id` is empty when no team owns it."""
        teams, before = self._changes.get(account_id, (set(), 0))
        teams.add(team_id)
        self._changes[account_id] = (teams, max(before, position))

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await asyncio.sleep(self._flush_s)
            self.flush()

    def flush(self) -> None:
        """Tell the agents of every account whose lists changed."""
        changes, self._changes = self._changes, {}
        for account_id, (teams, position) in changes.items():
            for session in self._registry.agents_of(account_id):
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
