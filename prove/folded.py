"""What the log says, folded in the checker's own plain way: nothing of it is shared with the services. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from prove.evidence import LogEntry


class Folded(msgspec.Struct, kw_only=True):
    """`messages`: positions by id, repeats included. `owners`: present owner by conversation, None in a queue.
    `lapses`: positions and times of leases that were called lapsed, and the seconds they had lasted. `decided`: decisions and the position each looked
    at."""

    messages: dict[str, list[int]] = {}
    started: dict[str, int] = {}
    said_in: set[str] = set()
    owners: dict[str, str | None] = {}
    assigned: dict[str, int] = {}
    assigned_s: dict[str, float] = {}
    routed: set[str] = set()
    answered: dict[str, int] = {}
    received: dict[str, list[tuple[int, int]]] = {}
    unexplained: list[str] = []
    too_early: list[str] = []
    lapses: list[tuple[int, float, float]] = []
    decided: list[tuple[int, int]] = []
    last: int = 0


def fold(log: Sequence[LogEntry]) -> Folded:
    """Everything from the beginning."""
    folded = Folded()
    for entry in log:
        _fold_one(folded, entry)
        folded.last = entry.position
    return folded


def _fold_one(folded: Folded, entry: LogEntry) -> None:
    event = entry.event
    conversation_id = str(event.get("conversation_id", ""))
    match event.get("type"):
        case "message_posted":
            folded.messages.setdefault(str(event["message_id"]), []).append(entry.position)
            folded.said_in.add(conversation_id)
        case "conversation_started":
            folded.started.setdefault(conversation_id, entry.position)
        case "conversation_assigned":
            _explain(folded, entry)
            _lease(folded, entry, conversation_id)
            folded.owners[conversation_id] = str(event["agent_id"])
            folded.assigned[conversation_id] = entry.position
            folded.assigned_s[conversation_id] = entry.at_s
            folded.routed.add(conversation_id)
        case "conversation_queued":
            _explain(folded, entry)
            _lease(folded, entry, conversation_id)
            folded.owners[conversation_id] = None
            folded.routed.add(conversation_id)
        case "received" | "received_together":
            for said in event.get("receipts", [event]):
                recipient = str(said["recipient"]["id"])
                got = (entry.position, int(said["up_to"]))
                folded.received.setdefault(recipient, []).append(got)


def _explain(folded: Folded, entry: LogEntry) -> None:
    """A decision names its trigger, the state it looked at, and who or what made the choice."""
    why: dict[str, Any] = entry.event.get("why") or {}
    is_assigned = entry.event.get("type") == "conversation_assigned"
    has_choice = bool(why.get("winner") or why.get("requested_by")) or not is_assigned
    has_choice = has_choice or why.get("trigger") not in ("queue", None)
    if why.get("state_position"):
        folded.decided.append((entry.position, int(why["state_position"])))
    if not why.get("trigger") or not why.get("state_position") or not has_choice:
        folded.unexplained.append(f"decision at {entry.position}")
    elif int(why["state_position"]) >= entry.position:
        folded.unexplained.append(f"decision at {entry.position} looked at what was not there yet")


def _lease(folded: Folded, entry: LogEntry, conversation_id: str) -> None:
    """A lease may lapse only if no device of the owner had acknowledged the assignment in the state looked at."""
    why: dict[str, Any] = entry.event.get("why") or {}
    owner = folded.owners.get(conversation_id)
    if why.get("trigger") != "lease_lapsed" or owner is None:
        return
    lasted_s = entry.at_s - folded.assigned_s.get(conversation_id, 0.0)
    folded.lapses.append((entry.position, entry.at_s, lasted_s))
    looked_at = int(why.get("state_position", 0))
    assigned = folded.assigned.get(conversation_id, 0)
    for position, up_to in folded.received.get(owner, []):
        if position <= looked_at and up_to >= assigned:
            folded.too_early.append(
                f"{conversation_id}: acknowledged at {position}, lapsed at {entry.position}"
            )
            return
