"""The two kinds of process that decide: the real folds and decisions, with what their edges would tell them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.dispatcher.ahead import Ahead
from services.dispatcher.decide import UNTOUCHED, Evidence, Settings, State, World
from services.dispatcher.decide import rounds as routing
from services.dispatcher.evidence import Watch
from services.presence import decide as presence
from services.presence import heard as evidence
from services.presence import state as presences
from services.presence.heard import Device, Heard
from shared import codec
from shared.commands import Beats
from shared.events import Event, PrimaryDeviceChanged, RoutingEvent
from shared.ids import AccountId
from simulate.log import Entry
from simulate.seats import SECOND_NS, Seat

LEASE_S = 15.0
GRACE_S = 30.0
PAUSE_S = 2.0
_SILENCE_S = 3.0
_LOOKS_S = (1.3, 0.25)
"""The last looks before a moment: one that marks the log's end, and one that finds it stored or not."""
_FULL_LOOK_S = 0.001
"""In life twice a second; here once a moment that is looked at, since time jumps from one to the next."""


class Router:
    """A dispatcher."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.hinted: int | None = 0
        self.writer = ""

    def load(self, packed: bytes | None, now_s: float) -> None:
        """Begin with a snapshot or with nothing."""
        del now_s
        state = State() if packed is None else codec.unpack(packed, State)
        self.world = World(state, self.settings)
        self.watch = Watch()
        self.ahead = Ahead()
        self.prepared_at = 0
        """Where the log ended when what is decided now was prepared; 0: it was not."""

    def pack(self) -> bytes:
        """The folded state."""
        return codec.pack(self.world.state)

    def evolve(self, entry: Entry, now_s: float) -> None:
        """Fold one entry."""
        del now_s
        event = entry.event
        touched = self.world.evolve(event, entry.position, entry.at_ns)
        if isinstance(event, RoutingEvent) and event.writer == self.writer:
            self.ahead.landed()
        elif touched is not UNTOUCHED:
            account_id = getattr(event, "account_id", AccountId(""))
            self.ahead.cross(touched, self.world.owners(account_id, touched))

    def renew(self, seat: Seat) -> None:
        """Leases count from now."""
        self.watch.renew(seat.log.now_ns)

    def stay_awake(self, seat: Seat) -> None:
        """It has looked all the time, and heard the store as long as that spoke."""
        for ago_s in _LOOKS_S:
            at_s = seat.now_s - ago_s
            if at_s <= self.watch.looked_s:
                continue
            self.watch.looked_s = max(self.watch.looked_s, at_s - _LOOKS_S[-1])
            if self.hinted is not None:
                self.watch.hear(self.hinted, at_s)
            self._look(seat, ago_s)

    def decide(self, seat: Seat) -> Sequence[Event]:
        """What to append now: what was prepared while the last round was on its way, else what the state says."""
        if not seat.is_active:
            self.drop()
        events = self.ahead.take()
        if events:
            return events
        self.prepared_at = 0
        return self.decided_by(self.world, seat, self.look(seat))

    def fly(self, seat: Seat, events: Sequence[Event]) -> None:
        """These are on their way; a full round means that there is more, and that is decided meanwhile."""
        self.writer = seat.writer
        flying = [event for event in events if isinstance(event, RoutingEvent)]
        self.ahead.fly(flying)
        if len(flying) == self.settings.round_events and self.ahead.can_carry:
            self.prepared_at = seat.cursor
            found, now_ns = self.look(seat), seat.log.now_ns
            self.ahead.prepare(
                routing.decide(
                    self.world, now_ns, evidence=found, writer=self.writer, flying=self.ahead.flying
                )
            )

    def drop(self) -> None:
        """What was on its way is refused or unknown: nothing rests on it."""
        self.ahead.drop()
        self.prepared_at = 0

    def decided_by(self, world: World, seat: Seat, found: Evidence) -> Sequence[Event]:
        """What this world would append in that seat."""
        return routing.decide(world, seat.log.now_ns, evidence=found, writer=seat.writer)

    @property
    def has_more(self) -> bool:
        """Whether some of what a saved document concerns is not looked at yet."""
        return bool(self.world.behind)

    def look(self, seat: Seat) -> Evidence:
        """The evidence of the moment."""
        return self._look(seat, 0.0)

    def _look(self, seat: Seat, ago_s: float) -> Evidence:
        return self.watch.look(
            end=seat.cursor,
            now_ns=seat.log.now_ns - int(ago_s * SECOND_NS),
            now_s=seat.now_s - ago_s,
            reconnects=0,
            silence_s=_SILENCE_S,
        )

    def next_wake_ns(self, seat: Seat, leases_s: set[int]) -> list[int]:
        """Log times at which there may be something new to decide."""
        wakes = [self.watch.fresh_ns + lease_s * SECOND_NS for lease_s in leases_s]
        if self.world.next_ring_ns is not None:
            wakes.append(self.world.next_ring_ns)
        if seat.overdue is not None:
            wakes.append(seat.overdue[1] + SECOND_NS)
        return wakes


class Watcher:
    """A presence process."""

    def load(self, packed: bytes | None, now_s: float) -> None:
        """Begin with a snapshot or with nothing."""
        self.state = presences.State() if packed is None else codec.unpack(packed, presences.State)
        self.heard = Heard(fresh_s=now_s)
        self.looked_s = evidence.NEVER_S

    def pack(self) -> bytes:
        """The folded state."""
        return codec.pack(self.state)

    def evolve(self, entry: Entry, now_s: float) -> None:
        """Fold one entry; a wish that is on record is granted."""
        key = presences.evolve(self.state, entry.event, entry.position)
        if key is None:
            return
        self.heard.touched[key] = None
        if isinstance(entry.event, PrimaryDeviceChanged):
            self.heard.moved_s[key] = now_s
        if self.heard.wishes.get(key) == self.state.agent(key).availability:
            del self.heard.wishes[key]

    def renew(self, seat: Seat) -> None:
        """Everybody has a full new lease."""
        evidence.refresh(self.heard, seat.now_s)

    def stay_awake(self, seat: Seat) -> None:
        """It has looked a moment ago."""
        self.heard.tick_s = seat.now_s - 0.25

    def fly(self, seat: Seat, events: Sequence[Event]) -> None:
        """Nothing is decided meanwhile."""

    def drop(self) -> None:
        """Nothing rested on it."""

    def hear(self, beats: Beats, now_s: float) -> None:
        """A gateway's batch."""
        evidence.hear(self.heard, beats, now_s, lease_s=LEASE_S)

    @property
    def has_more(self) -> bool:
        """Never: it looks at everybody each time."""
        return False

    def decide(self, seat: Seat) -> Sequence[Event]:
        """What to record now."""
        now_s = seat.now_s
        evidence.tick(self.heard, now_s, late_s=1.0)
        terms = presence.Terms(
            writer=seat.writer, lease_s=LEASE_S, grace_s=GRACE_S, primary_pause_s=PAUSE_S
        )
        is_full = now_s - self.looked_s >= _FULL_LOOK_S
        everybody = presence.everybody(self.state, self.heard) if is_full else self.heard.touched
        events = presence.decide(self.state, self.heard, everybody, now_s, terms)
        if events or not seat.is_active:
            return events
        if is_full:
            self.looked_s = now_s
            evidence.forget(self.heard, now_s, after_s=2 * (LEASE_S + GRACE_S))
        self.heard.touched = {}
        return events

    def next_wake_ns(self, seat: Seat, connected: set[str]) -> list[int]:
        """Log times at which somebody who is not connected may be judged, or a primary device may move."""
        heard = self.heard
        soon_s = [at_s + PAUSE_S for at_s in heard.moved_s.values()]
        fresh_s = heard.fresh_s + LEASE_S
        for device_id, device in self._devices():
            if device_id not in connected:
                gone_s = device.gone_s if device is not None else fresh_s
                soon_s += [gone_s, max(gone_s, fresh_s) + GRACE_S]
        return [_log_ns(at_s, seat) for at_s in soon_s if at_s > seat.now_s]

    def _devices(self) -> Iterator[tuple[str, Device | None]]:
        """Every device that is on record or was heard, with what was heard of it."""
        for account_id, agents in self.state.agents.items():
            for agent_id, agent in agents.items():
                devices = self.heard.agents.get((account_id, agent_id), {})
                yield from ((each, devices.get(each)) for each in (*agent.devices, *devices))


def _log_ns(at_s: float, seat: Seat) -> int:
    return int((at_s - seat.offset_s) * SECOND_NS) + 1_000_000
