"""What was heard from gateways, by the process's monotonic clock: connections with their leases and activity.

This is evidence of the moment and no state of the log; a restart begins without any. Pure: time is an argument.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from services.presence.state import AgentKey
from shared.commands import Beats, Connection, Waiting
from shared.events.presence import Availability
from shared.ids import DeviceId, Position

NEVER_S = float("-inf")


class Device(msgspec.Struct, kw_only=True):
    """A device's connections and how long each one's lease lasts. `closed_s`: the last goodbye. `active_s`: when
    the person last did something on it. `awake_s`: when it was last
    heard that it acknowledged something."""

    leases: dict[str, float] = {}
    counts: dict[str, int] = {}
    closed_s: float = NEVER_S
    active_s: float = NEVER_S
    awake_s: float = NEVER_S

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


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway said last of an agent's unanswered alerts, and when."""

    at_s: float
    waiting: tuple[Waiting, ...]


class Heard(msgspec.Struct, kw_only=True):
    """Evidence. `beat_s`: when any gateway was last heard. `fresh_s`: the last moment that broke the evidence
    (start, takeover, reconnect, late tick, silence); whoever is online has a full new lease from then.
    `wishes`: availabilities that agents asked for and that are not recorded yet. `moved_s`: last moves of primary
    devices. `touched`: agents to look at before the next full look. `waits`: what each gateway said of an agent's
    unanswered alerts. `answered`: the newest entry of an agent that a device is known to have been heard for."""

    fresh_s: float
    beat_s: float = NEVER_S
    tick_s: float = NEVER_S
    agents: dict[AgentKey, dict[DeviceId, Device]] = {}
    wishes: dict[AgentKey, Availability] = {}
    moved_s: dict[AgentKey, float] = {}
    touched: dict[AgentKey, None] = {}
    waits: dict[AgentKey, dict[str, Told]] = {}
    answered: dict[AgentKey, Position] = {}


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
    _hear_waiting(heard, beats, now_s)
    for connection in beats.opened:
        _renew(heard, connection, now_s + lease_s)
        heard.touched[_key(connection)] = None
    for connection in beats.alive:
        is_used = _renew(heard, connection, now_s + lease_s)
        device = heard.agents[_key(connection)][connection.device_id]
        if connection.is_awake:
            device.awake_s = now_s
        if is_used:
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
    for key, by_gateway in tuple(heard.waits.items()):
        for gateway, told in tuple(by_gateway.items()):
            if told.at_s + after_s < now_s:
                del by_gateway[gateway]
        if not by_gateway:
            del heard.waits[key]
            heard.answered.pop(key, None)


def _hear_waiting(heard: Heard, beats: Beats, now_s: float) -> None:
    """What the gateway says of an agent replaces what it said before; an answer stays an answer."""
    by_agent: dict[AgentKey, list[Waiting]] = {}
    for waiting in beats.waiting:
        by_agent.setdefault(_key(waiting), []).append(waiting)
    for key, told in by_agent.items():
        heard.waits.setdefault(key, {})[beats.gateway] = Told(at_s=now_s, waiting=tuple(told))
        heard.answered[key] = max(heard.answered.get(key, 0), *(each.heard for each in told))
        heard.touched[key] = None


def _key(about: Connection | Waiting) -> AgentKey:
    return (about.account_id, about.agent_id)


def _renew(heard: Heard, connection: Connection, until_s: float) -> bool:
    """Extend the lease of this connection alone. True: the person did something since it was last heard."""
    device = heard.agents.setdefault(_key(connection), {}).setdefault(
        connection.device_id, Device()
    )
    device.leases[connection.connection] = until_s
    before = device.counts.get(connection.connection)
    device.counts[connection.connection] = connection.active
    return before is not None and connection.active > before
