"""How a conversation will stand once a decision of the round lies in the log: what returns comes before what is younger,
in that very round."""

from __future__ import annotations

from copy import copy

from shared import events as e
from simulate.talks import NEVER, Talk

_GIVES_BACK = ("lease_lapsed", "deadline", "requested")


def after(talk: Talk, event: e.ConversationQueued | e.AssignmentRefused, now_ns: int) -> Talk:
    """The conversation as if the decision were stored; what hangs on the position it will get is behind all others."""
    found = copy(talk)
    if isinstance(event, e.AssignmentRefused):
        return found
    trigger = event.why.trigger
    if trigger in _GIVES_BACK:
        found.bar(talk.owner, now_ns, NEVER)
    if trigger == "requested" and talk.wishes:
        wish = talk.wishes[0]
        if isinstance(wish, e.AssignmentRequested) and wish.team_id:
            found.wanted, found.asked_past = wish.team_id, len(talk.asked)
    if trigger == "fallback" and event.team_id is not None:
        before = talk.asked if talk.asked_since == talk.since else []
        found.asked, found.asked_since = [*before, event.team_id], talk.since
    if not talk.waits and not (talk.on_record and trigger in ("fallback", "team_removed")):
        found.place, found.place_ns = NEVER, now_ns
    found.phase, found.owner, found.on_record = "active", None, True
    return found
