"""Planted bugs: faults built in on purpose, one at a time, to find out whether `make prove` would catch them.

`NIGHTDESK_PLANTED_BUG` names the one, and only with `NIGHTDESK_MODE=development`; production never looks.
"""

from __future__ import annotations

import os

VARIABLE = "NIGHTDESK_PLANTED_BUG"
_planted = os.environ.get(VARIABLE, "") if os.environ.get("NIGHTDESK_MODE") == "development" else ""


def planted(name: str) -> bool:
    """Whether this bug is switched on."""
    return _planted == name
