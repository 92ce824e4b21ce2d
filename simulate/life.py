"""What people, machines and misfortune do in a week, drawn from one seed. It looks at the ledger, so that people act
on what they have: agents acknowledge, answer and resolve, visitors come back, processes die at the worst moment."""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush

import msgspec

from services.dispatcher.decide import Settings
from shared import events as e
from shared.events import Author
from shared.events.conversation import Priority
from shared.events.presence import Availability
from shared.ids import AccountId, AgentId, ConversationId, DeviceId, MessageId
from simulate import inputs as i
from simulate import pages
from simulate.engine import Engine
from simulate.ledger import SECOND_NS, Ledger
from simulate.people import DAY_S, Firm, Worker, identifier
from simulate.talks import Talk
from simulate.visitors import Door, Visitors

_STARTS_S = (
    1_799_971_200,  # 15 January 2027
    1_792_713_600,  # 23 October 2026: summer time ends in Europe on Sunday
    1_805_414_400,  # 19 March 2027: it begins there nine days later
    1_804_809_600,  # 12 March 2027: it begins in America on Sunday
    1_806_624_000,  # 2 April 2027: on Lord Howe Island the clocks go back by half an hour
)
"""Midnights in UTC from which weeks begin: some in which the clocks change."""
WEEK_S = 7 * DAY_S
_WORDS: list[Availability] = ["online", "online", "busy", "away"]
_OUTCOMES: list[i.Outcome] = ["stored", "stored", "unheard", "dropped"]
_PRIORITIES: list[Priority] = ["urgent", "high", "normal", "normal", "normal", "low"]
_REPEAT_NS = 50 * 60 * SECOND_NS
_MOST_REFOLDED = 2_500
"""Events up to which the store is built again in the middle of a week."""
_PROCESSES = ("dispatcher-1", "dispatcher-2", "presence-1", "presence-2")
_STRIKES = 0.06
"""How often something goes wrong right after an assignment."""
_TOGETHER = 3
"""Every so many receipts are said together with those of other devices."""
_MANY = 50
"""Waiting conversations from which on fewer people write."""
_Action = tuple[float, Callable[[], e.Event]]
_Planned = tuple[int, int, i.Input]


