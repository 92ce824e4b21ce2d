"""The share of a busy processor that a process claims beside others: little for what may lag, but all of it while it is
far behind, so that a lag can't grow for ever because of a weight.

Linux shares a processor between sessions first (autogroups), and a nice value counts within a session only; so the
weight is set on the session where this process leads one, and on the process as well.
Never: a weight that can't be taken back, or one of a session that other processes belong to.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from shared import log

_AUTOGROUP = Path("/proc/self/autogroup")
_TRIES = 5
_TRY_S = 0.12
"""The kernel takes one autogroup's weight in a tenth of a second from processes without privileges."""
_CHANGE_S = 0.5
"""Between two changes: one takes locks of the whole kernel."""
_CAUGHT_UP = 0.25

_NICE = "0 to 19: how far this process steps back for others when the processors are busy"


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """Read as NIGHTDESK_<SERVICE>_NICE."""

    nice: Annotated[int, msgspec.Meta(ge=0, le=19, description=_NICE)] = 0


class FollowerWeight(Weight, frozen=True, kw_only=True):
    """Of a service that may lag: what it does follows from what is accepted."""

    nice: Annotated[int, msgspec.Meta(ge=0, le=19, description=_NICE)] = 10
    nice_behind_s: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            description="farther behind the log than this it steps back for nobody until it has caught up",
        ),
    ] = 2.0


Way = Callable[[int], bool]
"""Sets a nice value in one way; whether that was possible."""


def weigh_session(nice: int, autogroup: Path = _AUTOGROUP) -> bool:
    """Of the session that this process leads. Anybody may do that, and take it back as far as 0."""
    if os.getsid(0) != os.getpid():
        return False
    try:
        autogroup.write_text(str(nice), encoding="ascii")
    except OSError:
        return False
    return True


def weigh_process(nice: int) -> bool:
    """Of the process in its session. Only with the right to take it back, or it would be light for ever."""
    now = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, min(now, nice) - 1)
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except OSError:
        return False
    return True


class Share:
    """A process's part of the processor. `now` is the nice value that it has."""

    def __init__(
        self,
        nice: int = 0,
        *,
        behind_s: float = 2.0,
        ways: Sequence[Way] = (weigh_session, weigh_process),
    ) -> None:
        self._nice = nice
        self._behind_s = behind_s
        self._ways = ways
        self._may_try_at = 0.0
        self.now = 0

    def begin(self) -> None:
        """Before the service starts: step back as far as was asked for. Waits, at most half a second."""
        if not self._nice:
            return
        for _ in range(_TRIES):
            if self._set(self._nice):
                log.get().info("weight_set", nice=self._nice)
                return
            time.sleep(_TRY_S)
        log.get().info("weight_not_set", nice=self._nice)

    def mind(self, behind_s: float) -> None:
        """Tell how far behind the log the process is. Cheap, and made to be called for every batch."""
        if not self._nice:
            return
        limit_s = self._behind_s if self.now else self._behind_s * _CAUGHT_UP
        wanted = 0 if behind_s > limit_s else self._nice
        now = time.monotonic()
        if wanted == self.now or now < self._may_try_at:
            return
        self._may_try_at = now + _CHANGE_S
        if self._set(wanted):
            log.get().info("weight_changed", nice=wanted, behind_s=round(behind_s, 1))

    def _set(self, nice: int) -> bool:
        """Whether it was possible in one way at least."""
        is_set = True in [way(nice) for way in self._ways]
        if is_set:
            self.now = nice
        return is_set
