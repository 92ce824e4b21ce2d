"""One run: the site and the people, fault after fault, silence after half of them, the drain, the verdict."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import msgspec

from deploy.dev.errors import StackError
from deploy.dev.run_directory import ROOT
from prove.alerts import YOUNG_S, hear, unheard
from prove.checker import Circumstances, Findings, judge, missing
from prove.crowd import LEASE_S, Crowd
from prove.diary import Said
from prove.evidence import LogEntry, Tables, Unreadable, read_log, read_tables
from prove.folded import fold
from prove.patience import Limits, Patience
from prove.people import Place
from prove.plan import DEAF_DEVICES, Fault
from prove.site import Site

SILENCE_S = 10.0
RECOVER_S = 15.0
# A sender who was refused for long waits up to 20 s before it asks again, and up to 15 s for the answer.
OUTCOME_S = 40.0
_MOST_OUTCOMES = 3
_DRAIN_S = 60.0
_LOOK_S = 0.25
_LONGEST = 3
_TAKEOVER_S = 1.5
_START_S = 20.0
_STOP_S = 8.0
_FROZEN_S = 6.0
_THAW_S = 0.7
_MOST_MB = 400
# A dispatcher may have looked at what the store had said just before it fell silent.
_KNOWN_AFTER_S = 4.0
# The lock moves after 5 s, over a gateway that may have to be asked first; then once more.
ALERT_S = 20.0
_ALERTING = ("gateway", "presence", "nats")
_SETTLED_S = 20.0
_UNSURE_S = 130.0


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`seconds`: how long faults are made; silence and drain come on top of the last one."""

    seed: int = 1
    seconds: float = 600.0
    visitors: int = 12
    agents: int = 3
    silence_s: float = SILENCE_S
    outcome_s: float = OUTCOME_S
    recover_s: float = RECOVER_S
    drain_s: float = _DRAIN_S
    is_verified: bool = True
    is_over_at_first: bool = False
    """Whether one finding is enough."""


class Result(msgspec.Struct, kw_only=True):
    """What a run came to. `unknown`: messages without an outcome when the last fault was over; `unresolved`: those that
    never got one. `longest_pause_s`: how long at most nobody was told "sent" while people wrote. `largest_mb`: the most
    memory that one service held."""

    seed: int
    seconds: float = 0.0
    faults: int = 0
    silences: int = 0
    accepted: int = 0
    refused: int = 0
    log_entries: int = 0
    repeats_in_log: int = 0
    unknown: int = 0
    unresolved: int = 0
    longest_pause_s: float = 0.0
    largest_mb: int = 0
    longest_send_s: float = 0.0
    longest_sends: list[str] = []
    longest_recovery_s: float = 0.0
    deaths: int = 0
    findings: Findings = msgspec.field(default_factory=Findings)
    not_run: list[str] = []


