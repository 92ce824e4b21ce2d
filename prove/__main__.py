"""`make prove`: SEED= repeats a schedule, SECONDS= says how long, KILLS=1 leaves out everything but kills."""

from __future__ import annotations

import os
import random
import sys
import time

from prove import ledger, plan
from prove.campaign import Campaign, Settings
from prove.site import open_site


def main() -> int:
    """0 when no promise was broken."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1, 1_000_000))
    seconds = float(os.environ.get("SECONDS") or 600)
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)

    tell(f"seed {seed}")
    settings = Settings(seed=seed, seconds=seconds)
    with open_site(seed=f"site {seed}") as site:
        tell(f"running, logs in {site.stack.directory.logs}")
        faults = plan.faults(seed, is_kills_only=bool(os.environ.get("KILLS")))
        result = Campaign(site, settings, tell).run(faults)
    ledger.show(result)
    ledger.write(result)
    return 1 if result.findings.total else 0


if __name__ == "__main__":
    sys.exit(main())
