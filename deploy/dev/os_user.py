"""Under which operating-system user a server runs. PostgreSQL refuses root, and rightly so.

As root the owner of the checkout is taken, or `nobody`; otherwise the user that we are. Whether a
path can be reached is asked by trying it as that user: mode bits alone know nothing of ACLs, mounts
or a home directory that only root may enter.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import msgspec


class OsUser(msgspec.Struct, frozen=True, kw_only=True):
    """An unprivileged user to drop to."""

    name: str
    uid: int
    gid: int


def unprivileged_user(checkout: Path) -> OsUser | None:
    """The user to drop to, or None when this process is not root."""
    if os.geteuid() != 0:
        return None
    owner = checkout.stat().st_uid
    try:
        entry = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
    except KeyError:
        return OsUser(name=str(owner or 65534), uid=owner or 65534, gid=owner or 65534)
    return OsUser(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def make_enterable(directory: Path) -> Path:
    """Make a directory that every user may enter but not list, whatever the umask says."""
    if not directory.exists():
        directory.mkdir(parents=True)
        directory.chmod(0o711)
    return directory


def can_enter(user: OsUser | None, directory: Path) -> bool:
    """Whether that user can reach and enter the directory."""
    if user is None:
        return os.access(directory, os.X_OK)
    return _succeeds(user, ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory)])


def can_execute(user: OsUser | None, program: Path) -> bool:
    """Whether that user can start the program: asked by starting it for its version."""
    return _succeeds(user, [str(program), "--version"])


def _succeeds(user: OsUser | None, argv: list[str]) -> bool:
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            cwd="/",
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
