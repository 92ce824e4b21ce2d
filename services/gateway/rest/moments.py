"""Times that clients write: RFC 3339, to nanoseconds since 1970."""

from __future__ import annotations

import datetime as dt

from shared.errors import Rejected


def ns_of(text: str | None, *, pointer: str) -> int:
    """0 for none. Raises `Rejected("invalid")` for anything that is no time with its offset between 1970 and 2262."""
    if text is None:
        return 0
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not 1970 <= moment.year < 2262:
        raise Rejected("invalid", "must be a time such as 2026-03-01T03:00:00Z", pointer=pointer)
    return max(0, int(moment.timestamp() * 1_000_000) * 1000)
