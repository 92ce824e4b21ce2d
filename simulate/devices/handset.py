"""An agent's device as an application that follows the rules: it rings in time only, never twice for a position, and
acknowledges what it has read. It knows frames and nothing of what is behind them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from services.gateway.sessions.session import Session
from services.gateway.views import at
from shared.ids import DeviceId
from simulate.people import identifier

if TYPE_CHECKING:
    from simulate.devices.evening import Evening
    from simulate.devices.gateway import Gateway


class Handset:
    """See the module. `rings`: when it rang, for what; `off_s`: when it was asleep or not connected."""

    def __init__(self, world: Evening, name: str, *, is_plain: bool) -> None:
        self.world = world
        self.name = name
        self.id = DeviceId(identifier(0xD, sum(name.encode())))
        self.is_plain = is_plain
        """It does not say for what it alerted."""
        self.is_awake = True
        self.session: Session | None = None
        self.gateway: Gateway | None = None
        self.frames: list[dict[str, Any]] = []
        self.cursor = 0
        self.alerted = 0
        self.fence = 0
        self.awake_since_s = world.now_s
        self.off_s: list[float] = []
        self.rings: list[tuple[float, int]] = []

    def write(self, frame: bytes) -> None:
        """The gateway sends; it lies in the socket until the device reads."""
        head = {126: 4, 127: 10}.get(frame[1], 2)
        self.frames.append(json.loads(frame[head:]))

    def live(self) -> None:
        """Read what came, ring, acknowledge."""
        if not self.is_awake or self.session is None:
            self.off_s.append(self.world.now_s)
        while self.is_awake and self.session is not None and self.frames:
            frame = self.frames.pop(0)
            if frame["op"] == "entries":
                self._take(frame["entries"])
            elif frame["op"] == "alert" and frame["fence"] >= self.fence:
                self.fence = frame["fence"]
                self._ring(frame["position"], frame["alert_until"])
            self.ack()

    def _take(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            self.cursor = entry["position"]
            if entry["alert"]:
                self._ring(entry["position"], entry["alert_until"])

    def ack(self) -> None:
        """Say what it holds."""
        if self.session is None or self.gateway is None:
            return
        if self.cursor <= self.session.position:
            alerted = None if self.is_plain else self.alerted
            self.gateway.alerts.acked(self.session, self.cursor, alerted)
            self.gateway.awake.add(self.id)

    def _ring(self, position: int, until: str) -> None:
        if position > self.alerted and at(self.world.now_ns) <= until:
            self.alerted = position
            self.rings.append((self.world.now_s, position))
            self.world.note(f"the {self.name} rings for {position}")

    def sleep(self) -> None:
        """Nothing is read; the connection stays."""
        self.is_awake = False

    def wake(self) -> None:
        """Go on with what lies in the socket."""
        if not self.is_awake:
            self.is_awake = True
            self.awake_since_s = self.world.now_s

    def connect(self, gateway: Gateway) -> None:
        """Say hello with the cursor; what was acknowledged is said again."""
        # Whoever sleeps reads the welcome later, and then says what it holds.
        self.frames = [{"op": "welcome"}]
        self.awake_since_s = self.world.now_s
        gateway.welcome(self)
        if self.is_awake and self.cursor:
            self.ack()

    def drop(self, *, is_told: bool = True) -> None:
        """The connection is gone."""
        if self.gateway is not None:
            self.gateway.gone(self, is_told=is_told)
        self.session = self.gateway = None
        self.frames.clear()
