"""What presence has folded from the log: agents that exist, devices that are online, availability, primary devices."""

from __future__ import annotations

import msgspec

from shared import directory
from shared.directory import Directory
from shared.events import (
    AccountEvent,
    AgentOffline,
    AgentOnline,
    AgentRemoved,
    AgentSaved,
    AvailabilityChanged,
    Event,
    PrimaryDeviceChanged,
    WriterStarted,
)
from shared.events.presence import Availability
from shared.ids import AccountId, AgentId, DeviceId, Position

VERSION = 2
"""Of the snapshot's form."""

_TRIED_MOST = 32

AgentKey = tuple[AccountId, AgentId]


class Agent(msgspec.Struct, kw_only=True):
    """An agent as recorded. `devices`: those online, with the position that said so. `primary` holds the alert lock;
    `alert`, until `alert_until_ns`, is what nobody had answered for when it moved there. `tried`: devices that got
    the lock with an alert that nobody had answered, with its position."""

    devices: dict[DeviceId, Position] = {}
    availability: Availability = "online"
    availability_position: Position = 0
    primary: DeviceId | None = None
    fence: int = 0
    alert: Position = 0
    alert_until_ns: int = 0
    tried: dict[DeviceId, Position] = {}


class State(msgspec.Struct, kw_only=True):
    """Everything folded."""

    directory: Directory = msgspec.field(default_factory=Directory)
    agents: dict[AccountId, dict[AgentId, Agent]] = {}

    def agent(self, key: AgentKey) -> Agent:
        """The agent's record, a blank one at first."""
        return self.agents.setdefault(key[0], {}).setdefault(key[1], Agent())

    def exists(self, key: AgentKey) -> bool:
        """Whether the agent is configured."""
        account = self.directory.accounts.get(key[0])
        return account is not None and key[1] in account.agents


def evolve(state: State, event: Event, position: Position) -> AgentKey | None:
    """Apply one event in place and tell who has to be looked at. Other families change nothing."""
    match event:
        case AgentOnline():
            state.agent((event.account_id, event.agent_id)).devices[event.device_id] = position
        case AgentOffline():
            state.agent((event.account_id, event.agent_id)).devices.pop(event.device_id, None)
        case AvailabilityChanged():
            agent = state.agent((event.account_id, event.agent_id))
            agent.availability = event.availability
            agent.availability_position = position
        case PrimaryDeviceChanged():
            agent = state.agent((event.account_id, event.agent_id))
            if event.fence > agent.fence:
                _move_lock(agent, event)
        case AgentSaved() | AgentRemoved():
            # A device may be connected already when its agent comes into being, and still when they go.
            directory.evolve(state.directory, event, position)
        case _ if isinstance(event, AccountEvent | WriterStarted):
            directory.evolve(state.directory, event, position)
            return None
        case _:
            return None
    return (event.account_id, event.agent_id)


def _move_lock(agent: Agent, event: PrimaryDeviceChanged) -> None:
    if event.alert and event.device_id is not None:
        agent.tried.pop(event.device_id, None)
        agent.tried[event.device_id] = event.alert
        while len(agent.tried) > _TRIED_MOST:
            del agent.tried[next(iter(agent.tried))]
    agent.primary = event.device_id
    agent.fence = event.fence
    agent.alert = event.alert
    agent.alert_until_ns = event.alert_until_ns
