"""Who is here. Fenced, written by presence after hysteresis: a device that drops and returns within the grace
period never was offline. An agent is online while at least one of their devices is."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.ids import AccountId, AgentId, DeviceId, Position

Availability = Literal["online", "busy", "away", "offline"]
MoveReason = Literal["", "connected", "used", "unanswered", "offline", "removed"]


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
    """The device that alerts. `fence` grows with every move; the higher one is right. `why`: it is the first one
    online; the person used it; the one before did not answer its alert; the one before is offline; the agent was
    removed. `alert`: the newest inbox entry that nobody answered for when it moved (0: none): the new holder makes
    itself heard for it until `alert_until_ns` (log time)."""

    account_id: AccountId
    writer: str
    agent_id: AgentId
    device_id: DeviceId | None
    fence: int
    why: MoveReason = ""
    alert: Position = 0
    alert_until_ns: int = 0


PresenceEvent = AgentOnline | AgentOffline | AvailabilityChanged | PrimaryDeviceChanged