class Life:
    """`take` says what happens next, and when. `pace`: how often something happens, in events a week."""

    def __init__(self, seed: int, pace: int) -> None:
        dice = self.dice = random.Random(seed)
        self.firms = [Firm(dice, n) for n in range(1 + (dice.random() < 0.25))]
        self.settings = Settings(
            burst=dice.choice([1, 2, 3, 5]),
            round_events=dice.choice([2, 3, 7, 40, 200]),
            # Dice of its own: the others fall as they fell before there were shares.
            placed_at_once=random.Random(f"shares {seed}").choice([0, 1, 4]),
        )
        self.planned: list[_Planned] = []
        self.count = 0
        self.start_ns = self.now_ns = dice.choice(_STARTS_S) * SECOND_NS
        # About three entries of the log come of one thing that happens.
        self.gap_s = WEEK_S * 3 / pace
        self.slowness = dice.choice([0.0, 0.02, 0.2])
        self.trouble = dice.choice([0.003, 0.02, 0.06])
        self.sent: list[tuple[int, e.MessagePosted]] = []
        self.visitors = Visitors(dice, self.firms)
        self.bad_inputs = 0
        self.holiday = dice.randrange(7)
        self.seen = 0
        for firm in self.firms:
            for event in firm.opening():
                self._plan(0.0, i.Tell(event))
        self.next_ns = self.start_ns + SECOND_NS

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
        return [*self._bad_hour(), *self._slow_log(), *self._happening(engine)]

    def _happening(self, engine: Engine) -> list[i.Input]:
        firm = self.dice.choice(self.firms)
        ledger = engine.ledgers[firm.account_id]
        self._attend(firm, engine)
        return [i.Tell(event) for event in self._happen(firm, ledger, engine)]

    def observe(self, engine: Engine) -> None:
        """Agents see what they were given, as soon as they are given it."""
        if self.seen == len(engine.assignments):
            return
        self.now_ns = engine.log.now_ns
        for position, event in engine.assignments[self.seen :]:
            self._react(position, event)
        self.seen = len(engine.assignments)

    def _plan(self, after_s: float, happening: i.Input) -> None:
        self.count += 1
        at_ns = self.now_ns + int(after_s * SECOND_NS)
        heappush(self.planned, (at_ns, self.count, happening))

    def _react(self, position: int, event: e.ConversationAssigned) -> None:
        worker = self._worker(event.agent_id)
        if self.dice.random() < _STRIKES:
            self._strike()
        if worker is None or self.dice.random() > (0.95 if worker.is_quick else 0.5):
            return
        after_s = self.dice.choice([0.2, 1.0, 3.0, 30.0])
        self._plan(after_s, i.Tell(_received(worker, self.dice, position)))

    def _strike(self) -> None:
        """The worst moment: somebody was just given something, and the dispatcher sleeps or the store stands still."""
        begins_s, lasts_s = self.dice.choice([0.5, 4.0]), self.dice.choice([2.0, 50.0, 310.0])
        stops: list[tuple[i.Input, i.Input]] = [
            (i.Stall(name), i.Resume(name)) for name in ("dispatcher-1", "dispatcher-2")
        ]
        stops += [(i.PauseStore(is_silent), i.ResumeStore()) for is_silent in (False, True)]
        stop, go_on = self.dice.choice(stops)
        self._plan(begins_s, stop)
        self._plan(begins_s + lasts_s, go_on)

    def _worker(self, agent_id: AgentId) -> Worker | None:
        workers = (worker for firm in self.firms for worker in firm.workers)
        return next((worker for worker in workers if worker.agent_id == agent_id), None)

    def _attend(self, firm: Firm, engine: Engine) -> None:
        """Somebody comes to work, goes home, or drops for a moment."""
        second = (self.now_ns - self.start_ns) // SECOND_NS
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
        match dice.randrange(11):
            case 0 | 1:
                return [i.Kill(process, start)]
            case 9:
                # Paused with an append on its way, which arrives when a standby may have taken over long since.
                self._plan(later_s, i.Resume(process))
                return [i.Hold(process, 1, "stored"), i.Stall(process)]
            case 10 if engine.log.end < _MOST_REFOLDED:
                return [i.RefoldStore(dice.choice([1, 3, 50, 700]))]
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

    def _bad_hour(self) -> list[i.Input]:
        """Now and then comes a stretch in which before every event a dispatcher and a presence process die."""
        if self.bad_inputs == 0:
            self.bad_inputs = 40 if self.dice.random() < 0.0006 else 0
            return []
        self.bad_inputs -= 1
        dying = _PROCESSES[self.bad_inputs % 2 :: 2]
        return [each for name in dying for each in (i.Save(name), i.Kill(name, "snapshot"))]

    def _slow_log(self) -> list[i.Input]:
        """Something else is stored before the next decision of a process."""
        if self.dice.random() > self.slowness:
            return []
        return [i.Hold(self.dice.choice(_PROCESSES[:2]), self.dice.choice([1, 1, 2]), "stored")]

    def _happen(self, firm: Firm, ledger: Ledger, engine: Engine) -> list[e.Event]:
        dice, end = self.dice, engine.log.end
        waiting = sum(map(len, ledger.lines.values()))
        if not ledger.talks or dice.random() < (0.2 if waiting < _MANY else 0.06):
            return self._arrival(firm, ledger, engine.door)
        if dice.random() < 0.013:
            return [firm.change()]
        present = [w for w in firm.workers if ledger.person(w.agent_id).devices]
        if present and dice.random() < 0.8:
            worker = dice.choice(present)
            done = self._work(worker, ledger, end)
            if done is not None:
                return [done]
        talk = self._some_talk(ledger)
        chance = dice.random()
        if chance < 0.1:
            return self.visitors.merge(firm, talk)
        if chance < 0.16:
            return self.visitors.change(firm, ledger, engine.door, talk)
        return [self._visit(firm, ledger, talk)]

    def _work(self, worker: Worker, ledger: Ledger, end: int) -> e.Event | None:
        dice = self.dice
        owned = sorted(ledger.person(worker.agent_id).owned)
        talk = ledger.talks[dice.choice(owned)] if owned else self._some_talk(ledger)
        seen = end if dice.random() < 0.85 else dice.randint(max(0, end - 40), end)
        mine: list[_Action] = [
            (4, lambda: self._answer(worker, talk, seen)),
            (6, lambda: _set_status(worker, talk, "resolved", seen)),
            (1.2, lambda: self._snooze(worker, talk, seen)),
        ]
        anybody: list[_Action] = [
            (2, lambda: _received(worker, dice, seen)),
            (0.2, lambda: _set_status(worker, talk, "open", seen)),
            (0.5, lambda: _claim(worker, self._some_talk(ledger))),
            (0.5, lambda: self._hand_over(worker, talk, ledger, end)),
            (0.6, lambda: self._answer(worker, self._waiting_talk(ledger), seen)),
            (0.6, lambda: self._answer(worker, self._some_talk(ledger), max(0, seen - 30))),
            (0.6, lambda: _set_status(worker, self._waiting_talk(ledger), "resolved", seen)),
        ]
        actions = [*mine, *anybody] if owned else anybody
        chosen = dice.choices(actions, [weight for weight, _ in actions])[0]
        return chosen[1]()

    def _waiting_talk(self, ledger: Ledger) -> Talk:
        """One that stands in a queue, if there is any."""
        if not ledger.lines:
            return self._some_talk(ledger)
        line = self.dice.choice(list(ledger.lines.values()))
        return ledger.talks[line[0][1]]

    def _some_talk(self, ledger: Ledger) -> Talk:
        known = list(ledger.talks)
        recent = known[-60:] if self.dice.random() < 0.8 else known
        return ledger.talks[self.dice.choice(recent)]

    def _arrival(self, firm: Firm, ledger: Ledger, door: Door) -> list[e.Event]:
        dice = self.dice
        self.count += 1
        contact_id, created = self.visitors.somebody(firm, self.count)
        known = (
            pages.attributes(created[0].profile) if created else ledger.attributes_of(contact_id)
        )
        visitor = Author(kind="visitor", id=contact_id)
        started = e.ConversationStarted(
            account_id=firm.account_id,
            conversation_id=ConversationId(identifier(0xE, self.count)),
            by=visitor,
            channel=dice.choice(["web", "web", "web", "mail"]),
            language=dice.choice(["", "", "zh", "de", "xx"]),
            priority=dice.choice(_PRIORITIES),
            **self.visitors.begin(firm, door, contact_id, known),
        )
        if dice.random() < 0.03:
            return [*created, started, started]
        return [
            *created,
            started,
            self._post(started.account_id, started.conversation_id, visitor),
        ]

    def _visit(self, firm: Firm, ledger: Ledger, talk: Talk) -> e.Event:
        dice = self.dice
        visitor = Author(kind="visitor", id=talk.contact_id)
        match dice.randrange(12):
            case 0 | 1:
                fresh = [m for at_ns, m in self.sent[-30:] if self.now_ns - at_ns < _REPEAT_NS]
                if fresh:
                    return self._again(dice.choice(fresh), firm.account_id, talk)
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
            case 4 if ledger.books.teams:
                return e.AssignmentRequested(
                    account_id=firm.account_id,
                    conversation_id=talk.id,
                    by=Author(kind="integration", id="rule"),
                    team_id=dice.choice([*ledger.books.teams, firm.teams[-1], None]),
                )
            case _:
                pass
        return self._post(firm.account_id, talk.id, visitor)

    def _again(self, posted: e.MessagePosted, account_id: AccountId, talk: Talk) -> e.Event:
        """The same once more, as after an answer that was lost; seldom a broken client's other text under that id."""
        if self.dice.random() > 0.15 or talk.id == posted.conversation_id:
            return posted
        return msgspec.structs.replace(
            posted, account_id=account_id, conversation_id=talk.id, fingerprint=b"other"
        )

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

    def _hand_over(self, worker: Worker, talk: Talk, ledger: Ledger, end: int) -> e.Event:
        dice = self.dice
        agents = [*ledger.books.agents, AgentId(identifier(0xA, 99_999))]
        return e.AssignmentRequested(
            account_id=worker.account_id,
            conversation_id=talk.id,
            by=Author(kind="agent", id=worker.agent_id),
            agent_id=dice.choice([None, *agents]),
            seen_up_to=dice.choice([0, max(1, end - dice.randrange(400))]),
            team_id=dice.choice([None, *ledger.books.teams]),
        )


def _received(worker: Worker, dice: random.Random, up_to: int) -> e.Event:
    recipient = Author(kind="agent", id=worker.agent_id)
    device_id = dice.choice(worker.devices)
    if up_to % _TOGETHER == 0:
        reached = {**dict.fromkeys(worker.devices, up_to // 2), device_id: up_to}
        receipts = [
            e.Receipt(recipient=recipient, device_id=each, up_to=position)
            for each, position in reached.items()
        ]
        return e.ReceivedTogether(account_id=worker.account_id, receipts=tuple(receipts))
    return e.Received(
        account_id=worker.account_id,
        recipient=recipient,
        device_id=device_id,
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
