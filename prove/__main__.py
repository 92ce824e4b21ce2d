"""`make prove`: SEED= repeats a schedule, SECONDS= says how long, KILLS=1 leaves out everything but kills."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from itertools import chain

from prove import bugs, ledger, plan, points
from prove.campaign import SILENCE_S, Campaign, Settings
from prove.site import open_site

_ROUNDS = 3
"""How often each crash point is tried."""
_NEVER = ("partitions, full disks and jumps of the clock", "mail")


def main() -> int:
    """0 when no promise was broken."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1, 1_000_000))
    seconds = float(os.environ.get("SECONDS") or (3600 if os.environ.get("POINTS") else 600))
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)

    tell(f"seed {seed}")
    if os.environ.get("BUGS"):
        return _show_teeth(seed, tell)
    is_points = bool(os.environ.get("POINTS"))
    settings = Settings(seed=seed, seconds=seconds, silence_s=1.0 if is_points else SILENCE_S)
    is_three = bool(os.environ.get("R3"))
    has_disks = not is_points and not os.environ.get("KILLS")
    with open_site(seed=f"site {seed}", replicas=3 if is_three else 1, has_disks=has_disks) as site:
        tell(f"running, logs in {site.stack.directory.logs}")
        extent = plan.Extent(
            nats=plan.THREE if is_three else plan.ONE,
            is_kills_only=bool(os.environ.get("KILLS")),
            has_power=not site.no_power,
        )
        faults = plan.faults(seed, extent)
        if is_points:
            faults = chain.from_iterable(points.traps(seed + turn) for turn in range(_ROUNDS))
        result = Campaign(site, settings, tell).run(faults)
        result.not_run += [] if is_three else ["three nats-servers (R3=1 runs them)"]
        result.not_run += list(_NEVER)
        if site.no_power:
            result.not_run.append(f"power loss: {site.no_power}")
        if is_points:
            result.not_run += points.never_reached(site.sprung)
    ledger.show(result)
    ledger.write(result)
    return 1 if result.findings.total else 0


def _show_teeth(seed: int, tell: Callable[[str], None]) -> int:
    """Every planted bug must be caught, and the control run must find nothing."""
    is_wrong = False
    for caught in bugs.run(seed, tell, only=os.environ["BUGS"]):
        found = ", ".join(f"{name} {count}" for name, count in sorted(caught.broken.items()))
        is_wrong = is_wrong or bool(found) != bool(caught.bug.name)
        outcome = "caught" if found else "not caught"
        tell(f"    {outcome if caught.bug.name else 'control'}: {found or 'nothing found'}")
    return 1 if is_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
