"""What a service does before it imports anything else: nearly all of a start is importing, and devices wait for it.

It stands apart because it must come before every other module; so it imports nothing of ours."""

from __future__ import annotations

import gc
import sys


def spare_imports() -> None:
    """Leave out what importing does for nobody; a tenth each of the time until a gateway takes its first device.
    `runtime.run` lets the collector work again."""
    # It would look at every function and class a hundred times, and none of them ever goes.
    gc.disable()
    # structlog draws tracebacks with it where it is there, as it is for our tools; a service writes lines.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
