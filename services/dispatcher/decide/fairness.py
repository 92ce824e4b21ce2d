"""How evenly the work lies: figures over teams, without anybody's name. Pure."""

from __future__ import annotations

from typing import get_args

import msgspec

from services.dispatcher.decide.floor import Floor
from services.dispatcher.decide.pool import Status
from services.dispatcher.decide.world import World
from shared.events import TeamSaved


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """The difference between the most and the least loaded available agent of a team, as a share of capacity, over
    the teams in which at least two are available: the largest and the mean. 0 without such a team."""

    largest: float = 0.0
    mean: float = 0.0
    teams: int = 0


def spread(world: World) -> Spread:
    """As of what is folded."""
    found: list[float] = []
    for account_id in world.state.offices:
        floor = world.standing_floor(account_id)
        for team in floor.account.teams.values():
            loads = _loads(floor, team)
            if len(loads) > 1:
                found.append(max(loads) - min(loads))
    if not found:
        return Spread()
    return Spread(largest=max(found), mean=sum(found) / len(found), teams=len(found))


class Paces(msgspec.Struct, frozen=True, kw_only=True):
    """Agents by their standing, and the windows of those who are connected: least, mean, most. 0 without any."""

    standings: dict[Status, int]
    least: int = 0
    mean: float = 0.0
    most: int = 0


def paces(world: World) -> Paces:
    """As of what is folded."""
    counts = dict.fromkeys(get_args(Status), 0)
    windows: list[int] = []
    for account_id in world.state.offices:
        floor = world.standing_floor(account_id)
        for agent_id, standing in floor.standings.items():
            counts[standing.status] += 1
            if standing.status != "offline":
                windows.append(floor.window(agent_id))
    if not windows:
        return Paces(standings=counts)
    mean = sum(windows) / len(windows)
    return Paces(standings=counts, least=min(windows), mean=mean, most=max(windows))


def _loads(floor: Floor, team: TeamSaved) -> list[float]:
    standings = (floor.standings.get(agent_id) for agent_id in team.members)
    away = ("offline", "not_available")
    return [each.load for each in standings if each is not None and each.status not in away]
