"""Make `.venv`: run by the system's Python before anything is installed, so standard library only.

A stamp holds what the environment was made from; when it still fits, this takes milliseconds.
Our own packages become importable by a .pth file: they are read from the checkout, nothing is built.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOWEST = (3, 11)


def main(arguments: list[str]) -> int:
    """`--dev` adds what tests and checks need."""
    if sys.version_info < LOWEST:
        found = ".".join(map(str, sys.version_info[:2]))
        return _fail(
            f"Nightdesk needs Python 3.11 or newer, this is {found}.",
            "Name another one: make PYTHON=python3.12 run",
        )
    names = ["requirements.txt"] + (["requirements-dev.txt"] if "--dev" in arguments else [])
    if all(_is_fresh(name) for name in names):
        return 0
    try:
        VENV.mkdir(exist_ok=True)
        lock = (VENV / ".lock").open("w")
    except OSError as err:
        return _fail(f".venv can't be written: {err.strerror}.", "Is the checkout read-only?")
    with lock:
        # A second make waits here and finds the work done.
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _make([name for name in names if not _is_fresh(name)])


def _make(names: list[str]) -> int:
    started = time.monotonic()
    if not _works():
        _say("making .venv")
        try:
            _make_empty()
        except (subprocess.CalledProcessError, OSError) as err:
            return _fail(f".venv can't be made: {err}", "Is the disk full?")
    for name in names:
        count = len((ROOT / name).read_text().splitlines())
        _say(f"installing {count} packages from {name}")
        command = _installer()
        if command is None:
            return _fail(
                "This Python has neither ensurepip nor pip, so nothing can be installed.",
                "Install pip or uv, or a Python that has them (Debian: python3-venv).",
            )
        done = subprocess.run([*command, "-r", str(ROOT / name)], check=False)
        if done.returncode:
            return _fail(f"{name} could not be installed (see above).", "Is there a network?")
    _link()
    for name in names:
        _stamp(name).write_text(_digest(name))
    _say(f"ready after {time.monotonic() - started:.1f} s")
    return 0


def _make_empty() -> None:
    if importlib.util.find_spec("ensurepip"):
        # `clear` would take the lock file away under a waiting make.
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(VENV / "lib")
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    else:
        venv.create(VENV, with_pip=False)


def _installer() -> list[str] | None:
    """uv when it is there, else pip; pins are complete, so nothing is to be resolved."""
    uv = shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "-q", "--no-deps", "--python", str(PYTHON)]
    options = ["-q", "--no-deps", "--no-compile", "--prefer-binary", "--no-input"]
    options += ["--disable-pip-version-check", "--no-warn-script-location"]
    own = [str(PYTHON), "-m", "pip"]
    if subprocess.run([*own, "--version"], capture_output=True, check=False).returncode == 0:
        return [*own, "install", *options]
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "--python", str(PYTHON), "install", *options]
    return None


def _link() -> None:
    """Make `import services` and the `nightdesk` command work from any directory."""
    asked = [str(PYTHON), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(
        subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    )
    (packages / "nightdesk.pth").write_text(f"{ROOT}\n{ROOT / 'clients' / 'python'}\n")
    script = VENV / "bin" / "nightdesk"
    quoted = str(PYTHON).replace("'", "'\\''")
    script.write_text(f"#!/bin/sh\nexec '{quoted}' -m cli \"$@\"\n")
    script.chmod(0o755)


def _works() -> bool:
    if not PYTHON.exists():
        return False
    return subprocess.run([str(PYTHON), "-c", ""], capture_output=True, check=False).returncode == 0


def _stamp(name: str) -> Path:
    return VENV / f".made-from-{name}"


def _is_fresh(name: str) -> bool:
    try:
        return _stamp(name).read_text() == _digest(name) and PYTHON.exists()
    except OSError:
        return False


def _digest(name: str) -> str:
    made_from = [(ROOT / name).read_text(), Path(__file__).read_text(), str(ROOT), sys.version]
    return hashlib.sha256("\0".join(made_from).encode()).hexdigest()


def _say(text: str) -> None:
    print(f"  .venv: {text}", flush=True)


def _fail(cause: str, advice: str) -> int:
    print(f"\n  {cause}\n  {advice}\n", file=sys.stderr)
    return 1


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
