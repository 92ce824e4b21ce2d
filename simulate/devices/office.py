"""Presence for one agent as two processes, one of them active: the real folds and decisions, a log with its fence, and
deaths, sleep and takeovers as an evening brings them."""

from __future__ import annotations

import random
from collections.abc import Callable

from shared import events as e
from shared.commands import AgentPresence, Beats
from shared.events import PrimaryDeviceChanged
from shared.ids import AccountId, AgentId
from simulate.inputs import Outcome
from simulate.log import Entry, Log
from simulate.minds import Watcher
from simulate.people import identifier
from simulate.seats import SECOND_NS, Seat

WAIT_S = 5.0
FOR_S = 120.0
BEAT_S = 5.0
EPOCH_NS = 1_750_000_000 * SECOND_NS
ACCOUNT = AccountId(identifier(0xACC, 0))
AGENT = AgentId(identifier(0xA, 0))
KEY = (ACCOUNT, AGENT)
_MOST_TURNS = 50


class Office:
    """`loss`: how likely one process misses a beat. `on_move`: called with each move of the lock as it is recorded."""

    def __init__(
        self, dice: random.Random, now_s: float, on_move: Callable[[PrimaryDeviceChanged], None]
    ) -> None:
        self.dice = dice
        self.loss = 0.0
        self._was_killed = False
        self.log = Log(EPOCH_NS + int(now_s * SECOND_NS))
        self._on_move = on_move
        self.log.watch.append(self._note)
        self._minds = (Watcher(), Watcher())
        self.seats = [
            Seat(f"presence-{number}", "presence", self.log, mind)
            for number, mind in enumerate(self._minds, 1)
        ]
        self.log.append(
            e.AgentSaved(
                account_id=ACCOUNT, writer="", agent_id=AGENT, name=b"", email=b"", capacity=5
            ),
            family="account",
        )

    @property
    def is_troubled(self) -> bool:
        """Whether something is frozen, slow or has just died."""
        was_killed, self._was_killed = self._was_killed, False
        slow = (s.is_stalled or s.hold is not None or s.draft is not None for s in self.seats)
        return was_killed or any(slow)

    def pass_to(self, now_s: float) -> None:
        """Let both act at this moment."""
        self.log.now_ns = max(self.log.now_ns, EPOCH_NS + int(now_s * SECOND_NS))
        for seat in self.seats:
            seat.wake()
            if seat.draft is not None:
                seat.draft.waits -= 1
        for _ in range(_MOST_TURNS):
            if sum(self._turn(seat) for seat in self.seats) == 0:
                return
        raise AssertionError("presence never comes to an end")

    def hear(self, beats: Beats) -> None:
        """A gateway's batch, which each of the two may miss."""
        for seat, mind in zip(self.seats, self._minds, strict=True):
            if not seat.is_stalled and self.dice.random() >= self.loss:
                mind.hear(beats, seat.now_s)

    def asked(self) -> AgentPresence | None:
        """What one of them answers; None while it sleeps."""
        number = self.dice.randrange(len(self.seats))
        if self.seats[number].is_stalled:
            return None
        mind = self._minds[number]
        agent = mind.state.agent(KEY)
        return AgentPresence(
            agent_id=AGENT,
            online=bool(agent.devices),
            primary_device_id=agent.primary,
            fence=agent.fence,
            alert=agent.alert,
            alert_until_ns=agent.alert_until_ns,
            heard=mind.heard.answered.get(KEY, 0),
        )

    def kill(self, number: int) -> None:
        """It dies and is back: the record stays, the evidence is gone."""
        self._was_killed = True
        seat = self.seats[number]
        draft = seat.draft
        if draft is not None and draft.outcome == "stored":
            self.log.append_fenced(
                draft.events, family="presence", writer=seat.writer, expected=draft.expected
            )
        seat.is_stalled = False
        seat.start("zero")

    def stall(self, number: int) -> None:
        """It neither hears nor decides."""
        self.seats[number].is_stalled = True

    def resume(self, number: int) -> None:
        """It goes on, and finds that it slept."""
        seat = self.seats[number]
        seat.is_stalled = seat.is_awake = False

    def hold(self, number: int, ticks: int, outcome: Outcome) -> None:
        """Its next append is slow, and perhaps nobody hears what became of it."""
        self.seats[number].hold = (ticks, outcome)

    def _turn(self, seat: Seat) -> bool:
        if seat.is_stalled:
            return False
        has_folded = seat.fold()
        return seat.step(lambda *_: None) or has_folded

    def _note(self, entry: Entry) -> None:
        if isinstance(entry.event, PrimaryDeviceChanged):
            self._on_move(entry.event)
