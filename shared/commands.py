"""What gateways tell and ask the other services over core NATS. MessagePack (`shared.codec.pack`)."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.conversation import Status
from shared.events.presence import Availability
from shared.ids import AccountId, AgentId, ConversationId, DeviceId, Position


class Connection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One open connection of an agent's device. `connection` is unique for ever ("<gateway>:<number>"), so the
    lease or goodbye of an old connection never touches a newer one of the same device. `active` counts up when
    the person does something (sends, reads, types). `is_awake`: the device acknowledged something since the last
    beat, so it is there, whatever it did not answer before."""

    account_id: AccountId
    agent_id: AgentId
    device_id: DeviceId
    connection: str
    active: int = 0
    is_awake: bool = False


class Waiting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a gateway knows of an agent's alerts: nobody answered for the entries `oldest`..`newest` (0: none).
    `device_id` was told to make itself heard and has acknowledged nothing for `age_s`; None: devices here hold the
    entries (for `age_s` the oldest) and none of them was told. `until_ns`: until when (log time) the newest is worth an alert. `heard`: the newest entry that
    was answered here. What a gateway says of an agent replaces what it said of them before."""

    account_id: AccountId
    agent_id: AgentId
    device_id: DeviceId | None = None
    oldest: Position = 0
    newest: Position = 0
    until_ns: int = 0
    age_s: float = 0.0
    heard: Position = 0


class Beats(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A gateway's batch: connections that opened, closed, or are alive (leases). Sent at once on open and close
    and every `beat_s` seconds for all; an empty one says that the gateway itself is alive. `waiting` comes at once
    when a device does not answer its alert. Visitors' connections are not in it."""

    gateway: str
    opened: tuple[Connection, ...] = ()
    closed: tuple[Connection, ...] = ()
    alive: tuple[Connection, ...] = ()
    waiting: tuple[Waiting, ...] = ()


class SetAvailability(msgspec.Struct, frozen=True, kw_only=True):
    """Wish to presence (`nd.cmd.<shard>.presence.set_availability`); answered with `Accepted`."""

    account_id: AccountId
    agent_id: AgentId
    availability: Availability


class Accepted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Answer to a wish. `position` is the event that recorded it."""

    status: Literal["ok", "unavailable"] = "ok"
    position: Position = 0


class AskPresence(msgspec.Struct, frozen=True, kw_only=True):
    """Question to presence (`nd.cmd.<shard>.presence.agents`): how every agent of the account is now."""

    account_id: AccountId


class AgentPresence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One agent now. `alert`, `alert_until_ns`: as recorded with the last move of the lock. `heard`: the newest
    inbox entry that a device of theirs is known to have been heard for."""

    agent_id: AgentId
    online: bool
    availability: Availability = "online"
    primary_device_id: DeviceId | None = None
    fence: int = 0
    alert: Position = 0
    alert_until_ns: int = 0
    heard: Position = 0


class PresenceAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Answer to `AskPresence`."""

    agents: tuple[AgentPresence, ...] = ()


class AskQueue(msgspec.Struct, frozen=True, kw_only=True):
    """Question to the dispatcher (`nd.cmd.<shard>.dispatcher.estimate`): where a conversation stands."""

    account_id: AccountId
    conversation_id: ConversationId


class QueueAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Answer to `AskQueue`, as of the log's `position`. `place`: 1 is next, 0 waits in no queue. `expected_s`: None
    where nothing honest can be said. `is_open`: None for an inbox without hours; `opens_ns`: when they open next,
    0 while open or unknown; `zone`: the time zone that they are written in. `is_escalated`: the supervisors were told about this wait. `given_ns`: when its
    owner was given it, 0 without one. `state` is None for a
    conversation not known (yet)."""

    position: Position = 0
    state: Status | None = None
    place: int = 0
    expected_s: int | None = None
    is_open: bool | None = None
    opens_ns: int = 0
    is_escalated: bool = False
    zone: str = ""
    given_ns: int = 0


class AskLoads(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Question to the dispatcher (`nd.cmd.<shard>.dispatcher.loads`): what the agents of an account have, or one of them."""

    account_id: AccountId
    agent_id: AgentId | None = None


Occupation = Literal["free", "offline", "not_available", "silent", "at_capacity", "pace"]
"""Whether an agent is given conversations, or the first rule that speaks against it; see `shared.events.Explanation`."""


class AgentLoad(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an agent has. `owned`: all that is theirs; `held`: of it what fills the capacity, by `channels` too;
    `unacknowledged` assignments of the `window` that their pace allows."""

    agent_id: AgentId
    occupation: Occupation = "offline"
    held: int = 0
    owned: int = 0
    channels: dict[str, int] = {}
    unacknowledged: int = 0
    window: int = 0


class LoadsAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Answer to `AskLoads`, as of the log's `position`. Who is not in it is offline and has nothing."""

    position: Position = 0
    agents: tuple[AgentLoad, ...] = ()


class Typing(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="typing"
):
    """Somebody types; passes beside the log on `nd.eph.<shard>.<bucket>` and may be lost."""

    account_id: AccountId
    conversation_id: str
    contact_id: str
    by_kind: Literal["visitor", "agent"]
    by_id: str
    is_typing: bool = True
    origin: str = ""


class Looker(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An agent's connection that has a conversation open, since when (only to be shown), or that has left it."""

    account_id: AccountId
    conversation_id: ConversationId
    agent_id: AgentId
    connection: int
    since_ns: int
    is_looking: bool = True


class Looking(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="looking"
):
    """Who looks at what, from the gateway that has their connections: at every change, and all of it again every few
    seconds, so that a lost one is made good and a dead gateway's are forgotten. `asks`: this gateway is new and wants
    to hear everybody else's. Passes beside the log as `Typing` does."""

    gateway: str
    lookers: tuple[Looker, ...] = ()
    asks: bool = False


class DeviceConnected(msgspec.Struct, frozen=True, kw_only=True):
    """A device of a contact or agent said hello, by its gateway's clock."""

    owner_id: str
    device_id: DeviceId
    at_ns: int


class Connected(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="connected"
):
    """Devices that connected to a gateway: older sessions of theirs at others end. Passes beside the log."""

    gateway: str
    devices: tuple[DeviceConnected, ...]


class KeyRevoked(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="key_revoked"):
    """An API key is good no longer; `lookup` is its public part. Passes beside the log."""

    lookup: str


Ephemeral = Typing | Looking | Connected | KeyRevoked
