"""The data directory of the embedded PostgreSQL: where it lies, how it is made, how it is wiped.

Made beside its place and renamed, so that a start cut short never leaves half a cluster behind.
Two roles: `postgres`, the superuser for maintenance and tests, and `nightdesk`, who owns the
database and is no superuser, because a superuser walks through row-level security.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import msgspec

from deploy.dev.errors import StackError
from deploy.dev.os_user import OsUser, can_enter, unprivileged_user
from deploy.dev.postgres_binaries import postgres_binaries, shared_place, shared_root
from deploy.dev.process import tail
from deploy.dev.secret_files import kept_secret

SUPERUSER = "postgres"
OWNER = "nightdesk"
_OUTSIDE_ID = "outside.id"
_OUTSIDE_PREFIX = "postgres-data-"
_ORIGIN = "origin"


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """A data directory that exists, with what is needed to serve it."""

    data: Path
    binaries: Path
    user: OsUser | None
    passwords: dict[str, str]


def make_cluster(directory: Path, *, log: Path, durable: bool) -> Cluster:
    """Find or make the cluster of this directory. Raises StackError."""
    directory.mkdir(parents=True, exist_ok=True)
    user = unprivileged_user(directory)
    binaries = postgres_binaries(user)
    place = _data_place(directory, user)
    cluster = Cluster(
        data=place / "data",
        binaries=binaries,
        user=user,
        passwords={
            role: kept_secret(directory / f"{role}.password") for role in (SUPERUSER, OWNER)
        },
    )
    if (cluster.data / "PG_VERSION").exists():
        _check_version(cluster)
    else:
        _initialise(cluster, log=log, durable=durable)
    return cluster


def wipe_cluster(directory: Path) -> None:
    """Remove the data, wherever it lies. The server must not run."""
    outside = _outside(directory)
    if outside:
        shutil.rmtree(outside, ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)


def server_environment() -> dict[str, str]:
    """The caller's PGDATA, PGPORT and the like must not reach our server."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _data_place(directory: Path, user: OsUser | None) -> Path:
    if user is None or can_enter(user, directory):
        return directory
    _remove_forgotten()
    kept_secret(directory / _OUTSIDE_ID)
    outside = _outside(directory)
    if outside is None:
        raise RuntimeError("the name of the place outside was not kept")
    shared_place(outside.name)
    (outside / _ORIGIN).write_text(str(directory.resolve()))
    return outside


def _outside(directory: Path) -> Path | None:
    """Where this directory's data lie if not in it.

    The name is kept in the directory: a new checkout at the same path must not find the data of
    one that was deleted.
    """
    try:
        name = (directory / _OUTSIDE_ID).read_text(encoding="ascii").strip()[:16]
    except OSError:
        return None
    return shared_root() / f"{_OUTSIDE_PREFIX}{name}"


def _remove_forgotten() -> None:
    """Data outside whose checkout is gone would fill the disk for ever."""
    for outside in shared_root().glob(f"{_OUTSIDE_PREFIX}*"):
        try:
            is_wanted = _outside(Path((outside / _ORIGIN).read_text())) == outside
        except OSError:
            is_wanted = False
        if not is_wanted and not (outside / "data" / "postmaster.pid").exists():
            shutil.rmtree(outside, ignore_errors=True)


def _check_version(cluster: Cluster) -> None:
    made_by = (cluster.data / "PG_VERSION").read_text().strip()
    said = subprocess.run(
        [str(cluster.binaries / "postgres"), "--version"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    ).stdout
    if made_by not in said.replace(".", " ").split():
        raise StackError(
            "PostgreSQL",
            f"the data was made by version {made_by}, the binaries say: {said.strip()}",
            advice="set NIGHTDESK_PG_BIN to that version's binaries, or RESET=1 for empty data",
        )


def _initialise(cluster: Cluster, *, log: Path, durable: bool) -> None:
    new = cluster.data.with_name("data.new")
    password_file = cluster.data.with_name("initdb.password")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    password_file.unlink(missing_ok=True)
    password_file.touch(mode=0o600)
    password_file.write_text(cluster.passwords[SUPERUSER])
    if cluster.user:
        for path in (new, password_file):
            os.chown(path, cluster.user.uid, cluster.user.gid)
    arguments = ["-D", str(new), "-U", SUPERUSER, f"--pwfile={password_file}"]
    arguments += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums"]
    try:
        _run(cluster, "initdb", arguments + ([] if durable else ["--no-sync"]), log=log)
        password = cluster.passwords[OWNER]
        for statement in (
            f"CREATE ROLE {OWNER} LOGIN PASSWORD '{password}' NOSUPERUSER NOCREATEROLE",
            f"CREATE DATABASE {OWNER} OWNER {OWNER}",
        ):
            # Single-user mode: no port is open while the cluster has no owner yet.
            _run(
                cluster,
                "postgres",
                ["--single", "-D", str(new), "-c", "log_min_error_statement=panic", "postgres"],
                log=log,
                text=statement + "\n",
            )
        new.rename(cluster.data)
    finally:
        password_file.unlink(missing_ok=True)


def _run(
    cluster: Cluster, program: str, arguments: list[str], *, log: Path, text: str = ""
) -> None:
    user = cluster.user
    with log.open("ab") as output:
        done = subprocess.run(
            [str(cluster.binaries / program), *arguments],
            input=text.encode(),
            stdout=output,
            stderr=subprocess.STDOUT,
            env=server_environment(),
            cwd="/",
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
            timeout=120,
            check=False,
        )
    if done.returncode != 0:
        raise StackError(
            "PostgreSQL",
            (tail(log, lines=1) or [f"{program} failed"])[0],
            advice="is the disk full, or the directory on a file system without owners?",
            log=log,
        )
