"""What agents have, beside what they may have: for supervisors of everybody, for agents of themselves."""

from __future__ import annotations

from services.gateway.rest.route import Call
from services.gateway.waiting import ask_loads
from shared.commands import AgentLoad
from shared.errors import Unavailable
from shared.events import AgentSaved
from shared.ids import AgentId
from shared.wire.views import ChannelLoad, LoadView


async def loads_of(
    call: Call[object, object], agent_id: AgentId | None = None
) -> dict[AgentId, LoadView]:
    """What the agents have, as far as it is the asker's to see; nothing when no dispatcher answers."""
    who, agents = call.who, call.parts.directory.account(call.account_id).agents
    own = AgentId(who.id) if who.kind == "agent" else None
    wanted = agent_id if who.is_staff else own
    if not who.is_staff and agent_id not in (None, own):
        return {}
    bus, shard = call.parts.bus, call.parts.shared.shard
    try:
        found = await ask_loads(bus, shard, call.account_id, wanted)
    except Unavailable:
        return {}
    shown = agents if wanted is None else (wanted,)
    return {a: _load(agents[a], found.get(a)) for a in shown if a in agents}


def _load(agent: AgentSaved, found: AgentLoad | None) -> LoadView:
    found = found or AgentLoad(agent_id=agent.agent_id)
    limits = agent.channel_capacity
    return LoadView(
        held=found.held,
        capacity=agent.capacity,
        owned=found.owned,
        channels=[
            ChannelLoad(channel=x, held=found.channels.get(x, 0), capacity=limits.get(x))
            for x in sorted({*limits, *found.channels})
        ],
        occupation=found.occupation,
        unacknowledged=found.unacknowledged,
    )
