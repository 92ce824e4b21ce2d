"""What ids are called where a story is told in words, and by which clock its times are told."""

from __future__ import annotations

import datetime as dt

import msgspec

from shared.policy.zones import zone_of


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What ids are called, and by which clock times are told: the wall clock of the people who read them."""

    agents: dict[str, str]
    teams: dict[str, str]
    zone: str = "UTC"

    def when(self, at_ns: int) -> str:
        """A moment in words, with its zone; in the hour that comes twice in autumn also with its offset."""
        moment = dt.datetime.fromtimestamp(at_ns // 1_000_000_000, zone_of(self.zone))
        comes_twice = moment.replace(fold=0).utcoffset() != moment.replace(fold=1).utcoffset()
        offset = f", {moment:UTC%z}" if comes_twice else ""
        return f"{moment:%Y-%m-%d %H:%M:%S} ({self.zone}{offset})"

    def agent(self, agent_id: str | None) -> str:
        """The agent's name, else the id of one that was removed."""
        return self.agents.get(agent_id, agent_id) if agent_id else "nobody"

    def team(self, team_id: str | None) -> str:
        """The team's name."""
        return f"team {self.teams.get(team_id, team_id)}" if team_id else "any team"
