"""What was heard from gateways, by the process's monotonic clock: connections with their leases and activity.

This is evidence of the moment and no state of the log; a restart begins without any. Pure: time is an argument.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from services.presence.state import AgentKey
from shared.commands import Beats, Connection
from shared.events.presence import Availability
from shared.ids import DeviceId

NEVER_S = float("-inf")


class Device(msgspec.Struct, kw_only=True):
    """A device's connections and how long each one's lease lasts. `closed_s`: the last goodbye. `active_s`: when
    the person last did something on it."""

    leases: dict[str, float] = {}
    counts: dict[str, int] = {}
    closed_s: float = NEVER_S
    active_s: float = NEVER_S

    def is_connected(self, now_s: float) -> bool:
        """Whether a connection has a lease."""
        return any(until_s > now_s for until_s in self.leases.values())

    @property
    def gone_s(self) -> float:
        """Up to when it was certainly there."""
        return max([*self.leases.values(), self.closed_s])

    @property
    def parting(self) -> Literal["disconnected", "lapsed"]:
        """How it went: with a goodbye or without."""
        has_said_goodbye = self.closed_s > NEVER_S and self.gone_s == self.closed_s
        return "disconnected" if has_said_goodbye else "lapsed"


class Heard(msgspec.Struct, kw_only=True):
    """Evidence. `beat_s`: when any gateway was last heard. `fresh_s`: the last moment that broke the evidence
    (start, takeover, reconnect, late tick, silence); whoever is online has a full new lease from then.
    `wishes`: availabilities that agents asked for and that are not recorded yet. `moved_s`: last moves of primary
    devices. `touched`: agents to look at before the next full look."""

    fresh_s: float
    beat_s: float = NEVER_S
    tick_s: float = NEVER_S
    agents: dict[AgentKey, dict[DeviceId, Device]] = {}
    wishes: dict[AgentKey, Availability] = {}
    moved_s: dict[AgentKey, float] = {}
    touched: dict[AgentKey, None] = {}


def refresh(heard: Heard, now_s: float) -> None:
    """The evidence was broken: everybody gets a full new lease."""
    heard.fresh_s = now_s


def tick(heard: Heard, now_s: float, *, late_s: float) -> bool:
    """Tell that the process is awake. True: it was not for longer than `late_s`, so leases were renewed."""
    is_late = now_s - heard.tick_s > late_s
    if is_late:
        refresh(heard, now_s)
    heard.tick_s = now_s
    return is_late


def hear(heard: Heard, beats: Beats, now_s: float, *, lease_s: float) -> None:
    """Take in a gateway's batch."""
    if now_s - heard.beat_s > lease_s:
        refresh(heard, now_s)
    heard.beat_s = now_s
    for connection in beats.opened:
        _renew(heard, connection, now_s + lease_s)
        heard.touched[_key(connection)] = None
    for connection in beats.alive:
        if _renew(heard, connection, now_s + lease_s):
            device = heard.agents[_key(connection)][connection.device_id]
            device.active_s = now_s
            heard.touched[_key(connection)] = None
    for connection in beats.closed:
        known = heard.agents.get(_key(connection), {}).get(connection.device_id)
        if known is not None and known.leases.pop(connection.connection, None) is not None:
            known.counts.pop(connection.connection, None)
            known.closed_s = now_s


def forget(heard: Heard, now_s: float, *, after_s: float) -> None:
    """Drop connections and devices that are long gone."""
    for key, devices in tuple(heard.agents.items()):
        for device_id, device in tuple(devices.items()):
            if device.gone_s + after_s < now_s:
                del devices[device_id]
                continue
            for name in [n for n, until_s in device.leases.items() if until_s + after_s < now_s]:
                del device.leases[name]
                del device.counts[name]
        if not devices:
            del heard.agents[key]


def _key(connection: Connection) -> AgentKey:
    return (connection.account_id, connection.agent_id)


def _renew(heard: Heard, connection: Connection, until_s: float) -> bool:
    """Extend the lease of this connection alone. True: the person did something since it was last heard."""
    device = heard.agents.setdefault(_key(connection), {}).setdefault(
        connection.device_id, Device()
    )
    device.leases[connection.connection] = until_s
    before = device.counts.get(connection.connection)
    device.counts[connection.connection] = connection.active
    return before is not None and connection.active > before
