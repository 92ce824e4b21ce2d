"""No process clock and no lots: while a week is simulated, asking the machine for time or chance is an error."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from simulate.broken import Broken, judged

_FORBIDDEN: list[tuple[Any, str]] = [
    *((time, name) for name in ("time", "time_ns", "monotonic", "monotonic_ns", "sleep")),
    *((random, name) for name in ("random", "randint", "choice", "shuffle", "uniform")),
    (uuid, "uuid1"),
    (uuid, "uuid4"),
]


@contextmanager
def no_clock() -> Iterator[None]:
    """Within it, `time` and the module `random` raise; seeded dice of one's own still work."""

    def refuse(*_args: object, **_names: object) -> None:
        raise Broken("clock", "a decision asked the machine for time or chance")

    judged["clock"] += 1
    with mock.patch.multiple(uuid, uuid1=refuse, uuid4=refuse):
        patches = [mock.patch.object(module, name, refuse) for module, name in _FORBIDDEN[:-2]]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()
