"""One agent's devices, two gateways and presence with a virtual clock: the real books, locks and decisions, and
networks, sleep and deaths as a test wants them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import msgspec

from services.gateway.alerts import Alerts
from services.gateway.cursors import Cursors
from services.gateway.handing import AlertTimes, Handing
from services.gateway.primaries import Primaries
from services.gateway.sessions.registry import Registry
from services.gateway.sessions.session import Outgoing, OutgoingLimits, Session
from services.gateway.sessions.window import Window
from services.gateway.tokens import Principal
from services.gateway.unheard import Unheard
from services.gateway.views import at
from services.presence.decide import Terms, decide, everybody
from services.presence.heard import Heard, forget, hear, refresh
from services.presence.state import State, evolve
from shared import clock
from shared.commands import AgentPresence, Beats, Connection, Waiting
from shared.events import PrimaryDeviceChanged
from shared.ids import AgentId, ConversationId, DeviceId
from shared.queries import Lock, UnheardRow
from shared.wire.views import AuthorView, EntryView, MessageView
from tests.support import desk

WAIT_S = 5.0
FOR_S = 120.0
TICK_S = 0.25
BEAT_S = 5.0
TERMS = Terms(writer="p", lease_s=15, grace_s=30, primary_pause_s=2, alert_wait_s=WAIT_S)
EPOCH_NS = 1_750_000_000_000_000_000
AGENT = desk.agent_id("ann")
KEY = (desk.ACCOUNT, AGENT)


class Device:
    """An application that follows the rules: rings in time only, never twice for a position, acknowledges."""

    def __init__(self, world: AlertWorld, name: str, *, is_plain: bool) -> None:
        self.world = world
        self.id = desk.device_id(name)
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
        self.rings: list[tuple[float, int]] = []

    def write(self, frame: bytes) -> None:
        """The gateway sends; it lies in the socket until the device reads."""
        head = {126: 4, 127: 10}.get(frame[1], 2)
        self.frames.append(json.loads(frame[head:]))

    def live(self) -> None:
        """Read what came, ring, acknowledge."""
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
        assert self.session is not None
        assert self.gateway is not None
        if self.cursor <= self.session.position:
            alerted = None if self.is_plain else self.alerted
            self.gateway.alerts.acked(self.session, self.cursor, alerted)
            self.gateway.awake.add(self.id)

    def _ring(self, position: int, until: str) -> None:
        if position > self.alerted and at(self.world.now_ns) <= until:
            self.alerted = position
            self.rings.append((self.world.now_s, position))

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
        self.frames.clear()
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


class Gateway:
    """The gateway's real parts for alerts, without sockets."""

    def __init__(self, world: AlertWorld, name: str) -> None:
        self.world = world
        self.name = name
        self.registry = Registry()
        self.unheard = Unheard(wait_s=WAIT_S)
        presence: Any = SimpleNamespace()
        self.primaries = Primaries(presence)
        self.primaries.ask = self._ask  # type: ignore[assignment, method-assign]
        times = AlertTimes(for_ns=int(FOR_S * 1e9), wait_ns=int(WAIT_S * 1e9))
        self.alerts = Alerts(self.primaries, self.unheard, self.registry, times=times)
        views: Any = SimpleNamespace()
        self.handing = Handing(
            views=views,
            cursors=Cursors(b"key"),
            primaries=self.primaries,
            unheard=self.unheard,
            times=times,
        )
        self.open: dict[DeviceId, Connection] = {}
        self.awake: set[DeviceId] = set()
        self.doubts_s = float("inf")
        self.next_beat_s = world.now_s + world.dice.uniform(0, BEAT_S)

    def _ask(self, _account_id: str, **_: Any) -> None:
        if not self.world.is_presence_up:
            return
        agent = self.world.state.agent(KEY)
        self.primaries._take(
            desk.ACCOUNT,
            AgentPresence(
                agent_id=AGENT,
                online=bool(agent.devices),
                primary_device_id=agent.primary,
                fence=agent.fence,
                alert=agent.alert,
                alert_until_ns=agent.alert_until_ns,
                heard=self.world.heard.answered.get(KEY, 0),
            ),
        )

    def welcome(self, device: Device) -> None:
        """A device resumes."""
        pipe: Any = SimpleNamespace(
            is_closing=lambda: False, write=device.write, get_write_buffer_size=lambda: 0
        )
        outgoing = Outgoing(OutgoingLimits())
        # The world's time does not pass in turns of a loop.
        outgoing.soon = _write_now  # type: ignore[method-assign]
        session = Session(self.world.number(), pipe, outgoing, now_s=self.world.now_s)
        session.principal = Principal(kind="agent", id=AGENT, account_id=desk.ACCOUNT, role="agent")
        session.device_id = device.id
        session.window = Window(200, 2000)
        session.position, session.mode, session.epoch = device.cursor, "live", "e"
        self.registry.add(session)
        self.registry.attach(session)
        if self.primaries.lock(AGENT) is None:
            self._ask(desk.ACCOUNT)
        device.session, device.gateway = session, self
        missed = [view for view in self.world.log if view.position > device.cursor]
        if missed:
            self.handing.entries(session, missed, current=True, way="resume")
        self.alerts.held(session, self._unheard_of(device.cursor))
        self.alerts.opened(session)
        self.open[device.id] = Connection(
            account_id=desk.ACCOUNT,
            agent_id=AGENT,
            device_id=device.id,
            connection=f"{self.name}:{session.number}",
        )
        self._tell(opened=(self.open[device.id],))

    def _unheard_of(self, cursor: int) -> list[UnheardRow]:
        """As the store answers."""
        posted = self.world.posted
        return [
            UnheardRow(
                position=view.position,
                at_ns=EPOCH_NS + int(posted[view.position] * 1e9),
                conversation_id=ConversationId("c"),
            )
            for view in self.world.log
            if view.position <= cursor and self.world.now_s - posted[view.position] <= FOR_S
        ]

    def gone(self, device: Device, *, is_told: bool) -> None:
        """A session ends."""
        assert device.session is not None
        self.registry.remove(device.session)
        connection = self.open.pop(device.id)
        if is_told:
            self._tell(closed=(connection,), waiting=tuple(self.alerts.waiting(device.session)))

    def use(self, device: Device) -> None:
        """The person does something there."""
        known = self.open[device.id]
        self.open[device.id] = msgspec.structs.replace(known, active=known.active + 1)

    def tick(self) -> None:
        """What the gateway's tasks do in a quarter of a second."""
        now_s = self.world.now_s
        if now_s >= self.doubts_s and self.world.is_presence_up:
            self.doubts_s = float("inf")
            self._ask(desk.ACCOUNT)
        self.unheard.forget_old(now_s, self.world.now_ns)
        due = self.unheard.due(now_s)
        if due:
            self._tell(waiting=tuple(due))
        for _ in list(self.unheard.overdue(now_s, after_s=WAIT_S + 2)):
            self._ask(desk.ACCOUNT)
        if now_s >= self.next_beat_s:
            self.next_beat_s = now_s + BEAT_S
            awake, self.awake = self.awake, set()
            alive = tuple(
                msgspec.structs.replace(each, is_awake=each.device_id in awake)
                for each in self.open.values()
            )
            self._tell(alive=alive, waiting=tuple(self.unheard.all(now_s)))

    def _tell(self, **lists: tuple[Connection, ...] | tuple[Waiting, ...]) -> None:
        lost = self.world.dice.random() < self.world.loss
        if self.world.is_presence_up and not lost:
            beats: Any = lists
            hear(
                self.world.heard,
                Beats(gateway=self.name, **beats),
                self.world.now_s,
                lease_s=TERMS.lease_s,
            )


