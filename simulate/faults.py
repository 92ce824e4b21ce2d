"""Faults that the simulator must find: each breaks one promise on purpose, in the product or (for what guards it) in
the desk itself. Together they break every rule that is judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

import msgspec

from services.dispatcher import evidence
from services.dispatcher.decide import affairs, assignment, demand, due, floor, fold, rounds, sheet
from services.dispatcher.decide.demand import Supply
from services.dispatcher.decide.line import Line
from services.dispatcher.decide.pool import RANKS, Roster
from services.dispatcher.decide.state import Office
from services.gateway.alerts import Alerts
from services.gateway.primaries import Primaries
from services.gateway.unheard import Unheard
from services.presence import decide as presence
from services.presence import heard, lock
from services.store.fold import State as Tables
from services.store.fold import inbox, messages
from shared import repeats
from shared.events import ConversationQueued, PrimaryDeviceChanged
from shared.policy import conditions, hours
from simulate.log import Log
from simulate.seats import Seat
from simulate.week import Outcome, evenings, live

_OF_EVENINGS = frozenset({"one_alert", "answered_alert", "alerted"})
_MOST_EVENINGS = 300
_Patch = AbstractContextManager[object]
_never: Callable[..., None] = lambda *_args, **_names: None  # noqa: E731 - one of many, and it has a name
_no: Callable[..., bool] = lambda *_args, **_names: False  # noqa: E731
_yes: Callable[..., bool] = lambda *_args, **_names: True  # noqa: E731


class Fault(msgspec.Struct, frozen=True):
    """`rules`: those that may name it. `week`: the first week (or evening) to be tried, so that what is rare is found soon."""

    patch: Callable[[], _Patch]
    rules: frozenset[str]
    week: int = 1


def _put(owner: Any, name: str, instead: Any) -> Callable[[], _Patch]:
    return lambda: mock.patch.object(owner, name, instead)


def _around(owner: Any, name: str, change: Callable[..., Any]) -> Callable[[], _Patch]:
    """`change` gets the real function first."""
    real = getattr(owner, name)
    return _put(owner, name, lambda *args, **names: change(real, *args, **names))


def _is_free(status: str) -> Callable[..., Any]:
    def generous(real: Callable[..., Any], *args: Any, **names: Any) -> Any:
        found = real(*args, **names)
        is_so = found is not None and found.status == status
        return msgspec.structs.replace(found, status="free") if is_so else found

    return generous


def _without_receipts(track: Any, _office: Any) -> int | None:
    has_lease = track.conversation.agent_id and track.lease_s
    return track.assigned_ns + track.lease_s * 10**9 if has_lease else None


def _is_past(sheet: Any, track: Any) -> bool:
    return bool(track.lease_s and track.assigned_ns + track.lease_s * 10**9 <= sheet.moment.now_ns)


def _every_seventh(real: Callable[..., Any]) -> Callable[..., Any]:
    heard: list[int] = []

    def forgetful(*args: Any) -> Any:
        heard.append(1)
        return real(*args) if len(heard) % 7 else fold.UNTOUCHED

    return forgetful


def _fold_most(seat: Seat) -> bool:
    entries = seat.log.entries[seat.cursor : -1] if seat.log.end % 3 else []
    entries = entries or seat.log.entries[seat.cursor :]
    for entry in entries:
        if entry.family == seat.family:
            seat.tail.position, seat.tail.writer = entry.position, entry.writer
        seat.mind.evolve(entry, seat.now_s)
    seat.cursor += len(entries)
    return bool(entries)


def _hastily(real: Callable[..., None], *args: Any) -> None:
    if time.time() > 0:
        real(*args)


def _store_anyway(log: Log, events: Any, *, family: Any, writer: str, expected: int) -> bool:
    del expected
    for event in events:
        log.append(event, family=family, writer=writer)
    return True


def _lie(real: Callable[..., Any], *args: Any, **names: Any) -> Any:
    told = real(*args, **names)
    return msgspec.structs.replace(told, runners_up=told.runners_up[1:], excluded={})


def _by_clock(_policy: Any, began_ns: int, seconds: int) -> int:
    return began_ns + seconds * 10**9


@contextmanager
def _with_other_spans(inner: Callable[[], _Patch]) -> Iterator[None]:
    """What was worked out before must not hide the fault, nor the fault outlive its time."""
    hours._calendar.cache_clear()  # noqa: SLF001
    try:
        with inner():
            yield
    finally:
        hours._calendar.cache_clear()  # noqa: SLF001


def _no_summer_time(real: Callable[..., Any], day: Any, zone: Any) -> Any:
    """As if the zone were always where it is in January."""
    return real(day.replace(month=1, day=day.day % 28 + 1), zone)


def _always_in_time(
    real: Callable[..., Any], book: Any, agent_id: Any, up_to: int, **names: Any
) -> Any:
    return real(book, agent_id, up_to, **{**names, "alerted": up_to})


def _only_bad_news(real: Callable[..., None], known: Any, beats: Any, now_s: float) -> None:
    waiting = tuple(msgspec.structs.replace(each, heard=0) for each in beats.waiting if each.newest)
    real(known, msgspec.structs.replace(beats, waiting=waiting), now_s)


def _fits_whatever_is_met(rule: Any, track: Any) -> bool:
    return (
        rule.language in ("", track.conversation.language)
        and rule.channel in ("", track.conversation.channel)
        and (not rule.label or rule.label in track.conversation.labels)
    )


def _on_the_whole_page(pattern: str, page: str) -> bool:
    return conditions._fits(pattern, page.partition("://")[2])  # noqa: SLF001


def _numbered_by_batch(real: Callable[..., None], *args: Any) -> None:
    real(*args)
    _, changes, folded, *_ = args
    folded.last_seq += len(changes.messages) > 1


def _worst(real: Callable[..., list[Any]], *args: Any) -> list[Any]:
    return real(*args)[::-1]


def _entry_unchained(real: Callable[..., None], step: Any, *args: Any, **names: Any) -> None:
    real(step, *args, **names)
    if step.record.position % 5 == 0 and step.changes.entries:
        account_id, entry = step.changes.entries[-1]
        step.changes.entries[-1] = (account_id, msgspec.structs.replace(entry, prev=0))


def first_found(fault: Fault, events: int = 900, most_weeks: int = 60) -> Outcome | None:
    """The first week, or evening for what only evenings judge, that breaks with this fault planted; None if none does."""
    with fault.patch():
        if fault.rules <= _OF_EVENINGS:
            return evenings(0, _MOST_EVENINGS, after=fault.week - 1)
        weeks = (live(seed, events) for seed in range(fault.week, fault.week + most_weeks))
        return next((outcome for outcome in weeks if outcome.rule), None)


def _to_a_stranger(sheet: Any, track: Any) -> bool:
    is_due = track.answerer is not None and track.conversation.agent_id is None
    agents = sheet.floor.account.agents.keys() - {track.answerer}
    if not is_due or not agents or track.conversation.phase != "active":
        return False
    sheet.assign(track, min(agents), trigger="answered", has_lease=False)
    return True


def _at_the_end_of_the_line(
    real: Callable[..., None], sheet: Any, track: Any, *events: Any
) -> None:
    late = sheet.moment.position
    real(
        sheet,
        track,
        *(
            msgspec.structs.replace(each, waiting_since=late)
            if isinstance(each, ConversationQueued) and each.waiting_since
            else each
            for each in events
        ),
    )


def _half_deaf(real: Callable[..., None], heard: Any, beats: Any, *args: Any, **names: Any) -> None:
    changes = {
        name: tuple(each for each in getattr(beats, name) if each.device_id[-1] in "02468")
        for name in ("opened", "alive")
    }
    real(heard, msgspec.structs.replace(beats, **changes), *args, **names)


def _refused_by_the_store(real: Callable[..., None], *args: Any) -> None:
    _, changes, record, _ = args
    if record.position % 11 == 0:
        changes.quarantined.append((record, "planted"))
        return
    real(*args)


def _ever_moving(agent: Any, key: Any, _online: Any, moment: Any) -> list[Any]:
    return [
        PrimaryDeviceChanged(
            account_id=key[0],
            writer=moment.terms.writer,
            agent_id=key[1],
            device_id=agent.primary,
            fence=agent.fence + 1,
        )
    ]


def _found(*rules: str) -> frozenset[str]:
    return frozenset(rules)


FAULTS: dict[str, Fault] = {
    "over_capacity": Fault(
        _around(floor.Floor, "standing", _is_free("at_capacity")), _found("capacity", "explained")
    ),
    "over_channel_capacity": Fault(
        _put(floor, "_full", lambda *_: frozenset()), _found("capacity")
    ),
    "buried": Fault(
        _around(floor.Floor, "standing", _is_free("pace")), _found("pace", "explained")
    ),
    "absent_agent": Fault(
        _around(floor.Floor, "standing", _is_free("offline")), _found("candidate")
    ),
    "manual_handed_out": Fault(
        _put(Roster, "status", lambda _, standing: standing.status), _found("manual", "capacity")
    ),
    "not_kept": Fault(_put(sheet.Sheet, "is_kept", _no), _found("kept"), week=40),
    "asked_again": Fault(_put(sheet.Sheet, "barred", _never), _found("barred")),
    "worst_agent": Fault(_around(assignment, "_ranked", _worst), _found("best_agent")),
    "wrong_reasons": Fault(_around(sheet.Sheet, "_explain", _lie), _found("explained")),
    "youngest_first": Fault(
        _around(Line, "at", lambda real, line, place: real(line, len(line) - 1 - place)),
        _found("oldest_first"),
    ),
    "passed_by_the_younger": Fault(
        _put(sheet.Sheet, "keep_place", _never), _found("oldest_first"), week=80
    ),
    "no_ageing": Fault(
        _put(floor.Floor, "_rank", lambda _, track, _now: (RANKS[track.conversation.priority], 0)),
        _found("oldest_first"),
        week=16,
    ),
    "merges_forgotten": Fault(
        _put(Office, "contact_of", lambda _, track: track.conversation.contact_id),
        _found("best_agent", "kept", "idle"),
        week=129,
    ),
    "lease_without_receipts": Fault(
        lambda: mock.patch.multiple(affairs, lease_due_ns=_without_receipts, _has_lapsed=_is_past),
        _found("lease"),
    ),
    "lease_while_asleep": Fault(_put(evidence.Watch, "renew", _never), _found("lease")),
    "stays_with_nobody": Fault(
        _put(affairs, "_returns", _no), _found("agent_removed", "offline_return", "lease")
    ),
    "claims_win": Fault(_put(affairs, "_refusal", _never), _found("two_owners", "candidate")),
    "answer_to_a_stranger": Fault(
        _put(affairs, "_gives_to_answerer", _to_a_stranger), _found("answered")
    ),
    "place_lost": Fault(_around(sheet.Sheet, "add", _at_the_end_of_the_line), _found("old_place")),
    "no_reason_to_queue": Fault(
        _around(
            sheet.Sheet,
            "queue",
            lambda real, *args, **names: real(*args, **{**names, "trigger": "queue"}),
        ),
        _found("trigger"),
    ),
    "wishes_refused": Fault(
        _put(affairs, "_refusal", lambda *_: "not_allowed"), _found("wish_refused")
    ),
    "wishes_lost": Fault(
        _around(
            affairs,
            "_answer",
            lambda real, sheet, track, wish: (
                real(sheet, track, wish) if wish.position % 3 else None
            ),
        ),
        _found("wish_once"),
    ),
    "repeats_count": Fault(_put(repeats, "is_repeat", _no), _found("agree")),
    "store_takes_repeats": Fault(
        _put(messages, "_is_first", _yes), _found("agree", "message_once")
    ),
    "deadlines_forgotten": Fault(
        _put(fold, "_reminded", lambda *_: fold.UNTOUCHED), _found("deadline_once")
    ),
    "no_business_time": Fault(
        _put(due, "counted_ns", _by_clock), _found("deadline", "next_action")
    ),
    "night_work": Fault(_put(Supply, "is_closed", _no), _found("candidate", "explained"), week=17),
    "conditions_ignored": Fault(
        _put(demand, "_fits", _fits_whatever_is_met),
        _found("candidate", "best_agent", "explained", "idle"),
        week=16,
    ),
    "query_counts": Fault(_put(conditions, "_is_on", _on_the_whole_page), _found("conditions")),
    "contact_judged_once": Fault(
        _put(fold, "_judged", lambda *_: fold.UNTOUCHED),
        _found("candidate", "best_agent", "explained", "idle"),
        week=42,
    ),
    "no_summer_time": Fault(
        lambda: _with_other_spans(_around(hours, "_offsets_s", _no_summer_time)),
        _found("deadline", "next_action"),
        week=17,
    ),
    "cases_without_end": Fault(_put(due, "resolution_due_ns", _never), _found("next_action")),
    "never_looks_again": Fault(
        _put(floor, "next_due_ns", lambda *_a, **_n: None),
        _found("next_action", "wish_once", "lease", "agent_removed"),
    ),
    "never_wakes": Fault(_put(affairs, "_wakes", _no), _found("wake")),
    "one_team_only": Fault(_put(affairs, "_falls_back", _no), _found("fallback")),
    "orphaned": Fault(_put(affairs, "is_orphaned", _no), _found("team_removed"), week=21),
    "deadlines_ignored": Fault(_put(affairs, "_judge_deadlines", _never), _found("deadline")),
    "nothing_handed_out": Fault(_put(rounds, "hand_out", _yes), _found("idle")),
    "waits_off_record": Fault(_put(rounds, "record_waiting", _yes), _found("limbo")),
    "crossing_untold": Fault(_put(messages, "is_crossed", _no), _found("crossed"), week=4),
    "no_hysteresis": Fault(_put(presence, "_is_gone", _yes), _found("flap")),
    "nobody_leaves": Fault(_put(presence, "_is_gone", _no), _found("offline")),
    "no_primary": Fault(_put(presence, "_move_lock", lambda *_: []), _found("primary")),
    "memory_beside_the_state": Fault(
        lambda: mock.patch.object(fold, "_received", _every_seventh(fold._received)),  # noqa: SLF001
        _found("restart", "lease", "pace", "idle", "explained"),
    ),
    "flight_forgotten": Fault(
        _put(rounds, "_by_account", lambda *_: {}),
        _found(
            "two_owners",
            "wish_once",
            "deadline_once",
            "limbo",
            "deadline",
            "pace",
            "offline_return",
        ),
        week=9,
    ),
    "half_deaf": Fault(_around(heard, "hear", _half_deaf), _found("online", "flap")),
    "never_at_rest": Fault(_put(presence, "_move_lock", _ever_moving), _found("end")),
    "refused_by_the_store": Fault(
        _around(messages, "posted", _refused_by_the_store), _found("quarantine")
    ),
    "merged_by_half": Fault(_put(Tables, "move_conversations", lambda *_: []), _found("merged")),
    "before_the_end": Fault(_put(Seat, "fold", _fold_most), _found("log_end")),
    "reads_the_clock": Fault(_around(rounds, "decide_about", _hastily), _found("clock")),
    "no_fence": Fault(
        _put(Log, "append_fenced", _store_anyway),
        _found("two_owners", "deadline_once", "wish_once", "fence"),
    ),
    "everybody_rings": Fault(_put(Primaries, "is_heard", _yes), _found("one_alert")),
    "answers_unheard": Fault(
        _around(heard, "_hear_waiting", _only_bad_news), _found("answered_alert"), week=129
    ),
    "lock_never_moves": Fault(_put(lock, "_is_waited_for", _no), _found("alerted"), week=52),
    "any_receipt_answers": Fault(_around(Unheard, "acked", _always_in_time), _found("alerted")),
    "new_holder_untold": Fault(_put(Alerts, "_moved", _never), _found("alerted")),
    "late_and_not_told_again": Fault(
        _around(Unheard, "acked", lambda real, *args, **names: [real(*args, **names), None][1]),
        _found("alerted"),
        week=110,
    ),
    "numbered_by_batch": Fault(_around(messages, "_append", _numbered_by_batch), _found("refold")),
    "unchained": Fault(_around(inbox, "tell_change", _entry_unchained), _found("inbox_chain")),
}
