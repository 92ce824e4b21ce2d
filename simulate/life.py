"""What people, machines and misfortune do in a week, drawn from one seed. It looks at the ledger, so that people act
on what they have: agents acknowledge, answer and resolve, visitors come back, processes die at the worst moment."""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush

from services.dispatcher.decide import Settings
from shared import events as e
from shared.events import Author
from shared.events.conversation import Priority
from shared.events.presence import Availability
from shared.ids import AgentId, ContactId, ConversationId, DeviceId, MessageId
from simulate import inputs as i
from simulate.engine import Engine
from simulate.ledger import SECOND_NS, Ledger, Talk
from simulate.people import DAY_S, Firm, Worker, identifier

START_NS = 1_799_971_200 * SECOND_NS
WEEK_S = 7 * DAY_S
_WORDS: list[Availability] = ["online", "online", "busy", "away"]
_OUTCOMES: list[i.Outcome] = ["stored", "stored", "unheard", "dropped"]
_PRIORITIES: list[Priority] = ["urgent", "high", "normal", "normal", "normal", "low"]
_REPEAT_NS = 50 * 60 * SECOND_NS
_PROCESSES = ("dispatcher-1", "dispatcher-2", "presence-1", "presence-2")
_Planned = tuple[int, int, i.Input]


class Life:
    """`take` says what happens next, and when. `pace`: how often something happens, in events a week."""

    def __init__(self, seed: int, pace: int) -> None:
        dice = self.dice = random.Random(seed)
        self.firms = [Firm(dice, n) for n in range(1 + (dice.random() < 0.25))]
        self.settings = Settings(
            burst=dice.choice([1, 2, 3, 5]), round_events=dice.choice([7, 40, 200])
        )
        self.planned: list[_Planned] = []
        self.count = 0
        self.now_ns = START_NS
        # About three entries of the log come of one thing that happens.
        self.gap_s = WEEK_S * 3 / pace
        self.trouble = dice.choice([0.003, 0.02, 0.06])
        self.sent: list[tuple[int, e.MessagePosted]] = []
        self.holiday = dice.randrange(7)
        self.seen = 0
        for firm in self.firms:
            for event in firm.opening():
                self._plan(0.0, i.Tell(event))
        self.next_ns = START_NS + SECOND_NS

    @property
    def due_ns(self) -> int:
        """When the next thing happens."""
        return min(self.next_ns, self.planned[0][0]) if self.planned else self.next_ns

    def take(self, engine: Engine) -> list[i.Input]:
        """What happens at `due_ns`."""
        now_ns = self.now_ns = self.due_ns
        if self.planned and self.planned[0][0] <= now_ns:
            return [heappop(self.planned)[2]]
        self.next_ns = now_ns + int(self.dice.expovariate(1 / self.gap_s) * SECOND_NS) + 1
        if self.dice.random() < self.trouble:
            return self._trouble(engine)
        firm = self.dice.choice(self.firms)
        ledger = engine.ledgers[firm.account_id]
        self._attend(firm, engine)
        found = self._happen(firm, ledger, engine.log.end)
        return found or [i.Tell(self._arrival(firm)[0])]

    def observe(self, engine: Engine) -> None:
        """Agents see what they were given, as soon as they are given it."""
        if self.seen == len(engine.assignments):
            return
        self.now_ns = engine.log.now_ns
        for event in engine.assignments[self.seen :]:
            self._react(event)
        self.seen = len(engine.assignments)

    def _plan(self, after_s: float, happening: i.Input) -> None:
        self.count += 1
        at_ns = self.now_ns + int(after_s * SECOND_NS)
        heappush(self.planned, (at_ns, self.count, happening))

    def _react(self, event: e.ConversationAssigned) -> None:
        worker = self._worker(event.agent_id)
        if worker is None or self.dice.random() > (0.95 if worker.is_quick else 0.5):
            return
        after_s = self.dice.choice([0.2, 1.0, 3.0, 30.0])
        self._plan(after_s, i.Tell(_received(worker, self.dice, event.why.state_position + 200)))

    def _worker(self, agent_id: AgentId) -> Worker | None:
        workers = (worker for firm in self.firms for worker in firm.workers)
        return next((worker for worker in workers if worker.agent_id == agent_id), None)

    def _attend(self, firm: Firm, engine: Engine) -> None:
        """Somebody comes to work, goes home, or drops for a moment."""
        second = (self.now_ns - START_NS) // SECOND_NS
        day = second // DAY_S % 7
        connected = engine.attendance.connected
        for worker in firm.workers:
            here = [each for each in worker.devices if each in connected]
            is_on_duty = day != self.holiday and worker.is_on_duty(day, second % DAY_S)
            if is_on_duty and not here:
                self._plan(self.dice.random() * 60, self._connect(worker))
            elif here and not is_on_duty:
                for device_id in here:
                    self._plan(
                        self.dice.random(), i.Disconnect(device_id, self.dice.random() < 0.7)
                    )
            elif here and self.dice.random() < worker.flaps:
                self._flap(worker, here)

    def _flap(self, worker: Worker, here: list[DeviceId]) -> None:
        dice = self.dice
        device_id = dice.choice([each for each in worker.devices if each in here])
        match dice.randrange(4):
            case 0:
                self._plan(0.1, self._connect(worker))
            case 1:
                self._plan(0.1, i.Use(device_id))
            case 2:
                word = dice.choice(_WORDS)
                self._plan(0.1, i.Wish(worker.account_id, worker.agent_id, word))
                if word != "online":
                    back = i.Wish(worker.account_id, worker.agent_id, "online")
                    self._plan(dice.choice([30, 1800]), back)
            case _:
                self._plan(0.1, i.Disconnect(device_id, dice.random() < 0.5))
                away_s = dice.choice([1.0, 12.0, 29.0, 31.0, 44.0, 46.0, 200.0])
                self._plan(away_s, self._connect(worker, device_id))

    def _connect(self, worker: Worker, device_id: DeviceId | None = None) -> i.Connect:
        chosen = device_id or self.dice.choice(worker.devices)
        gateway = self.dice.choice(["gateway-1", "gateway-2"])
        return i.Connect(worker.account_id, worker.agent_id, chosen, gateway)

    def _trouble(self, engine: Engine) -> list[i.Input]:
        dice = self.dice
        process = dice.choice(_PROCESSES)
        later_s = dice.choice([0.3, 2.0, 20.0, 90.0, 4000.0])
        gateway = dice.choice(["gateway-1", "gateway-2"])
        # Reading a long log again from its beginning is rare in life, and slow here.
        start: i.Start = "zero" if dice.random() < 300 / (engine.log.end + 1) else "snapshot"
        match dice.randrange(9):
            case 0 | 1:
                return [i.Kill(process, start)]
            case 2:
                return [i.Save(process)]
            case 3:
                self._plan(later_s, i.Resume(process))
                return [i.Stall(process)]
            case 4 | 5 | 6:
                outcome = dice.choice(_OUTCOMES)
                return [i.Hold(process, dice.randint(1, 6), outcome)]
            case 7:
                self._plan(later_s, i.ResumeStore())
                return [i.PauseStore(dice.random() < 0.5)]
            case _:
                self._plan(min(later_s, 600.0), i.ReturnGateway(gateway))
                return [i.FailGateway(gateway)]

    def _happen(self, firm: Firm, ledger: Ledger, end: int) -> list[i.Input]:
        dice = self.dice
        if not ledger.talks or dice.random() < 0.22:
            return [i.Tell(event) for event in self._arrival(firm)]
        if dice.random() < 0.025:
            return [i.Tell(firm.change())]
        present = [w for w in firm.workers if ledger.person(w.agent_id).devices]
        if present and dice.random() < 0.75:
            worker = dice.choice(present)
            done = self._work(worker, ledger, end)
            if done is not None:
                return [i.Tell(done)]
        talk = self._some_talk(ledger)
        return [i.Tell(self._visit(firm, ledger, talk))]

    def _work(self, worker: Worker, ledger: Ledger, end: int) -> e.Event | None:
        dice = self.dice
        owned = sorted(ledger.person(worker.agent_id).owned)
        talk = ledger.talks[dice.choice(owned)] if owned else self._some_talk(ledger)
        seen = end if dice.random() < 0.85 else dice.randint(max(0, end - 40), end)
        actions: list[tuple[float, Callable[[], e.Event]]] = [
            (4, lambda: _received(worker, dice, seen)),
            (6, lambda: self._answer(worker, talk, seen)),
            (6, lambda: _set_status(worker, talk, "resolved", seen)),
            (1.2, lambda: self._snooze(worker, talk, seen)),
            (0.3, lambda: _set_status(worker, talk, "open", seen)),
            (0.5, lambda: _claim(worker, self._some_talk(ledger))),
            (0.5, lambda: self._hand_over(worker, talk, ledger)),
        ]
        if not owned:
            actions = [actions[0], *actions[5:]]
        chosen = dice.choices(actions, [weight for weight, _ in actions])[0]
        return chosen[1]()

    def _some_talk(self, ledger: Ledger) -> Talk:
        known = list(ledger.talks)
        recent = known[-60:] if self.dice.random() < 0.8 else known
        return ledger.talks[self.dice.choice(recent)]

    def _arrival(self, firm: Firm) -> list[e.Event]:
        dice = self.dice
        self.count += 1
        number = self.count if dice.random() < 0.7 else dice.randint(1, self.count)
        visitor = Author(kind="visitor", id=identifier(0xC0, number))
        started = e.ConversationStarted(
            account_id=firm.account_id,
            conversation_id=ConversationId(identifier(0xE, self.count)),
            inbox_id=dice.choice(firm.inboxes),
            contact_id=ContactId(visitor.id),
            by=visitor,
            language=dice.choice(["", "", "zh", "de", "xx"]),
            priority=dice.choice(_PRIORITIES),
        )
        if dice.random() < 0.03:
            return [started, started]
        return [started, self._post(started.account_id, started.conversation_id, visitor)]

    def _visit(self, firm: Firm, ledger: Ledger, talk: Talk) -> e.Event:
        dice = self.dice
        visitor = Author(kind="visitor", id=talk.contact_id)
        match dice.randrange(12):
            case 0 | 1:
                fresh = [m for at_ns, m in self.sent[-30:] if self.now_ns - at_ns < _REPEAT_NS]
                if fresh:
                    return dice.choice(fresh)
            case 2:
                return e.PriorityChanged(
                    account_id=firm.account_id,
                    conversation_id=talk.id,
                    by=visitor,
                    priority=dice.choice(_PRIORITIES),
                )
            case 3:
                return e.LabelsChanged(
                    account_id=firm.account_id,
                    conversation_id=talk.id,
                    by=visitor,
                    added=(dice.choice(["a", "b"]),),
                    removed=(dice.choice(["a", "b"]),),
                )
            case 4 if ledger.teams:
                return e.AssignmentRequested(
                    account_id=firm.account_id,
                    conversation_id=talk.id,
                    by=Author(kind="integration", id="rule"),
                    team_id=dice.choice([*ledger.teams, firm.teams[-1], None]),
                )
            case _:
                pass
        return self._post(firm.account_id, talk.id, visitor)

    def _post(self, account_id: str, conversation_id: str, author: Author) -> e.MessagePosted:
        self.count += 1
        posted = e.MessagePosted(
            account_id=account_id,  # type: ignore[arg-type]
            conversation_id=conversation_id,  # type: ignore[arg-type]
            message_id=MessageId(identifier(0x3E5, self.count)),
            author=author,
            content_type="text",
            body=b"",
            fingerprint=b"f",
        )
        self.sent.append((self.now_ns, posted))
        return posted

    def _answer(self, worker: Worker, talk: Talk, seen: int) -> e.Event:
        self.count += 1
        return e.MessagePosted(
            account_id=worker.account_id,
            conversation_id=talk.id,
            message_id=MessageId(identifier(0x3E5, self.count)),
            author=Author(kind="agent", id=worker.agent_id),
            content_type="text",
            body=b"",
            fingerprint=b"f",
            seen_up_to=seen,
            automatic=self.dice.random() < 0.05,
        )

    def _snooze(self, worker: Worker, talk: Talk, seen: int) -> e.Event:
        until_s = self.dice.choice([0, 60, 4000])
        return e.StatusChanged(
            account_id=worker.account_id,
            conversation_id=talk.id,
            by=Author(kind="agent", id=worker.agent_id),
            status="snoozed",
            seen_up_to=seen,
            until_ns=self.now_ns + until_s * SECOND_NS if until_s else 0,
        )

    def _hand_over(self, worker: Worker, talk: Talk, ledger: Ledger) -> e.Event:
        dice = self.dice
        agents = [*ledger.agents, AgentId(identifier(0xA, 99_999))]
        return e.AssignmentRequested(
            account_id=worker.account_id,
            conversation_id=talk.id,
            by=Author(kind="agent", id=worker.agent_id),
            agent_id=dice.choice([None, *agents]),
            team_id=dice.choice([None, *ledger.teams]),
        )


def _received(worker: Worker, dice: random.Random, up_to: int) -> e.Event:
    return e.Received(
        account_id=worker.account_id,
        recipient=Author(kind="agent", id=worker.agent_id),
        device_id=dice.choice(worker.devices),
        up_to=up_to,
    )


def _set_status(worker: Worker, talk: Talk, status: str, seen: int) -> e.Event:
    return e.StatusChanged(
        account_id=worker.account_id,
        conversation_id=talk.id,
        by=Author(kind="agent", id=worker.agent_id),
        status=status,  # type: ignore[arg-type]
        seen_up_to=seen,
    )


def _claim(worker: Worker, talk: Talk) -> e.Event:
    return e.ClaimRequested(
        account_id=worker.account_id, conversation_id=talk.id, agent_id=worker.agent_id
    )
