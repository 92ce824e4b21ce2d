"""`errors.md`: the codes that clients meet, in answers and as WebSocket close codes."""

from __future__ import annotations

from cli.reference.markdown import code, document, table
from shared.wire.frames import CLOSE_CODES

_INTRO = """Codes are stable; the texts beside them are for people and may change."""

_COME_BACK_BELOW = 3500


def page() -> str:
    """The whole page."""
    return document("Errors", _INTRO, [_close_codes()])


def _close_codes() -> str:
    rows = [
        (code(number), code(name), "yes" if number < _COME_BACK_BELOW else "no", meaning)
        for number, (name, meaning) in sorted(CLOSE_CODES.items())
    ]
    text = """## WebSocket close codes

Below 3500: come back, first after 0 to 1 s at random, then with full jitter that grows to 20 s.
From 3500: don't; something must change first."""
    return f"{text}\n\n" + table(("code", "name", "come back", "meaning"), rows)
