"""The one fold that drops repeated messages for every reader that acts: it remembers the MessageIDs of an hour
of log time. An hour is enough because a gateway looks older ids up before it appends them. Pure.

The store needs none of this: its `message_ids` has no window.
"""

from __future__ import annotations

import msgspec

from shared.events import MessagePosted

WINDOW_NS = 3_600_000_000_000


class Repeats(msgspec.Struct, kw_only=True):
    """First fingerprint and log time by account and MessageID, in two generations of an hour each: forgetting is
    one assignment instead of a walk. `turned_ns` is the log time at which `recent` began."""

    recent: dict[str, tuple[bytes, int]] = {}
    older: dict[str, tuple[bytes, int]] = {}
    turned_ns: int = 0


def is_repeat(state: Repeats, event: MessagePosted, at_ns: int) -> bool:
    """Fold one message and tell whether to drop it: same id and same fingerprint within the window.

    The same id with another fingerprint is another message (the store keeps it under its own id).
    """
    if at_ns - state.turned_ns > WINDOW_NS:
        state.older = state.recent if at_ns - state.turned_ns <= 2 * WINDOW_NS else {}
        state.recent = {}
        state.turned_ns = at_ns
    key = f"{event.account_id}/{event.message_id}"
    first = state.recent.get(key) or state.older.get(key)
    if first is not None and at_ns - first[1] <= WINDOW_NS:
        return first[0] == event.fingerprint
    state.recent[key] = (event.fingerprint, at_ns)
    return False
