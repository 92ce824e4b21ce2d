"""What happens to the desk from outside, as data: a week is a list of these with their times, so it can be replayed
and cut down to what matters."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.events import Event
from shared.events.presence import Availability
from shared.ids import AccountId, AgentId, DeviceId

Outcome = Literal["stored", "unheard", "dropped"]
Start = Literal["snapshot", "zero"]


class Tell(msgspec.Struct, frozen=True):
    """A gateway appends a fact."""

    event: Event


class Connect(msgspec.Struct, frozen=True):
    """An agent's device opens a connection."""

    account_id: AccountId
    agent_id: AgentId
    device_id: DeviceId
    gateway: str


class Use(msgspec.Struct, frozen=True):
    """The person does something on the device."""

    device_id: DeviceId


class Disconnect(msgspec.Struct, frozen=True):
    """The device is gone, with a goodbye or without."""

    device_id: DeviceId
    has_said_goodbye: bool


class Wish(msgspec.Struct, frozen=True):
    """An agent says how available they are."""

    account_id: AccountId
    agent_id: AgentId
    availability: Availability


class FailGateway(msgspec.Struct, frozen=True):
    """A gateway dies with all its connections."""

    gateway: str


class ReturnGateway(msgspec.Struct, frozen=True):
    """It is back, without any."""

    gateway: str


class Kill(msgspec.Struct, frozen=True):
    """A process dies and is back at once, from its snapshot or from the log's beginning."""

    process: str
    start: Start


class Save(msgspec.Struct, frozen=True):
    """A process keeps a snapshot."""

    process: str


class Stall(msgspec.Struct, frozen=True):
    """A process neither folds nor decides (SIGSTOP); a fraction of a minute or hours."""

    process: str


class Resume(msgspec.Struct, frozen=True):
    """It goes on."""

    process: str


class Hold(msgspec.Struct, frozen=True):
    """The process's next append is in flight while `inputs` more things happen, and ends like this."""

    process: str
    inputs: int
    outcome: Outcome


class PauseStore(msgspec.Struct, frozen=True):
    """The store commits nothing; `is_silent`: its hints stop too."""

    is_silent: bool


class ResumeStore(msgspec.Struct, frozen=True):
    """It goes on."""


class RefoldStore(msgspec.Struct, frozen=True):
    """The store is built again from the log, cut into other batches."""

    batch: int


Input = (
    Tell
    | Connect
    | Use
    | Disconnect
    | Wish
    | FailGateway
    | ReturnGateway
    | Kill
    | Save
    | Stall
    | Resume
    | Hold
    | PauseStore
    | ResumeStore
    | RefoldStore
)
Trouble = Kill | Save | Stall | Resume | Hold
Dated = tuple[int, Input]
"""When (log time), and what."""
