"""One agent's devices, two gateways and two presence processes through an evening with a virtual clock: the real books,
locks and decisions, and networks, sleep and deaths as a story or lots will have them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from services.gateway.views import at
from shared import clock
from shared import events as e
from shared.events import Author, PrimaryDeviceChanged
from shared.ids import ContactId, ConversationId, DeviceId, MessageId
from shared.queries import Lock
from shared.wire.views import AuthorView, EntryView, MessageView
from simulate.devices.gateway import Gateway
from simulate.devices.handset import Handset
from simulate.devices.office import ACCOUNT, AGENT, EPOCH_NS, Office
from simulate.people import identifier

TICK_S = 0.25
_CONVERSATION = ConversationId(identifier(0xE, 0))
_VISITOR = ContactId(identifier(0xC0, 0))


class Evening:
    """`moves`: when each move of the lock was recorded. `loss`: how likely a hint gets lost. `told`: what happened, for
    a person. `calm_s`: since when nothing goes wrong any more; `troubled_s`: the
    moments at which something did."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.began_s = self.now_s = 1000.0
        self.loss = 0.0
        self.loses_hints = False
        self.log: list[EntryView] = []
        self.posted: dict[int, float] = {}
        self.moves: list[tuple[float, PrimaryDeviceChanged]] = []
        self.told: list[tuple[float, str]] = []
        self.calm_s = float("inf")
        self.troubled_s: list[float] = []
        self.unaware_s = [self.now_s]
        """When a gateway did not know who holds the lock, so that it lets every device alert."""
        self.gateways: dict[str, Gateway] = {}
        self.office = Office(self.dice, self.now_s, self._moved)
        self._number = 0
        for name in ("g1", "g2"):
            self.start(name)
        self.devices = [
            Handset(self, name, is_plain=self.dice.random() < 0.5)
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

    def note(self, text: str) -> None:
        """Keep what happens."""
        self.told.append((self.now_s, text))

    def play(self, story: Callable[[Evening], None]) -> None:
        """Run a story; everybody reads this evening's clock. Sessions need a loop for their time."""

        async def run() -> None:
            with self._clock():
                story(self)

        with asyncio.Runner(loop_factory=lambda: _Loop(self)) as runner:
            runner.run(run())

    @contextmanager
    def _clock(self) -> Iterator[None]:
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
        self.troubled_s.append(self.now_s)
        gateway = self.gateways.pop(name)
        for device in self.devices:
            if device.gateway is gateway:
                device.drop(is_told=False)

    def restart_presence(self) -> None:
        """Both processes: the record stays, the evidence is gone."""
        for number in range(len(self.office.seats)):
            self.office.kill(number)

    def post(self) -> int:
        """A visitor writes to the agent; the position."""
        message_id = MessageId(identifier(0x3E5, self.number()))
        position = self.office.log.append(
            e.MessagePosted(
                account_id=ACCOUNT,
                conversation_id=_CONVERSATION,
                message_id=message_id,
                author=Author(kind="visitor", id=_VISITOR),
                content_type="text",
                body=b"",
                fingerprint=b"",
            ),
            family="message",
        )
        author = AuthorView(kind="visitor", id=_VISITOR, name=None)
        view = EntryView(
            position=position,
            prev=self.log[-1].position if self.log else 0,
            at=at(self.now_ns),
            kind="message",
            conversation_id=_CONVERSATION,
            message=MessageView(
                conversation_id=_CONVERSATION,
                message_id=message_id,
                seq=position,
                position=position,
                at=at(self.now_ns),
                author=author,
                content_type="text",
                text="?",
            ),
        )
        self.log.append(view)
        self.posted[view.position] = self.now_s
        self.note(f"message {position} comes")
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
            self.office.pass_to(self.now_s)
            locks = [g.primaries.lock(AGENT) for g in self.gateways.values()]
            if any(lock is None or lock.device_id is None for lock in locks):
                self.unaware_s.append(self.now_s)
            if self.loss or self.loses_hints or len(self.gateways) < 2 or self.office.is_troubled:
                self.troubled_s.append(self.now_s)

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

    def _moved(self, event: PrimaryDeviceChanged) -> None:
        """It is on record; the store tells the gateways."""
        self.moves.append((self.now_s, event))
        self.note(f"the lock moves to {event.device_id}: {event.why}, fence {event.fence}")
        lock = Lock(
            agent_id=event.agent_id,
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


class _Loop(asyncio.SelectorEventLoop):
    """Whoever asks the loop for the time gets the evening's."""

    def __init__(self, evening: Evening) -> None:
        self._evening = evening
        super().__init__()

    def time(self) -> float:
        return self._evening.now_s
