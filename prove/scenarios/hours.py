"""The story of office hours: a deadline in business time runs over a closing and an opening, while processes die."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from prove.evidence import LogEntry
from prove.scenarios.floor import Floor

_ALLOWED_S = 12
_STEP_S = 4
_BEFORE_CLOSING_S = 8.0
_CLOSED_S = 60.0
_LATE_S = 3.0
"""So late a step may be, on a machine that does other things as well."""
_ENDS = ("dispatcher-1", "dispatcher-2", "store-1", "store-2")


async def office_hours(floor: Floor) -> str:
    """Reminder, somebody else, the supervisors: each once and at its moment in business time, though all dispatchers and
    stores die while it is closed and one of each when it opens."""
    first, second = await floor.hire(), await floor.hire()
    await floor.sign_in(first)
    visitor = await floor.arrive(gateway=1)
    closes_s = (time.time() + _BEFORE_CLOSING_S + 60) // 60 * 60
    opens_s = closes_s + _CLOSED_S
    await floor.change_policy(
        hours=_hours(closes_s, opens_s),
        deadline_clock="business",
        first_response_s=_ALLOWED_S,
        reassign_after_s=_STEP_S,
        escalate_after_s=2 * _STEP_S,
    )
    await _until_s(closes_s - _BEFORE_CLOSING_S)
    conversation_id = await floor.write(visitor, f"{floor.name} before it closes")
    await floor.until(floor.all_owned, "it is given")
    await floor.sign_in(second, gateway=1)
    await _until_s(closes_s)
    for name in _ENDS:
        floor.site.kill(name)
    await _until_s(opens_s - 15)
    for name in _ENDS:
        floor.site.kill(name)
    await floor.ready()
    await _until_s(opens_s)
    for kind in ("dispatcher", "presence"):
        floor.site.kill(floor.leader(kind))
    floor.check(not await _steps(floor), "nothing falls due while it is closed")

    async def is_over() -> bool:
        return len(await _steps(floor)) == len(due_s)

    since_s = next(
        entry.at_s
        for entry in await floor.events("message_posted")
        if entry.event["conversation_id"] == conversation_id
    )
    left_s = _ALLOWED_S - (closes_s - since_s)
    due_s = [opens_s + left_s + more for more in (0, _STEP_S, 2 * _STEP_S)]
    await floor.until(is_over, "reminder, somebody else, the supervisors")
    await asyncio.sleep(2)
    steps = await _steps(floor)
    kinds = [str(entry.event["type"]) for entry in steps]
    wanted = ["deadline_missed", "conversation_queued", "escalated"]
    floor.check(kinds == wanted, f"each once: {kinds}")
    late_s = [entry.at_s - at_s for entry, at_s in zip(steps, due_s, strict=True)]
    told = ", ".join(f"{seconds:.2f}" for seconds in late_s)
    floor.check(all(0 <= seconds < _LATE_S for seconds in late_s), f"at its moment: {told} s late")
    floor.check((await floor.owners())[conversation_id] == second.agent_id, "somebody else has it")
    return f"{told} s after their moments, {left_s:.1f} s after the opening"


def _hours(closes_s: float, opens_s: float) -> dict[str, Any]:
    """Open all day but from one full minute to the other, in a zone in which it is about noon."""
    closes, opens = (datetime.fromtimestamp(at_s, UTC) for at_s in (closes_s, opens_s))
    ahead = 12 - closes.hour
    # The sign of these zones is the other way round: Etc/GMT-3 is three hours ahead.
    zone = f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"
    from_, to = (f"{moment + timedelta(hours=ahead):%H:%M}" for moment in (closes, opens))
    days = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    weekly = [
        {"day": day, "start": start, "end": end}
        for day in days
        for start, end in (("00:00", from_), (to, "24:00"))
    ]
    return {"zone": zone, "weekly": weekly}


async def _steps(floor: Floor) -> list[LogEntry]:
    """What the deadlines brought, in order."""
    return [
        entry
        for entry in await floor.log()
        if entry.event.get("type") in ("deadline_missed", "escalated")
        or (
            entry.event.get("type") == "conversation_queued"
            and entry.event["why"]["trigger"] == "deadline"
        )
    ]


async def _until_s(at_s: float) -> None:
    await asyncio.sleep(max(0.0, at_s - time.time()))
