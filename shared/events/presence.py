"""Who is here. Fenced, written by presence after hysteresis: a device that drops and returns within the grace
period never was offline. An agent is online while at least one of their devices is."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.ids import AccountId, AgentId, DeviceId

Availability = Literal["online", "busy", "away", "offline"]


class AgentOnline(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="agent_online",
):
    """A device of the agent is connected."""

    account_id: AccountId
    writer: str
    agent_id: AgentId
    device_id: DeviceId


class AgentOffline(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="agent_offline",
):
    """A device of the agent is gone: it said goodbye, or nothing was heard for lease and grace."""

    account_id: AccountId
    writer: str
    agent_id: AgentId
    device_id: DeviceId
    why: Literal["disconnected", "lapsed", "agent_removed"]


class AvailabilityChanged(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="availability_changed",
):
    """The agent's own word, apart from being connected. Only "online" gets new conversations."""

    account_id: AccountId
    writer: str
    agent_id: AgentId
    availability: Availability


class PrimaryDeviceChanged(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="primary_device_changed",
):
    """The device that alerts. `fence` grows with every move; the higher one is right."""

    account_id: AccountId
    writer: str
    agent_id: AgentId
    device_id: DeviceId | None
    fence: int


PresenceEvent = AgentOnline | AgentOffline | AvailabilityChanged | PrimaryDeviceChanged
