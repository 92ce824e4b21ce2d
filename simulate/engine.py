"""The desk: clock, log, processes, gateways and store, moved by inputs from one due moment to the next. Everything
in it follows from its inputs, so the same inputs are the same run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from services.dispatcher.decide import Settings
from services.dispatcher.decide.archive import find
from shared.commands import Beats, Connection
from shared.events import (
    ConditionsJudged,
    ConversationAssigned,
    ConversationStarted,
    Event,
    RoutingEvent,
)
from shared.ids import AccountId, ConversationId
from simulate import inputs as i
from simulate.attendance import Attendance
from simulate.broken import require
from simulate.ledger import Ledger
from simulate.log import Entry, Log, family_of
from simulate.minds import Router, Watcher
from simulate.quiet import Watchman, agree_about_answers, agree_with_store
from simulate.restarts import Restarts
from simulate.rules import Moment, Round, arrives, judged_rightly
from simulate.seats import SECOND_NS, Seat
from simulate.store import Store, refolded, rows
from simulate.visitors import Door

BEAT_S = 5
_NOTICED_NS = 3 * SECOND_NS
_MOST_TURNS = 2_000
Minded = tuple[Seat, Router] | tuple[Seat, Watcher]


class Engine:
    """One desk from its first to its last moment."""

    def __init__(self, start_ns: int, settings: Settings) -> None:
        self.settings = settings
        self.start_ns = start_ns
        self.log = Log(start_ns)
        self.ledgers: dict[AccountId, Ledger] = {}
        self.watchmen: dict[AccountId, Watchman] = {}
        self.store = Store(self.log)
        self.attendance = Attendance(self.log)
        self.assignments: list[tuple[int, ConversationAssigned]] = []
        self.door = Door()
        self.log.watch += [self._note, self.attendance.note, self.door.note]
        self.routers = [self._router("dispatcher-1"), self._router("dispatcher-2")]
        self.watchers = [self._watcher("presence-1"), self._watcher("presence-2")]
        self.seats = {seat.name: seat for seat, _ in (*self.routers, *self.watchers)}
        self.restarts = Restarts(self.log, settings)
        self.decisions = 0
        self.steps = 0
        self._beat_ns = start_ns
        self._given_ns: dict[int, int] = {}
        self._stored_touched: dict[AccountId, set[ConversationId]] = {}

    def run_to(self, at_ns: int) -> bool:
        """Let time pass up to the next due moment, at most to `at_ns`. Whether that was reached."""
        wake_ns = self._next_wake_ns()
        if wake_ns is not None and wake_ns < at_ns:
            self.log.now_ns = max(self.log.now_ns, wake_ns)
            self._step()
            return False
        self.log.now_ns = max(self.log.now_ns, at_ns)
        return True

    def apply(self, happening: i.Input) -> None:
        """Something happens now; then everybody does what there is to do."""
        self._beat()
        for seat in self.seats.values():
            if seat.draft is not None:
                seat.draft.waits -= 1
        self._happen(happening)
        self._step()

    def finish(self) -> None:
        """At the end of the week: whoever reads the log from its beginning is where the others are."""
        for seat, router in self.routers:
            if seat.is_settled:
                self.restarts.compare(seat, router, "zero")
        self.store.is_paused = False
        self.store.fold()
        other = refolded(self.log, self.store.position, 997)
        require(rows(other) == rows(self.store.state), "refold", "the store differs when rebuilt")

    def _router(self, name: str) -> tuple[Seat, Router]:
        mind = Router(self.settings)
        return Seat(name, "routing", self.log, mind), mind

    def _watcher(self, name: str) -> tuple[Seat, Watcher]:
        mind = Watcher()
        return Seat(name, "presence", self.log, mind), mind

    def _happen(self, happening: i.Input) -> None:
        match happening:
            case i.Tell(event):
                self.log.append(event, family=family_of(event))
            case i.Connect():
                self._beat_opened(self.attendance.connect(happening))
            case i.Use(device_id):
                self.attendance.use(device_id)
                self._beat(now=True)
            case i.Disconnect(device_id, has_said_goodbye):
                gone = self.attendance.disconnect(device_id)
                if gone is not None and has_said_goodbye:
                    self._hear(Beats(gateway=gone[0], closed=(gone[1],)))
            case i.FailGateway(gateway):
                self.attendance.fail(gateway)
            case i.ReturnGateway(gateway):
                self.attendance.up.add(gateway)
                # After a silence of all gateways everybody has a full new lease.
                self.attendance.note_trouble()
                self._hear(Beats(gateway=gateway))
            case i.Wish(account_id, agent_id, availability):
                for seat, watcher in self.watchers:
                    if seat.is_active and not seat.is_stalled:
                        watcher.heard.wishes[account_id, agent_id] = availability
            case i.PauseStore(is_silent):
                self.store.is_paused, self.store.is_silent = True, is_silent
            case i.ResumeStore():
                self._resume_store()
            case i.RefoldStore(batch):
                other = refolded(self.log, self.store.position, batch)
                is_same = rows(other) == rows(self.store.state)
                require(is_same, "refold", f"the store differs in batches of {batch}")
            case _:
                self._trouble(happening)

    def _resume_store(self) -> None:
        """What was assigned meanwhile reaches its agent only now; a short pause nobody notices."""
        for seat, _ in self.routers:
            seat.wake()
        now_ns = self.log.now_ns
        for entry in self.log.entries[self.store.position :]:
            is_noticed = now_ns - entry.at_ns > _NOTICED_NS
            if isinstance(entry.event, ConversationAssigned) and is_noticed:
                self._given_ns[entry.position] = now_ns - _NOTICED_NS // 2
        self.store.is_paused = self.store.is_silent = False

    def _trouble(self, happening: i.Trouble) -> None:
        seat = self.seats[happening.process]
        match happening:
            case i.Kill(_, start):
                self._kill(seat, start)
            case i.Save():
                seat.save()
            case i.Stall():
                seat.is_stalled = True
            case i.Resume() if not seat.is_stalled:
                # It was killed while it stood still: another one runs in its place, which never slept.
                pass
            case i.Resume():
                seat.is_stalled = False
                seat.is_awake = False
                seat.woke_ns = seat.fair_ns = self.log.now_ns
                if seat.family == "presence":
                    # It wakes late: what it knew is stale, everybody has a full new lease.
                    self.attendance.note_trouble()
            case i.Hold(_, count, outcome):
                seat.hold = (count, outcome)

    def _kill(self, seat: Seat, start: i.Start) -> None:
        draft = seat.draft
        if draft is not None and draft.outcome == "stored":
            # What was on its way when the process died may arrive all the same.
            self.log.append_fenced(
                draft.events, family=seat.family, writer=seat.writer, expected=draft.expected
            )
        seat.is_stalled = False
        before, end = seat.mind.pack(), seat.cursor
        seat.start(start)
        if seat.family == "presence":
            self.attendance.note_trouble()
        self.restarts.check(seat, before, end)

    def _step(self) -> None:
        self.steps += 1
        self._beat()
        for seat in self.seats.values():
            seat.wake()
        is_quiet = False
        for _ in range(_MOST_TURNS):
            self.store.fold()
            self._hint()
            is_quiet = sum(self._turn(seat) for seat in self.seats.values()) == 0
            if is_quiet:
                break
        require(is_quiet, "end", "the decisions never come to an end")
        self._judge_quiet()

    def _turn(self, seat: Seat) -> bool:
        if seat.is_stalled:
            return False
        was_active = seat.is_active
        has_folded = seat.fold()
        if seat.family == "presence" and seat.is_active != was_active:
            self.attendance.note_trouble()
        return seat.step(self._judge) or has_folded

    def _judge(self, seat: Seat, events: Sequence[Event]) -> None:
        self.decisions += len(events)
        if seat.family == "presence":
            self.attendance.judge(events)
            return
        router = next(mind for each, mind in self.routers if each is seat)
        since = router.prepared_at
        crossing = [e for e in self.log.entries[since:] if e.writer != seat.writer] if since else []
        moment = Moment(
            now_ns=self.log.now_ns,
            stored=self.store.position,
            fair_ns=seat.fair_ns,
            given_ns=self._given_ns,
            decided_at=since or self.log.end,
            is_ahead=bool(since),
            is_crossed=bool(crossing),
        )
        for account_id, ledger in self.ledgers.items():
            mine = [each for each in events if getattr(each, "account_id", "") == account_id]
            Round(ledger, self.settings, moment).judge(mine)
        if not since:
            self.restarts.decide_alike(seat, router, events)

    def _judge_quiet(self) -> None:
        for seat, router in self.routers:
            if not (seat.is_active and seat.is_settled):
                continue
            found = router.look(seat)
            for account_id, watchman in self.watchmen.items():
                office = router.world.state.offices.get(account_id)
                touched = watchman.ledger.touched
                self._stored_touched.setdefault(account_id, set()).update(touched)
                if office is not None:
                    known = partial(find, office, account_id)
                    floor = router.world.floor(account_id)
                    watchman.look(self.log.now_ns, found, floor, known)
        if self.store.position == self.log.end:
            for account_id, touched in self._stored_touched.items():
                agree_with_store(self.ledgers[account_id], self.store.state, touched)
            self._stored_touched.clear()
            for ledger in self.ledgers.values():
                agree_about_answers(ledger, self.store.answers)
            self.store.answers.clear()
        watching = [seat for seat, _ in self.watchers if seat.is_active and seat.is_settled]
        if watching:
            # Who has just woken knows of connections only with the next beat of their gateways.
            is_told = any(seat.woke_ns < self._beat_ns for seat in watching)
            self.attendance.judge_quiet(is_told=is_told)

    def _note(self, entry: Entry) -> None:
        event = entry.event
        account_id = getattr(event, "account_id", AccountId(""))
        if not account_id:
            return
        ledger = self.ledgers.get(account_id)
        if ledger is None:
            ledger = self.ledgers[account_id] = Ledger(account_id)
            self.watchmen[account_id] = Watchman(ledger, self.settings)
        if isinstance(event, ConversationAssigned):
            self.assignments.append((entry.position, event))
        if isinstance(event, RoutingEvent):
            arrives(ledger, event)
        ledger.fold(event, entry.position, entry.at_ns)
        if isinstance(event, ConversationStarted | ConditionsJudged):
            judged_rightly(ledger, event)

    def _beat_opened(self, opened: tuple[str, Connection] | None) -> None:
        if opened is not None:
            self._hear(Beats(gateway=opened[0], opened=(opened[1],)))

    def _beat(self, *, now: bool = False) -> None:
        """The last beats before now; those before them changed nothing, since nobody came or went unheard."""
        now_ns = self.log.now_ns
        beat_ns = now_ns if now else now_ns - now_ns % (BEAT_S * SECOND_NS)
        if beat_ns <= self._beat_ns or not self.attendance.up:
            return
        self._beat_ns = beat_ns
        ago_s = (now_ns - beat_ns) / SECOND_NS
        for gateway in sorted(self.attendance.up):
            alive = self.attendance.alive(gateway)
            self._hear(Beats(gateway=gateway, alive=alive), ago_s=ago_s, is_regular=True)

    def _hear(self, beats: Beats, *, ago_s: float = 0.0, is_regular: bool = False) -> None:
        for seat, watcher in self.watchers:
            if seat.is_stalled:
                continue
            if is_regular and seat.is_awake and self.attendance.was_up:
                watcher.heard.beat_s = max(watcher.heard.beat_s, seat.now_s - ago_s - BEAT_S)
            watcher.hear(beats, seat.now_s - ago_s)
        self.attendance.was_up = bool(self.attendance.up)

    def _hint(self) -> None:
        for seat, router in self.routers:
            router.hinted = None if self.store.is_silent else self.store.position
            if not (seat.is_stalled or self.store.is_silent):
                router.watch.hear(self.store.position, seat.now_s)

    def _next_wake_ns(self) -> int | None:
        leases_s = {
            policy.assignment_lease_s
            for ledger in self.ledgers.values()
            for policy in ledger.books.policies.values()
        } | {45}
        looks = (watchman.next_ns() for watchman in self.watchmen.values())
        wakes = [at_ns for at_ns in looks if at_ns is not None]
        for seat, router in self.routers:
            if not seat.is_stalled:
                wakes += router.next_wake_ns(seat, leases_s)
        connected = self.attendance.connected
        for seat, watcher in self.watchers:
            if not seat.is_stalled:
                wakes += watcher.next_wake_ns(seat, connected)
        return min((each for each in wakes if each > self.log.now_ns), default=None)
