"""Did somebody hear it? Judges what the devices of agents noted when they made themselves heard, by the log alone. Pure.

One alert while the holder of the lock answers, at most one more for each recorded move of the lock, and never none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from prove.diary import Diary, Ring, Screen
from prove.evidence import LogEntry

_BEFORE_S = 8.0
"""A move this long before a message may still bring a ring for it: the old holder's and the new one's."""
_AFTER_S = 2.0
YOUNG_S = 80.0
"""Nobody is told of what is older than two minutes; what is as young as this must be told of while there is time."""


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """A visitor's message that an agent was to react to."""

    position: int
    conversation_id: str
    agent_id: str
    at_s: float


class Heard(msgspec.Struct, kw_only=True):
    """What the log says of alerts. `moves`: when each agent's lock moved. `dealt`: how far each agent has read a
    conversation, or written in it."""

    posted: dict[int, Posted] = {}
    moves: dict[str, list[float]] = {}
    owners: dict[str, str | None] = {}
    dealt: dict[tuple[str, str], int] = {}
    known: set[str] = set()


def hear(log: Sequence[LogEntry]) -> Heard:
    """Everything from the beginning."""
    heard = Heard()
    for entry in log:
        _hear_one(heard, entry)
    return heard


def _hear_one(heard: Heard, entry: LogEntry) -> None:
    event = entry.event
    conversation_id = str(event.get("conversation_id", ""))
    match event.get("type"):
        case "message_posted" if str(event["message_id"]) not in heard.known:
            heard.known.add(str(event["message_id"]))
            _post(heard, entry, conversation_id)
        case "read":
            _deal(heard, conversation_id, str(event["recipient"]["id"]), int(event["up_to"]))
        case "conversation_assigned":
            heard.owners[conversation_id] = str(event["agent_id"])
        case "conversation_queued":
            heard.owners[conversation_id] = None
        case "primary_device_changed":
            heard.moves.setdefault(str(event["agent_id"]), []).append(entry.at_s)


def _post(heard: Heard, entry: LogEntry, conversation_id: str) -> None:
    author = entry.event["author"]
    owner = heard.owners.get(conversation_id)
    if author["kind"] != "visitor":
        _deal(heard, conversation_id, str(author["id"]), entry.position)
    elif owner is not None:
        heard.posted[entry.position] = Posted(
            position=entry.position,
            conversation_id=conversation_id,
            agent_id=owner,
            at_s=entry.at_s,
        )


def _deal(heard: Heard, conversation_id: str, agent_id: str, up_to: int) -> None:
    key = (conversation_id, agent_id)
    heard.dealt[key] = max(heard.dealt.get(key, 0), up_to)


def unheard(diary: Diary, heard: Heard, *, since_s: float) -> list[str]:
    """Messages after `since_s` (the log's time) for which no device of the agent who holds the conversation made itself
    heard, though one is on, and which the agent neither read nor answered. To be asked when all is calm."""
    screens = _agents(diary)
    rung = {
        agent: max((r.position for r in _rings(on)), default=0) for agent, on in screens.items()
    }
    return [
        f"{posted.position} of {posted.conversation_id}: no device of {posted.agent_id} rang"
        for posted in heard.posted.values()
        if posted.at_s >= since_s
        and heard.owners.get(posted.conversation_id) == posted.agent_id
        and heard.dealt.get((posted.conversation_id, posted.agent_id), 0) < posted.position
        and rung.get(posted.agent_id, 0) < posted.position
        and any(screen.is_open for screen in screens[posted.agent_id])
    ]


def too_many(diary: Diary, heard: Heard, troubled: Sequence[tuple[float, float]]) -> Iterator[str]:
    """Devices that rang twice for the same, and messages for which more rang than the lock has moved. `troubled`: when it
    may not have been known who holds the lock, so that everybody may ring."""
    for agent_id, screens in _agents(diary).items():
        for screen in screens:
            yield from _twice(screen)
        by_position: dict[int, list[float]] = defaultdict(list)
        for ring in _rings(screens):
            by_position[ring.position].append(ring.at_s)
        for position, rings in by_position.items():
            posted = heard.posted.get(position)
            if posted is None or posted.agent_id != agent_id:
                continue
            since_s, until_s = posted.at_s - _BEFORE_S, max(rings) + _AFTER_S
            if any(a <= until_s and since_s <= b for a, b in troubled):
                continue
            moves = sum(since_s <= at_s <= until_s for at_s in heard.moves.get(agent_id, []))
            if len(rings) > 1 + moves:
                yield f"{len(rings)} devices rang for {position}, and the lock moved {moves} times"


def _twice(screen: Screen) -> Iterator[str]:
    seen: set[int] = set()
    for ring in screen.rings:
        if ring.position in seen:
            yield f"{screen.name} rang twice for {ring.position}"
        seen.add(ring.position)


def _agents(diary: Diary) -> dict[str, list[Screen]]:
    found: dict[str, list[Screen]] = defaultdict(list)
    for screen in list(diary.screens):
        if screen.kind == "agent":
            found[screen.owner].append(screen)
    return found


def _rings(screens: Sequence[Screen]) -> list[Ring]:
    return [ring for screen in screens for ring in list(screen.rings)]
