"""A disk that can lose power: an ext4 image on a loop device that forgets everything that was not fsynced.

`cut` shuts the file system down as a power loss does (FS_IOC_SHUTDOWN without a flush of the journal); after the
server is killed, `again` mounts what the disk really holds. `fill` leaves no room. Needs root and loop devices.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import subprocess
from pathlib import Path

_SHUTDOWN = 0x8004587D
_WITHOUT_FLUSH = 2
_SIZE_BYTES = 3 * 1024**3
_TIMEOUT_S = 30
_FILLER = "filler"
_PIECES = (64 * 1024**2, 1024**2, 4096)


class NoDisk(Exception):
    """This machine can't do it; the text says why."""


class Disk:
    """`open` before the server starts, `close` after it ended."""

    def __init__(self, image: Path, mount_point: Path) -> None:
        self._image = image
        self._mount_point = mount_point

    def open(self) -> None:
        """Make and mount it. Raises `NoDisk`."""
        if os.geteuid() != 0:
            raise NoDisk("needs root")
        self._mount_point.mkdir(parents=True, exist_ok=True)
        with self._image.open("wb") as file:
            file.truncate(_SIZE_BYTES)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", str(self._image))
        self._mount()
        self._mount_point.chmod(0o711)

    def cut(self) -> None:
        """The power is gone: nothing reaches the disk any more."""
        descriptor = os.open(self._mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSH))
        finally:
            os.close(descriptor)

    def again(self) -> None:
        """The power is back; whoever wrote here must be dead."""
        self._unmount()
        self._mount()

    def fill(self) -> None:
        """Not a byte is left; what was written stays."""
        with (self._mount_point / _FILLER).open("wb") as file:
            end = 0
            for piece in _PIECES:
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), end, piece)
                        end += piece

    def free(self) -> None:
        """Somebody made room."""
        (self._mount_point / _FILLER).unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount; the image is the caller's to remove."""
        if os.path.ismount(self._mount_point):
            self._unmount()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self._mount_point))

    def _unmount(self) -> None:
        _run("umount", "-l", str(self._mount_point))


def _run(*argv: str) -> None:
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        raise NoDisk(f"{argv[0]}: {err}") from err
    if done.returncode != 0:
        raise NoDisk(f"{argv[0]}: {done.stderr.strip()[-200:]}")
