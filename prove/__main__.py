"""`make prove`: SEED= repeats a schedule, SECONDS= says how long, KILLS=1 leaves out everything but kills."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator

from prove import bugs, ledger, plan, points
from prove.campaign import SILENCE_S, Campaign, Settings
from prove.scenarios import stories
from prove.site import Extent, Site, open_site

_NEVER = ("mail", "jumps of the servers' own clocks")


def main() -> int:
    """0 when no promise was broken."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1, 1_000_000))
    seconds = float(os.environ.get("SECONDS") or (3600 if _is_set("POINTS") else 600))
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)

    tell(f"seed {seed}")
    if _is_set("BUGS"):
        return _show_teeth(seed, tell)
    if _is_set("SCENARIOS"):
        told = stories.run(seed, tell, only=os.environ["SCENARIOS"])
        return 0 if all(verdict.is_kept for verdict in told) else 1
    settings, extent = _wanted(seed, seconds)
    with open_site(seed=f"site {seed}", extent=extent) as site:
        tell(f"running, logs in {site.stack.directory.logs}")
        result = Campaign(site, settings, tell).run(_faults(seed, site))
        result.not_run += _not_run(site)
        if not _is_set("POINTS"):
            late = plan.left_out(seed, _plan_extent(site), result.faults)
            result.not_run += [f"for lack of time: {name}" for name in late]
    ledger.show(result)
    ledger.write(result)
    return 1 if result.findings.total else 0


def _is_set(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


def _wanted(seed: int, seconds: float) -> tuple[Settings, Extent]:
    """Three servers of the log, machines of their own and disks, unless the run is one of kills or crash points."""
    is_small = _is_set("POINTS") or _is_set("KILLS")
    is_three = _is_set("R3") or not (is_small or _is_set("R1"))
    settings = Settings(
        seed=seed, seconds=seconds, silence_s=1.0 if _is_set("POINTS") else SILENCE_S
    )
    return settings, Extent(
        replicas=3 if is_three else 1, has_disks=not is_small, has_network=not is_small
    )


def _faults(seed: int, site: Site) -> Iterator[plan.Fault]:
    if _is_set("POINTS"):
        return points.traps(seed, site.sprung, only=_parts())
    return plan.faults(seed, _plan_extent(site))


def _plan_extent(site: Site) -> plan.Extent:
    return plan.Extent(
        nats=tuple(site.broker.servers),
        is_kills_only=_is_set("KILLS"),
        has_power=not site.no_power,
        has_network=not site.network.why_not,
    )


def _not_run(site: Site) -> list[str]:
    found = list(_NEVER)
    if site.no_power:
        found.append(f"power losses, full disks: {site.no_power}")
    if site.network.why_not:
        found.append(f"partitions: {site.network.why_not}")
    if site.broker.replicas == 1:
        found.append("three nats-servers")
    if _is_set("KILLS"):
        found.append("anything but kills")
    if _is_set("POINTS"):
        found += points.never_reached(site.sprung, only=_parts())
    return found


def _parts() -> str:
    """Which points: all with POINTS=1."""
    text = os.environ.get("POINTS", "")
    return "" if text == "1" else text


def _show_teeth(seed: int, tell: Callable[[str], None]) -> int:
    """Every planted bug must be caught, and the control run must find nothing."""
    tried = []
    for caught in bugs.run(seed, tell, only=os.environ["BUGS"]):
        tell(f"    {caught.outcome}: {caught.found}")
        if not caught.bug.name:
            # Either the checker is wrong or we have found something: both are worth every word.
            for text in caught.sentences:
                tell(f"        {text}")
        tried.append(caught)
    print(f"\n  {'planted bug':<30} {'':<11} found as")
    for caught in tried:
        print(f"  {caught.bug.name or caught.bug.what:<30} {caught.outcome:<11} {caught.found}")
    count = sum(caught.is_right and bool(caught.bug.name) for caught in tried)
    print(f"\n{count} of {sum(bool(caught.bug.name) for caught in tried)} caught", flush=True)
    return 0 if all(caught.is_right for caught in tried) else 1


if __name__ == "__main__":
    sys.exit(main())
