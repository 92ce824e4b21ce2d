"""`errors.md`: the codes that clients meet, in answers and as WebSocket close codes."""

from __future__ import annotations

from cli.reference.markdown import code, document, table
from services.gateway.problem import STATUSES
from shared.wire.frames import CLOSE_CODES

_INTRO = """Codes are stable; the texts beside them are for people and may change."""

_COME_BACK_BELOW = 3500


def page() -> str:
    """The whole page."""
    return document("Errors", _INTRO, [_problems(), _close_codes()])


def _problems() -> str:
    rows = [(code(name), str(status), title) for name, (status, title) in STATUSES.items()]
    text = """## REST

Errors are `application/problem+json` (RFC 9457) with `code`, `request_id`, and for a faulty body `errors` with JSON pointers.
503 and 429 carry `Retry-After`.
After `unavailable` nothing was done; after `unknown` nobody knows yet: send the same request with the same ids."""
    return f"{text}\n\n" + table(("code", "status", "meaning"), rows)


def _close_codes() -> str:
    rows = [
        (code(number), code(name), "yes" if number < _COME_BACK_BELOW else "no", meaning)
        for number, (name, meaning) in sorted(CLOSE_CODES.items())
    ]
    text = """## WebSocket close codes

Below 3500: come back, first after 0 to 1 s at random, then with full jitter that grows to 5 s in the first minute of an outage and to 20 s after it.
From 3500: don't; something must change first."""
    return f"{text}\n\n" + table(("code", "name", "come back", "meaning"), rows)
