"""`make simulate`: EVENTS= says how many entries of the log in all, JOBS= how many processes at once, FROM= the first week,
SEED= replays one week by its number, BUGS=1 plants faults that have to be found."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Generator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import count

from simulate.broken import RULES
from simulate.faults import FAULTS, first_found
from simulate.trace import told
from simulate.week import EVENTS, Outcome, live, shrink

_ALL_EVENTS = 1_000_000
_TELL_EVERY_S = 15.0


def main() -> int:
    """0 when every week kept every promise, or every planted fault was found."""
    if os.environ.get("BUGS"):
        return _plant()
    if os.environ.get("SEED"):
        return _one(int(os.environ["SEED"]))
    wanted = int(os.environ.get("EVENTS") or _ALL_EVENTS)
    jobs = int(os.environ.get("JOBS") or os.cpu_count() or 1)
    began_s = told_s = time.monotonic()
    events = decisions = weeks = 0
    judged: Counter[str] = Counter()
    outcomes = _outcomes(wanted, jobs, int(os.environ.get("FROM") or 1))
    for outcome in outcomes:
        events += outcome.events
        decisions += outcome.decisions
        weeks += 1
        judged.update(outcome.judged)
        if outcome.rule:
            # The other processes first: while a week is cut down, nobody here may read a clock.
            outcomes.close()
            return _fail(outcome)
        if time.monotonic() - told_s > _TELL_EVERY_S:
            told_s = time.monotonic()
            print(f"{events:>9,} events, {weeks} weeks, no promise broken yet", flush=True)
    took_s = time.monotonic() - began_s
    untried = _tell_judged(judged)
    print(
        f"{events:,} events in {weeks} weeks with {decisions:,} decisions kept every promise:"
        f" {took_s:.0f} s, {events / max(took_s, 0.001):,.0f} events/s with {jobs} processes"
    )
    if untried and events >= _ALL_EVENTS:
        print(f"but these promises were never put to the test: {', '.join(untried)}")
        return 1
    return 0


def _tell_judged(judged: Counter[str]) -> list[str]:
    """How often each promise was looked at; those that never were."""
    print("looked at: " + ", ".join(f"{rule} {judged[rule]:,}" for rule in sorted(judged)))
    return sorted(RULES.keys() - judged.keys())


def _outcomes(wanted: int, jobs: int, first: int) -> Generator[Outcome, None, None]:
    seeds = count(first)
    with ProcessPoolExecutor(jobs) as pool:
        running: set[Future[Outcome]] = set()
        started = 0
        while running or started < wanted:
            while len(running) < jobs and started < wanted:
                running.add(pool.submit(live, next(seeds)))
                started += EVENTS
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def _plant() -> int:
    missed = 0
    for name, fault in FAULTS.items():
        outcome = first_found(fault)
        is_found = outcome is not None and outcome.rule in fault.rules
        missed += not is_found
        said = f"week {outcome.seed}, {outcome.text}" if outcome is not None else "nothing"
        print(f"{'found' if is_found else 'MISSED':<6}  {name}: {said}", flush=True)
    print(f"{len(FAULTS) - missed} of {len(FAULTS)} planted faults were found")
    return 1 if missed else 0


def _one(seed: int) -> int:
    outcome = live(seed)
    if outcome.rule:
        return _fail(outcome)
    print(f"seed {seed}: {outcome.events:,} events, {outcome.decisions:,} decisions, all kept")
    return 0


def _fail(outcome: Outcome) -> int:
    print(f"seed {outcome.seed}: {outcome.text}")
    if outcome.story:
        print("\n".join(outcome.story))
    else:
        print("looking for the shortest way there …", flush=True)
        print(told(outcome, shrink(outcome)))
    print(f"again: make simulate SEED={outcome.seed}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
