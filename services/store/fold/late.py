"""What of a conversation is late, as the dispatcher has put on record, in one number: a missed deadline and an
escalation, of the wait that goes on and of the case. The wait's end with its wait, the case's with its resolution."""

from __future__ import annotations

from shared.events import DeadlineMissed, Escalated

_WAIT_MISSED = 1
_WAIT_ESCALATED = 2
_CASE_MISSED = 4
_CASE_ESCALATED = 8
OF_CASE = _CASE_MISSED | _CASE_ESCALATED

# As `flags`, over `conversations c`. The first test is the index.
OVERDUE = "(c.late > 0 AND (c.late & 4 > 0 OR c.late & 1 > 0 AND c.phase = 'active'))"
ESCALATED = "(c.late > 0 AND (c.late & 8 > 0 OR c.late & 2 > 0 AND c.phase = 'active'))"


def mark_of(event: DeadlineMissed | Escalated) -> int:
    """What this event puts on record."""
    is_of_case = event.deadline == "resolution"
    if isinstance(event, Escalated):
        return _CASE_ESCALATED if is_of_case else _WAIT_ESCALATED
    return _CASE_MISSED if is_of_case else _WAIT_MISSED


def flags(late: int, phase: str) -> tuple[bool, bool]:
    """Whether it is overdue, and whether escalated. While it is snoozed nobody waits, but the case is as old as ever."""
    if not late:
        return False, False
    shown = late if phase == "active" else late & OF_CASE
    missed, escalated = _WAIT_MISSED | _CASE_MISSED, _WAIT_ESCALATED | _CASE_ESCALATED
    return bool(shown & missed), bool(shown & escalated)
