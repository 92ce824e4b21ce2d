"""The gateway's real parts for alerts, without sockets: its books, what it knows of the lock, what it hands over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

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
from shared.commands import Beats, Connection, Waiting
from shared.ids import ConversationId, DeviceId
from shared.queries import UnheardRow
from simulate.devices.handset import Handset
from simulate.devices.office import ACCOUNT, AGENT, BEAT_S, EPOCH_NS, FOR_S, WAIT_S

if TYPE_CHECKING:
    from simulate.devices.evening import Evening


class Gateway:
    """The gateway's real parts for alerts, without sockets."""

    def __init__(self, world: Evening, name: str) -> None:
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
        """As `Primaries.run` does: whoever gets no answer asks again a second later."""
        told = self.world.office.asked()
        if told is None:
            self.doubts_s = min(self.doubts_s, self.world.now_s + 1)
        else:
            self.primaries._take(ACCOUNT, told)  # noqa: SLF001 - as its task does with the answer

    def welcome(self, device: Handset) -> None:
        """A device resumes. Who holds the lock is asked first, before anybody knows of the session."""
        if self.primaries.lock(AGENT) is None:
            self._ask(ACCOUNT)
        pipe: Any = SimpleNamespace(
            is_closing=lambda: False, write=device.write, get_write_buffer_size=lambda: 0
        )
        outgoing = Outgoing(OutgoingLimits())
        # The evening's time does not pass in turns of a loop.
        outgoing.soon = _write_now  # type: ignore[method-assign]
        session = Session(self.world.number(), pipe, outgoing, now_s=self.world.now_s)
        session.principal = Principal(kind="agent", id=AGENT, account_id=ACCOUNT, role="agent")
        session.device_id = device.id
        session.window = Window(200, 2000)
        session.position, session.mode, session.epoch = device.cursor, "live", "e"
        self.registry.add(session)
        self.registry.attach(session)
        device.session, device.gateway = session, self
        missed = [view for view in self.world.log if view.position > device.cursor]
        if missed:
            self.handing.entries(session, missed, current=True, way="resume")
        self.alerts.held(session, self._unheard_of(device.cursor))
        self.alerts.opened(session)
        self.open[device.id] = Connection(
            account_id=ACCOUNT,
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

    def gone(self, device: Handset, *, is_told: bool) -> None:
        """A session ends."""
        assert device.session is not None
        self.registry.remove(device.session)
        connection = self.open.pop(device.id)
        if is_told:
            self._tell(closed=(connection,), waiting=tuple(self.alerts.waiting(device.session)))

    def use(self, device: Handset) -> None:
        """The person does something there."""
        known = self.open[device.id]
        self.open[device.id] = msgspec.structs.replace(known, active=known.active + 1)

    def tick(self) -> None:
        """What the gateway's tasks do in a quarter of a second."""
        now_s = self.world.now_s
        if now_s >= self.doubts_s:
            self.doubts_s = float("inf")
            self._ask(ACCOUNT)
        self.alerts.turn(now_s)
        self.unheard.forget_old(now_s, self.world.now_ns)
        due = self.unheard.due(now_s)
        if due:
            self._tell(waiting=tuple(due))
        for _ in list(self.unheard.overdue(now_s, after_s=WAIT_S + 2)):
            self._ask(ACCOUNT)
        if now_s >= self.next_beat_s:
            self.next_beat_s = now_s + BEAT_S
            awake, self.awake = self.awake, set()
            alive = tuple(
                msgspec.structs.replace(each, is_awake=each.device_id in awake)
                for each in self.open.values()
            )
            self._tell(alive=alive, waiting=tuple(self.unheard.all(now_s)))

    def _tell(self, **lists: tuple[Connection, ...] | tuple[Waiting, ...]) -> None:
        beats: Any = lists
        self.world.office.hear(Beats(gateway=self.name, **beats))


def _write_now(session: Session) -> None:
    session.write()
