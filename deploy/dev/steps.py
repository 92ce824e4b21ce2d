"""What `make check` and `make test` do, step by step, each with its seconds.

All steps run even when one fails, so that one run tells everything; the exit status tells of any.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_PYTHON = [sys.executable, "-m"]
# Three on two cores, because tests wait for servers nearly as long as they compute. By file, because services are
# started once a file; groups by mark are not to be had: pytest-xdist 3.8 loses them without a word under pytest 9.2
# (its issue 1386), and then every worker starts the services of every file.
_PARALLEL = ["-n", os.environ.get("NIGHTDESK_TEST_WORKERS", "3"), "--dist", "loadfile"]
_PARALLEL += ["--no-loadscope-reorder"]

STEPS: dict[str, list[list[str]]] = {
    "lint": [
        [*_PYTHON, "ruff", "check", "--quiet", "."],
        [*_PYTHON, "ruff", "format", "--check", "--quiet", "."],
    ],
    "types": [[*_PYTHON, "mypy", "--no-error-summary"]],
    "imports": [[str(Path(sys.executable).with_name("lint-imports")), "--no-logo"]],
    "unit": [[*_PYTHON, "pytest", "-q", "tests/unit"]],
    # One session for all levels, so that its closing line counts every test.
    "tests": [[*_PYTHON, "pytest", *_PARALLEL, "tests"]],
}


def main(names: list[str]) -> int:
    """Run the named steps in order. 0 when all of them passed."""
    failed: list[str] = []
    for name in names:
        if failed:
            _say(f"FAILED so far: {', '.join(failed)}")
        _say(f"── {name}")
        began = time.monotonic()
        codes = [subprocess.run(argv, cwd=_ROOT, check=False).returncode for argv in STEPS[name]]
        if any(codes):
            failed.append(name)
        if name != names[-1] or failed:
            outcome = "FAILED" if any(codes) else "passed"
            _say(f"── {name} {outcome} in {time.monotonic() - began:.1f} s")
    if failed:
        _say(f"FAILED: {', '.join(failed)}")
    return 1 if failed else 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
