"""`configuration.md`: the settings of every service, asked of the services themselves.

Each is run with `--print-config` in its own process, so that the page shows what a service would read, and the
command line imports no service.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from cli.reference.markdown import code, document, table
from shared.config import Shared, variable_of
from shared.config import table as settings_of

_ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 120

_INTRO = """Every setting is an environment variable, read once at the start.
A variable with `_FILE` added to its name gives a file that holds the value; use it for secrets.
All faults are reported together, by name, and the service ends with status 2.
`python -m services.<name> --print-config` prints the same tables.
How to write a good value: seconds end in `_S`, bytes in `_BYTES`."""

Row = tuple[str, ...]


def services() -> list[str]:
    """The services that this release has."""
    return sorted(path.parent.name for path in (_ROOT / "services").glob("*/__main__.py"))


@cache
def settings() -> dict[str, list[Row]]:
    """Service name to its own rows (variable, type, default, description); "" has the shared ones."""
    names = services()
    with ThreadPoolExecutor() as pool:
        found = dict(zip(names, pool.map(_printed, names), strict=True))
    return {"": [tuple(row) for row in settings_of(Shared)], **found}


def page() -> str:
    """The whole page."""
    sections = []
    for name, rows in settings().items():
        title = f"## {name}" if name else "## Every service"
        lines = [(code(row[0]), row[1], _shown(row[2]), row[3]) for row in rows]
        body = table(("variable", "type", "default", "meaning"), lines)
        sections.append(f"{title}\n\n{body}")
    return document("Configuration", _INTRO, sections)


def _shown(default: str) -> str:
    if default == "(required)":
        return "required"
    return code(default) if default else "empty"


def _printed(name: str) -> list[Row]:
    argv = [sys.executable, "-m", f"services.{name}", "--print-config"]
    done = subprocess.run(
        argv, cwd=_ROOT, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
    )
    rows = [tuple(line.split("\t")) for line in done.stdout.splitlines()]
    shared = {variable_of("", field) for field in Shared.__struct_fields__}
    return [row for row in rows if row[0] not in shared]