class Campaign:
    """`run` once."""

    def __init__(self, site: Site, settings: Settings, tell: Callable[[str], None]) -> None:
        self._site = site
        self._settings = settings
        self._tell = tell
        self._began = time.monotonic()
        self._log: list[LogEntry] = []
        self._dark: list[tuple[float, float]] = []
        self._troubled: list[tuple[float, float]] = []
        self._unsure_until_s = 0.0
        self._result = Result(seed=settings.seed)
        houses = [Place(gateways=tuple(site.gateways), house=email) for email in site.houses]
        self.crowd = Crowd(
            houses, seed=settings.seed, visitors=settings.visitors, agents=settings.agents
        )

    def run(self, faults: Iterator[Fault]) -> Result:
        """Faults until the time is over, then the verdict."""
        began = self._began
        self.crowd.open()
        try:
            self.crowd.begin()
            # On a busy machine it takes a while until everybody has arrived.
            opened = time.monotonic()
            while time.monotonic() - opened < self._settings.seconds:
                fault = next(faults, None)
                if fault is None or self._is_decided():
                    break
                self._suffer(fault)
            self._finish()
        finally:
            self.crowd.close()
        result = self._result
        result.seconds = round(time.monotonic() - began, 1)
        result.deaths = sum(self._site.deaths.values())
        for text in (*self.crowd.failures(), *self._site.refused):
            result.findings.add("ended", text)
        for text in self._site.tracebacks():
            result.findings.add("fault of ours", text)
        for text in self._site.disclosed():
            result.findings.add("readable", text)
        return result

    def _is_decided(self) -> bool:
        return self._settings.is_over_at_first and self._result.findings.total > 0

    def _suffer(self, fault: Fault) -> None:
        self._tend_for(fault.after_s)
        self._tell(fault.name)
        self._result.faults += 1
        if fault.is_silent and fault.deed not in ("trap", "asleep"):
            self.crowd.silence()
        self._make(fault)
        began_s = time.time()
        if fault.deed == "trap":
            self._spring(fault)
        else:
            self._tend_for(fault.for_s)
        if fault.deed == "asleep":
            self.crowd.silence()
        if fault.deed in ("away", "pause") and "postgres" in fault.victims:
            self._dark.append((began_s + _KNOWN_AFTER_S, time.time()))
        self._end(fault)
        self._note_trouble(fault, began_s)
        self._weigh()
        if fault.is_silent:
            self._result.silences += 1
            if fault.deed == "asleep":
                self._wait_ready(fault.name)
                self._hear(fault.name)
                self.crowd.wake_desks()
                self._until(self.crowd.are_desks_on, _START_S)
            self._listen(fault)
            self.crowd.begin()

    def _note_trouble(self, fault: Fault, began_s: float) -> None:
        """Who is alerted is decided by gateways and presence, and told over the log's servers."""
        now_s = time.time()
        hit = any(name.startswith(_ALERTING) for name in fault.victims)
        if hit or fault.pairs or fault.deed in ("clock", "deaf"):
            self._troubled.append((began_s, now_s + _SETTLED_S))
        if fault.deed in ("clock", "deaf"):
            # A right to alert runs out by the gateway's clock; and a device that never reads may hold the lock.
            self._unsure_until_s = now_s + _UNSURE_S

    def _weigh(self) -> None:
        """A service that grows and grows has no limit to what it keeps."""
        for name, size_mb in self._site.sizes_mb().items():
            self._result.largest_mb = max(self._result.largest_mb, size_mb)
            if size_mb > _MOST_MB:
                self._result.findings.add("grew", f"{name} holds {size_mb} MB")

    def _make(self, fault: Fault) -> None:
        match fault.deed:
            case "kill":
                self._each(fault, self._site.kill)
            case "pause":
                self._each(fault, self._site.pause)
            case "choke":
                self._site.pause(fault.victims[0])
            case "away":
                self._each(fault, self._site.take_away)
            case "power":
                self._site.cut_power(fault.victims)
            case "trap":
                self._set_traps(fault)
            case "part":
                for one, other in fault.pairs:
                    self._site.network.part(one, other)
            case "fill":
                self._each(fault, self._site.fill_disk)
            case "clock":
                self._each(fault, lambda name: self._site.jump(name, fault.by_s))
            case "deaf":
                self.crowd.deafen(DEAF_DEVICES)
            case "asleep":
                self.crowd.leave_desks()

    def _end(self, fault: Fault) -> None:
        match fault.deed:
            case "choke":
                self._each(fault, self._site.kill)
            case "part":
                self._site.network.heal()
            case "fill":
                self._each(fault, self._site.free_disk)
            case "clock":
                self._each(fault, lambda name: self._site.jump(name, 0))
            case "deaf":
                self.crowd.undeafen()
        self._each(fault, self._site.bring_back)

    def _each(self, fault: Fault, do: Callable[[str], None]) -> None:
        for name in fault.victims:
            do(name)

    def _set_traps(self, fault: Fault) -> None:
        for name, trap in fault.traps.items():
            self._site.set_trap(name, trap)
        self._until(lambda: not self._site.starting(fault.traps), _START_S)
        others = [name for name in fault.victims if name not in fault.traps]
        if others:
            # Whoever has the trap shall be the one that leads.
            self._tend_for(_TAKEOVER_S)
        for name in others:
            self._site.kill(name)

    def _spring(self, fault: Fault) -> None:
        """People write until all have died or frozen at their point, then nobody says anything more. Whoever did not come
        there is told to stop, as there are points that only an orderly end comes by."""
        self._tend_until_sprung(fault.for_s)
        if self._site.armed and not self._site.frozen:
            self._site.ask_to_stop()
            self._tend_until_sprung(_STOP_S)
        if self._site.frozen:
            self._tend_for(_FROZEN_S)
        self.crowd.silence()
        for name in sorted(self._site.frozen):
            # One after the other: whoever froze first is the stale one, and the other still stands still then.
            self._site.thaw(name)
            self._tend_for(_THAW_S)
        self._site.disarm()

    def _tend_until_sprung(self, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while self._site.armed and time.monotonic() < end:
            self._tend_for(0.02)

    def _listen(self, fault: Fault) -> None:
        """In silence everything accepted must reach the screens that are on, by itself."""
        began = time.monotonic()
        self._wait_ready(fault.name)
        self._until(lambda: not self.crowd.diary.unknown(), self._settings.outcome_s)
        left = self._stuck()
        took_s = time.monotonic() - began
        self._result.longest_recovery_s = max(self._result.longest_recovery_s, round(took_s, 1))
        for text in left:
            self._result.findings.add("stuck in silence", f"after {fault.name}: {text}")
        self._hear(fault.name)
        self._tend_for(self._settings.silence_s - took_s)

    def _stuck(self) -> list[str]:
        """What does not show though nothing moves any more."""
        settings = self._settings
        limits = Limits(
            still_s=settings.recover_s,
            connecting_s=settings.outcome_s,
            most_s=_MOST_OUTCOMES * settings.outcome_s,
        )
        patience = Patience(limits, now_s=time.monotonic())
        while left := self._left():
            on, is_connecting = self.crowd.connections()
            seen = (left, on)
            if patience.is_over(seen, is_connecting=is_connecting, now_s=time.monotonic()):
                break
            self._tend_for(_LOOK_S)
        return left

    def _hear(self, after: str) -> None:
        """Of what came lately, somebody must have been alerted."""
        since_s = time.time() - YOUNG_S
        if time.time() < self._unsure_until_s:
            return
        self._until(lambda: not self._unheard(since_s), ALERT_S)
        for text in self._unheard(since_s):
            self._result.findings.add("not alerted", f"after {after}: {text}")

    def _unheard(self, since_s: float) -> list[str]:
        try:
            self._read_log()
        except Unreadable as err:
            return [str(err)]
        return unheard(self.crowd.diary, hear(self._log), since_s=since_s)

    def _wait_ready(self, after: str) -> None:
        """A service that is not ready long after everything is back is a finding, and the run goes on."""
        try:
            self._site.wait_ready()
        except StackError as err:
            self._result.findings.add("not ready", f"after {after}: {err.cause}")

    def _left(self) -> list[str]:
        """What does not show yet on devices that are on, or has no outcome yet."""
        diary = self.crowd.diary
        unknown = [f"no outcome of {said.message_id}" for said in diary.unknown()]
        if unknown:
            return unknown
        try:
            self._read_log()
        except Unreadable as err:
            return [str(err)]
        on = [screen for screen in list(diary.screens) if screen.is_open]
        return missing(diary, fold(self._log), on)

    def _finish(self) -> None:
        """Silence, every device on, everything read; then judge."""
        self._tell("drain")
        self.crowd.silence()
        self._result.unknown = len(self.crowd.diary.unknown())
        self._wait_ready("everything")
        self.crowd.come_back()
        self.crowd.add_fresh_devices()
        self._until(lambda: not self._left(), self._settings.drain_s)
        self._hear("everything")
        # From the beginning: what was read before a fault need not be there any more.
        self._log.clear()
        tables = self._drained_tables()
        self._tell("verdict")
        diary = self.crowd.diary
        result = self._result
        circumstances = Circumstances(
            dark=tuple(self._dark),
            lease_s=LEASE_S,
            troubled=tuple(self._troubled),
            is_prompt=self._site.broker.replicas == 1 and not self._site.sprung,
        )
        found = judge(diary, self._log, tables, circumstances)
        for promise, texts in result.findings.broken.items():
            found.broken.setdefault(promise, [])[:0] = texts
        result.findings = found
        if self._settings.is_verified:
            self._verify()
        self._count()

    def _count(self) -> None:
        diary, result = self.crowd.diary, self._result
        accepted = diary.accepted()
        result.accepted = len(accepted)
        result.refused = sum(bool(said.refused) for said in diary.said.values())
        result.unresolved = len(diary.unknown())
        result.longest_pause_s = round(self.crowd.longest_pause_s(), 1)
        result.log_entries = len(self._log)
        messages = fold(self._log).messages
        result.repeats_in_log = sum(len(x) - 1 for x in messages.values())
        accepted.sort(key=lambda said: said.began_s - said.told_s)
        result.longest_send_s = round(max((s.told_s - s.began_s for s in accepted), default=0.0), 1)
        result.longest_sends = [self._told_when(said) for said in accepted[:_LONGEST]]

    def _told_when(self, said: Said) -> str:
        by = "visitor" if said.sender in self.crowd.diary.contacts.values() else "agent"
        began, took = said.began_s - self._began, said.told_s - said.began_s
        return f"{took:.1f} s from {began:.1f} s by the {by}, message {said.number}"

    def _drained_tables(self) -> Tables:
        """The tables as soon as they stand at the log's end, or as they are when that does not come."""
        tables: Tables | None = None

        def is_drained() -> bool:
            nonlocal tables
            try:
                self._read_log()
                tables = read_tables(self._site.postgres.url(superuser=True))
            except Unreadable:
                return False
            return bool(self._log) and tables.checkpoint == self._log[-1].position

        self._until(is_drained, RECOVER_S)
        if tables is None:
            raise Unreadable("log or tables")
        return tables

    def _read_log(self) -> None:
        after = self._log[-1].position if self._log else 0
        self._log += asyncio.run(read_log(self._site.broker.url, after=after))

    def _verify(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "cli", "verify"],
            env=self._site.stack.environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode != 0:
            last = (done.stdout + done.stderr).strip().splitlines()[-8:]
            self._result.findings.add("tables differ", "nightdesk verify: " + " | ".join(last))

    def _until(self, is_done: Callable[[], bool], timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while not is_done() and time.monotonic() < end:
            self._tend_for(_LOOK_S)

    def _tend_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            self._site.tend()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(0.05, left))
