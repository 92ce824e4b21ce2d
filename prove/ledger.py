"""The result of a run: a table on the terminal and one line in `.run/prove/ledger.jsonl`."""

from __future__ import annotations

import datetime as dt

import msgspec

from deploy.dev.run_directory import ROOT
from prove.campaign import Result
from prove.checker import PROMISES

_SHOWN = 5
_FIGURES = (
    "faults",
    "silences",
    "deaths",
    "accepted",
    "refused",
    "log_entries",
    "repeats_in_log",
    "unknown",
    "unresolved",
    "longest_pause_s",
    "largest_mb",
    "longest_send_s",
    "longest_recovery_s",
    "seconds",
)


def show(result: Result) -> None:
    """Figures, then every promise with the number of times it was broken."""
    print(f"\nseed {result.seed}")
    for name in _FIGURES:
        print(f"  {name.replace('_', ' '):<24} {getattr(result, name)}")
    for text in result.longest_sends:
        print(f"      {text}")
    print()
    for promise in PROMISES:
        print(f"  {promise:<24} {result.findings.count(promise)}")
        for text in result.findings.broken.get(promise, [])[:_SHOWN]:
            print(f"      {text}")
    for text in result.not_run:
        print(f"  not run: {text}")
    print("\nbroken promises" if result.findings.total else "\nnothing broken", flush=True)


def write(result: Result) -> None:
    """One line, so that many runs can be looked through."""
    file = ROOT / ".run" / "prove" / "ledger.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    line = {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        **{name: getattr(result, name) for name in ("seed", *_FIGURES)},
        "broken": {name: result.findings.count(name) for name in result.findings.broken},
        "not_run": result.not_run,
    }
    with file.open("ab") as ledger:
        ledger.write(msgspec.json.encode(line) + b"\n")