def _write_now(session: Session) -> None:
    session.write()


class AlertWorld:
    """`moves`: when each move of the lock was recorded. `loss`: how likely a beat or a hint gets lost."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.now_s = 1000.0
        self.loss = 0.0
        self.loses_hints = False
        self.log: list[EntryView] = []
        self.posted: dict[int, float] = {}
        self.moves: list[tuple[float, PrimaryDeviceChanged]] = []
        self.unaware_s = [self.now_s]
        """When a gateway did not know who holds the lock, so that it lets every device alert."""
        self.state = State()
        self.heard = Heard(fresh_s=self.now_s)
        self.is_presence_up = True
        self._number = 0
        self._position = 100
        evolve(self.state, desk.agent("ann"), 1)
        self.gateways: dict[str, Gateway] = {}
        for name in ("g1", "g2"):
            self.start(name)
        self.devices = [
            Device(self, name, is_plain=self.dice.random() < 0.5)
            for name in ("phone", "laptop", "tablet")
        ]

    @property
    def now_ns(self) -> int:
        """The wall clock, and the log server's."""
        return EPOCH_NS + int(self.now_s * 1e9)

    def number(self) -> int:
        """Of the next session or process."""
        self._number += 1
        return self._number

    @contextmanager
    def clock(self) -> Iterator[None]:
        """Everybody reads this world's clock."""
        with (
            patch.object(clock, "monotonic_s", lambda: self.now_s),
            patch.object(clock, "now_ns", lambda: self.now_ns),
        ):
            yield

    def start(self, name: str) -> None:
        """A gateway process begins."""
        self.gateways[name] = Gateway(self, f"{name}-{self.number()}")

    def kill(self, name: str) -> None:
        """It dies: no goodbyes, nothing kept."""
        gateway = self.gateways.pop(name)
        for device in self.devices:
            if device.gateway is gateway:
                device.drop(is_told=False)

    def restart_presence(self) -> None:
        """The record stays, the evidence is gone."""
        self.heard = Heard(fresh_s=self.now_s)
        self.is_presence_up = True

    def post(self) -> int:
        """A visitor writes to the agent; the position."""
        self._position += 1
        author = AuthorView(kind="visitor", id="v", name=None)
        view = EntryView(
            position=self._position,
            prev=self.log[-1].position if self.log else 0,
            at=at(self.now_ns),
            kind="message",
            conversation_id="c",
            message=MessageView(
                conversation_id="c",
                message_id="m",
                seq=self._position,
                position=self._position,
                at=at(self.now_ns),
                author=author,
                content_type="text",
                text="?",
            ),
        )
        self.log.append(view)
        self.posted[view.position] = self.now_s
        for gateway in self.gateways.values():
            for session in gateway.registry.of_owner(AGENT):
                gateway.handing.entries(session, [view], current=True, way="live")
        return view.position

    def pass_time(self, seconds: float) -> None:
        """Tick by tick."""
        for _ in range(round(seconds / TICK_S)):
            self.now_s += TICK_S
            for device in self.devices:
                device.live()
            for gateway in self.gateways.values():
                gateway.tick()
            if self.is_presence_up:
                self._decide()
            locks = [g.primaries.lock(AGENT) for g in self.gateways.values()]
            if any(lock is None or lock.device_id is None for lock in locks):
                self.unaware_s.append(self.now_s)

    def _decide(self) -> None:
        if self.now_s - self.heard.tick_s > 1.0:
            refresh(self.heard, self.now_s)
        self.heard.tick_s = self.now_s
        forget(self.heard, self.now_s, after_s=90)
        while events := decide(
            self.state, self.heard, everybody(self.state, self.heard), self.now_s, TERMS
        ):
            for event in events:
                self._position += 1
                evolve(self.state, event, self._position)
                if isinstance(event, PrimaryDeviceChanged):
                    self.heard.moved_s[KEY] = self.now_s
                    self.moves.append((self.now_s, event))
                    self._hint(event)

    def _hint(self, event: PrimaryDeviceChanged) -> None:
        lock = Lock(
            agent_id=AgentId(event.agent_id),
            device_id=event.device_id,
            fence=event.fence,
            alert=event.alert,
            alert_until_ns=event.alert_until_ns,
        )
        for gateway in self.gateways.values():
            if not self.loses_hints and self.dice.random() >= self.loss:
                gateway.alerts.learn(lock)
            elif not self.loses_hints:
                # The next hint of the chain, a second later, shows that one is missing.
                gateway.doubts_s = self.now_s + 1

    def rings_for(self, position: int) -> list[tuple[float, DeviceId]]:
        """Who rang for exactly this entry, and when."""
        return sorted(
            (at_s, device.id)
            for device in self.devices
            for at_s, rung in device.rings
            if rung == position
        )

    def is_covered(self, position: int) -> bool:
        """Whether any device rang for it, or for something newer, after it came."""
        return any(
            rung >= position and at_s >= self.posted[position]
            for device in self.devices
            for at_s, rung in device.rings
        )
