"""Who is really connected, as only the simulator can know, and what presence may say about it: nobody is offline
who never was, nobody stays online who is long gone, and exactly one device of those online is the primary one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared.commands import Connection
from shared.events import (
    AgentOffline,
    AgentOnline,
    AgentRemoved,
    AgentSaved,
    Event,
    PrimaryDeviceChanged,
)
from shared.ids import AccountId, AgentId, DeviceId
from simulate.broken import require
from simulate.inputs import Connect
from simulate.log import Entry, Log
from simulate.minds import GRACE_S, LEASE_S

_NS = 1_000_000_000
_SLACK_NS = 8 * _NS
Key = tuple[AccountId, AgentId]


class Attendance:
    """`connected`: devices with a connection. `trouble_ns`: when presence last may have lost its evidence."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.up = {"gateway-1", "gateway-2"}
        self.was_up = True
        self.connected: set[str] = set()
        self.trouble_ns = log.now_ns
        self.online: dict[Key, set[DeviceId]] = {}
        self.primary: dict[Key, tuple[DeviceId | None, int]] = {}
        self._connections: dict[DeviceId, tuple[str, Connection]] = {}
        self._last_ns: dict[DeviceId, int] = {}
        self._count = 0
        self._exists: set[Key] = set()

    def connect(self, wish: Connect) -> tuple[str, Connection] | None:
        """The gateway and its new connection; None if that gateway is down."""
        if wish.gateway not in self.up:
            return None
        self._count += 1
        connection = Connection(
            account_id=wish.account_id,
            agent_id=wish.agent_id,
            device_id=wish.device_id,
            connection=f"{wish.gateway}:{self._count}",
        )
        self._connections[wish.device_id] = (wish.gateway, connection)
        self.connected.add(wish.device_id)
        return (wish.gateway, connection)

    def use(self, device_id: DeviceId) -> None:
        """The person does something on it."""
        known = self._connections.get(device_id)
        if known is not None:
            connection = msgspec.structs.replace(known[1], active=known[1].active + 1)
            self._connections[device_id] = (known[0], connection)

    def disconnect(self, device_id: DeviceId) -> tuple[str, Connection] | None:
        """It is gone; what it had."""
        gone = self._connections.pop(device_id, None)
        if gone is not None:
            self.connected.discard(device_id)
            self._last_ns[device_id] = self.log.now_ns
        return gone

    def fail(self, gateway: str) -> None:
        """All its connections are gone."""
        self.up.discard(gateway)
        for device_id, (where, _) in list(self._connections.items()):
            if where == gateway:
                self.disconnect(device_id)
        self.note_trouble()

    def alive(self, gateway: str) -> tuple[Connection, ...]:
        """What the gateway has to report."""
        return tuple(each for where, each in self._connections.values() if where == gateway)

    def note_trouble(self) -> None:
        """From now on everybody may have a full new lease."""
        self.trouble_ns = self.log.now_ns

    def note(self, entry: Entry) -> None:
        """Fold what is on record."""
        event = entry.event
        match event:
            case AgentOnline():
                key = (event.account_id, event.agent_id)
                self.online.setdefault(key, set()).add(event.device_id)
            case AgentOffline():
                self.online.get((event.account_id, event.agent_id), set()).discard(event.device_id)
            case PrimaryDeviceChanged():
                key = (event.account_id, event.agent_id)
                _, fence = self.primary.get(key, (None, 0))
                is_next = event.fence == fence + 1
                require(is_next, "fence", f"moved from {fence} to {event.fence}", (key[1],))
                self.primary[key] = (event.device_id, event.fence)
            case AgentSaved():
                self._exists.add((event.account_id, event.agent_id))
            case AgentRemoved():
                self._exists.discard((event.account_id, event.agent_id))
            case _:
                pass

    def judge(self, events: Sequence[Event]) -> None:
        """What presence is about to record."""
        for event in events:
            match event:
                case AgentOffline(why="agent_removed"):
                    key = (event.account_id, event.agent_id)
                    require(key not in self._exists, "offline", "nobody removed them", (key[1],))
                case AgentOffline():
                    self._gone_long_enough(event)
                case AgentOnline():
                    self._was_here(event)
                case _:
                    pass

    def judge_quiet(self, *, is_told: bool) -> None:
        """Presence has nothing left to say; `is_told`: the gateways had the time to tell it who is here."""
        for key in self._exists:
            self._primary_is_online(key)
        if not (self.up and is_told):
            return
        for device_id, (_, connection) in self._connections.items():
            key = (connection.account_id, connection.agent_id)
            if key in self._exists:
                is_on = device_id in self.online.get(key, ())
                require(is_on, "online", "connected and not online", (key[1], device_id))
        latest_ns = self.log.now_ns - int((2 * LEASE_S + GRACE_S) * _NS) - _SLACK_NS
        if self.trouble_ns > latest_ns:
            return
        for key, devices in self.online.items():
            for device_id in devices - self.connected:
                is_recent = self._last_ns.get(device_id, 0) > latest_ns
                require(is_recent, "offline", "gone and still online", (key[1], device_id))

    def _gone_long_enough(self, event: AgentOffline) -> None:
        about = (event.agent_id, event.device_id)
        is_here = event.device_id in self.connected
        require(not is_here or not self.up, "flap", "offline, but it is connected", about)
        gone_ns = self.log.now_ns - self._last_ns.get(event.device_id, 0)
        require(gone_ns >= GRACE_S * _NS - 1, "flap", f"offline after {gone_ns / _NS} s", about)

    def _was_here(self, event: AgentOnline) -> None:
        about = (event.agent_id, event.device_id)
        if event.device_id in self.connected:
            return
        gone_ns = self.log.now_ns - self._last_ns.get(event.device_id, 0)
        require(gone_ns <= LEASE_S * _NS + 1, "online", "online, but it is gone", about)

    def _primary_is_online(self, key: Key) -> None:
        online = self.online.get(key, set())
        primary, _ = self.primary.get(key, (None, 0))
        is_right = primary in online if online else primary is None
        require(is_right, "primary", f"{primary} of {len(online)} online", (key[1],))
