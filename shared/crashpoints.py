"""Named points at which a process can be told to kill itself, to find out what a crash at just that place does.

`NIGHTDESK_CRASH_POINT=store.batch.committed:3` kills at the third pass of that point, as SIGKILL from outside would.
Without the variable a point costs one comparison.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "NIGHTDESK_CRASH_POINT"


class _Armed:
    """The point that was named, and how many passes are left."""

    def __init__(self, text: str) -> None:
        name, _, count = text.partition(":")
        self.name = name
        self.left = int(count or 1)


_armed = _Armed(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None


def crashpoint(name: str) -> None:
    """Kill this process if the point is the named one and it is passed for the n-th time."""
    if _armed is None or _armed.name != name:
        return
    _armed.left -= 1
    if _armed.left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
