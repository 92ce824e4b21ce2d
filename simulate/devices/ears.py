"""What a person hears: judged from rings and recorded moves of the lock alone, with none of the books that decide.

One alert while the holder of the lock answers, at most one more for each recorded move, and never none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from simulate.broken import require

_BEFORE_S = 20.0
"""A move this long before a message may still bring a ring for it: the old holder's and the new one's."""

_IN_TIME_S = 4.0
"""Who rings so soon after a message has answered before anybody else may be asked."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """An evening as its people saw it, in seconds. `posted`: messages by position. `rings`: when which device rang for
    what. `moves`: when the lock moved; `taken_s`: when it did because a person used another device, or one came or went.
    `unaware_s`: when it was not known who holds it, so that everybody may ring.
    `troubled_s`: when a process was dead, frozen or slow, or something got lost. `off_s`: when a device was asleep or not
    connected. `calm_s`: from when on a device was awake and everything ran; `owed_s`: how old a message may be then."""

    posted: dict[int, float]
    rings: Sequence[tuple[float, str, int]]
    moves: Sequence[float]
    taken_s: Sequence[float]
    unaware_s: Sequence[float]
    troubled_s: Sequence[float]
    off_s: Mapping[str, Sequence[float]]
    calm_s: float
    owed_s: float


def judge(heard: Heard) -> None:
    """Every message of the evening."""
    for position, posted_s in heard.posted.items():
        _rings_once(heard, position, posted_s)
        if posted_s > heard.calm_s - heard.owed_s:
            is_told = any(at_s >= posted_s and p >= position for at_s, _, p in heard.rings)
            require(is_told, "alerted", f"nobody rang for {position}")


def _rings_once(heard: Heard, position: int, posted_s: float) -> None:
    rings = sorted((at_s, device) for at_s, device, rung in heard.rings if rung == position)
    devices = {device for _, device in rings}
    require(len(devices) == len(rings), "one_alert", f"twice on one device for {position}")
    if not rings:
        return
    last_s = rings[-1][0]
    if any(posted_s - 1 <= at_s <= last_s for at_s in heard.unaware_s):
        return
    moves = sum(posted_s - _BEFORE_S <= at_s <= last_s for at_s in heard.moves)
    text = f"{len(rings)} rang for {position}, and the lock moved {moves} times"
    require(len(rings) <= 1 + moves, "one_alert", text)
    first_s, first = rings[0]
    troubled_s = (*heard.troubled_s, *heard.taken_s)
    is_disturbed = any(posted_s - _BEFORE_S <= at_s <= last_s for at_s in troubled_s)
    # The holder of before keeps its right for what came just before the lock moved.
    is_disturbed |= any(posted_s - _BEFORE_S <= at_s <= first_s for at_s in heard.moves)
    is_gone = any(first_s <= at_s <= last_s for at_s in heard.off_s[first])
    if first_s - posted_s <= _IN_TIME_S and not (is_disturbed or is_gone):
        text = f"{len(rings)} rang for {position}, though the first was there all the time"
        require(len(rings) == 1, "answered_alert", text)
