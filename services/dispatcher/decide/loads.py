"""What each agent has, as the decisions count it: whoever looks at the team sees why nobody is given more. Pure."""

from __future__ import annotations

from services.dispatcher.decide.floor import Floor
from services.dispatcher.decide.world import World
from shared.commands import AgentLoad, LoadsAnswer, Occupation
from shared.ids import AccountId, AgentId

_OCCUPATIONS: dict[str, Occupation] = {
    "free": "free",
    "offline": "offline",
    "not_available": "not_available",
    "silent": "silent",
    "at_capacity": "at_capacity",
    "pace": "pace",
}


def loads(world: World, account_id: AccountId, agent_id: AgentId | None = None) -> LoadsAnswer:
    """At the log's end, of all agents of the account or of one. Who is offline and has nothing is left out."""
    position = world.state.position
    if account_id not in world.state.offices:
        return LoadsAnswer(position=position)
    floor = world.floor(account_id)
    asked = floor.account.agents if agent_id is None else (agent_id,)
    found = [_load(floor, each) for each in asked]
    return LoadsAnswer(position=position, agents=tuple([x for x in found if x is not None]))


def _load(floor: Floor, agent_id: AgentId) -> AgentLoad | None:
    standing = floor.standing(agent_id)
    holding = floor.holdings.get(agent_id)
    if standing is None or (standing.status == "offline" and not (holding and holding.owned)):
        return None
    return AgentLoad(
        agent_id=agent_id,
        occupation=_OCCUPATIONS[standing.status],
        held=holding.held if holding else 0,
        owned=len(holding.owned) if holding else 0,
        channels={x: n for x, n in holding.channels.items() if n} if holding else {},
        unacknowledged=len(holding.unacknowledged) if holding else 0,
        window=floor.window(agent_id),
    )
