"""Named points at which a process can be told to kill or to stop itself, to find out what that does at just that place.

`NIGHTDESK_CRASH_POINT=store.batch.committed:3` kills at the third pass of that point, as SIGKILL from outside would;
with `:3:stop` the process freezes there until it gets SIGCONT. Without the variable a point costs one comparison.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "NIGHTDESK_CRASH_POINT"


class _Armed:
    """The point that was named, how many passes are left, and what then happens."""

    def __init__(self, text: str) -> None:
        name, _, rest = text.partition(":")
        count, _, deed = rest.partition(":")
        self.name = name
        self.left = int(count or 1)
        self.signal = signal.SIGSTOP if deed == "stop" else signal.SIGKILL


_armed = _Armed(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None


def crashpoint(name: str) -> None:
    """Kill or stop this process if the point is the named one and it is passed for the n-th time."""
    if _armed is None or _armed.name != name:
        return
    _armed.left -= 1
    if _armed.left == 0:
        os.kill(os.getpid(), _armed.signal)
