"""The simulator keeps its word: clean weeks pass, planted faults are found, and a failing seed can be shown again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from services.dispatcher.decide import affairs, floor, fold, rounds
from services.dispatcher.decide.line import Line
from services.presence import decide as presence
from services.store.fold import messages
from shared import repeats
from simulate.log import Log
from simulate.seats import Seat
from simulate.trace import told
from simulate.week import Outcome, live, replay, shrink

EVENTS = 900
_Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_week_keeps_every_promise(seed: int) -> None:
    """Flaps, restarts, takeovers, repeats, strange policies: no rule is broken in a whole week."""
    outcome = live(seed, 1_500)
    assert (outcome.rule, outcome.text) == ("", "")
    assert outcome.events >= 1_500
    assert outcome.decisions > 300


def test_a_seed_is_a_week() -> None:
    """The same seed gives the same events, decisions and steps; another one gives others."""
    first, again, other = (live(seed, 400) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def _over_capacity(patch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = floor.Floor.standing

    def generous(*args: Any, **names: Any) -> Any:
        found = real(*args, **names)
        is_full = found is not None and found.status == "at_capacity"
        return msgspec.structs.replace(found, status="free") if is_full else found

    patch.setattr(floor.Floor, "standing", generous)


def _youngest_first(patch: pytest.MonkeyPatch) -> None:
    real = Line.at
    patch.setattr(Line, "at", lambda line, place: real(line, len(line) - 1 - place))


def _lease_forgets_receipts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        affairs,
        "lease_due_ns",
        lambda track, _office: track.assigned_ns + 1 if track.conversation.agent_id else None,
    )
    patch.setattr(affairs, "_has_lapsed", _is_past)


def _is_past(sheet: Any, track: Any) -> bool:
    return bool(track.lease_s and track.assigned_ns + track.lease_s * 10**9 <= sheet.moment.now_ns)


def _owner_stays_when_removed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(affairs, "_returns", lambda _sheet, _track: False)


def _claims_always_win(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(affairs, "_refusal", lambda _sheet, _track, _request: None)


def _repeats_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(repeats, "is_repeat", lambda _state, _event, _at_ns: False)


def _store_takes_repeats(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(messages, "_is_first", lambda *_args: True)


def _deadlines_are_not_remembered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fold, "_reminded", lambda _office, _event: fold.UNTOUCHED)


def _no_hysteresis(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(presence, "_is_gone", lambda _device, _moment: True)


def _nobody_leaves(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(presence, "_is_gone", lambda _device, _moment: False)


def _memory_beside_the_state(patch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = fold._received
    heard: list[int] = []

    def forgetful(*args: Any) -> Any:
        heard.append(1)
        return real(*args) if len(heard) % 7 else fold.UNTOUCHED

    patch.setattr(fold, "_received", forgetful)


def _decides_before_the_end(patch: pytest.MonkeyPatch) -> None:
    def most(seat: Seat) -> bool:
        entries = seat.log.entries[seat.cursor : -1] if seat.log.end % 3 else []
        entries = entries or seat.log.entries[seat.cursor :]
        for entry in entries:
            if entry.family == seat.family:
                seat.tail.position, seat.tail.writer = entry.position, entry.writer
            seat.mind.evolve(entry, seat.now_s)
        seat.cursor += len(entries)
        return bool(entries)

    patch.setattr(Seat, "fold", most)


def _reads_the_clock(patch: pytest.MonkeyPatch) -> None:
    real = affairs.decide_about

    def hasty(sheet: Any, track: Any) -> None:
        if time.time() > 0:
            real(sheet, track)

    patch.setattr(rounds, "decide_about", hasty)


def _no_fence(patch: pytest.MonkeyPatch) -> None:
    def store_anyway(log: Log, events: Any, *, family: Any, writer: str, expected: int) -> bool:
        del expected
        for event in events:
            log.append(event, family=family, writer=writer)
        return True

    patch.setattr(Log, "append_fenced", store_anyway)


PLANTED: dict[_Plant, set[str]] = {
    _over_capacity: {"capacity"},
    _youngest_first: {"oldest_first"},
    _lease_forgets_receipts: {"lease"},
    _owner_stays_when_removed: {"limbo", "offline_return", "lease"},
    _claims_always_win: {"two_owners", "candidate"},
    _repeats_count: {"agree"},
    _store_takes_repeats: {"agree", "message_once"},
    _deadlines_are_not_remembered: {"deadline_once"},
    _no_hysteresis: {"flap"},
    _nobody_leaves: {"offline"},
    _memory_beside_the_state: {"restart", "lease", "pace", "idle"},
    _decides_before_the_end: {"log_end"},
    _reads_the_clock: {"clock"},
    _no_fence: {"two_owners", "deadline_once", "wish_once", "fence"},
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(plant: _Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each promise has teeth: a decision that breaks it is caught, and by the rule that names it."""
    plant(monkeypatch)
    outcome = _first_failure()
    assert outcome.rule in PLANTED[plant], outcome.text


def test_a_failing_week_is_cut_to_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trace holds a fraction of the inputs, still breaks the same rule, and names the seed's log lines."""
    _repeats_count(monkeypatch)
    outcome = _first_failure()
    fewer = shrink(outcome, most_tries=30)
    assert len(fewer) < len(outcome.inputs)
    _, broken = replay(outcome.seed, fewer)
    assert broken is not None
    assert broken.rule == outcome.rule
    assert str(broken) in told(outcome, fewer)


def _first_failure() -> Outcome:
    for seed in range(1, 40):
        outcome = live(seed, EVENTS)
        if outcome.rule:
            return outcome
    raise AssertionError("no seed found the planted fault")
