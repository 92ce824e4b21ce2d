"""A paused process stands still, whole, before anybody relies on it."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

from deploy.dev.process import ChildProcess, ProcessSpec, wait_until

_THREADS = 8
# Each thread counts for itself; while it hashes it holds no lock, so they all run at once.
_COUNTERS = f"""
import hashlib, mmap, sys, threading

with open(sys.argv[1], "r+b") as file:
    counts = mmap.mmap(file.fileno(), 0)
block = b"x" * 65536

def count(place):
    number = 0
    while True:
        hashlib.sha256(block)
        number += 1
        counts[place : place + 8] = number.to_bytes(8, "little")

for thread in range({_THREADS}):
    threading.Thread(target=count, args=(8 * thread,)).start()
"""


def test_no_thread_goes_on_once_a_process_is_paused(tmp_path: Path) -> None:
    """SIGSTOP alone returns while threads still run: what they answer then is no answer of a paused process."""
    place = tmp_path / "counts"
    place.write_bytes(bytes(8 * _THREADS))
    argv = [sys.executable, "-c", _COUNTERS, str(place)]
    spec = ProcessSpec(name="counters", argv=argv, log=tmp_path / "log", env=os.environ)
    process = ChildProcess.start(spec)
    try:
        assert wait_until(lambda: all(_counts(place)), timeout_s=30)
        for _ in range(20):
            process.pause()
            assert not _counts_on(place, timeout_s=0.005)
            process.resume()
            assert _counts_on(place, timeout_s=30)
    finally:
        process.kill()


def _counts(place: Path) -> tuple[int, ...]:
    return struct.unpack(f"<{_THREADS}Q", place.read_bytes())


def _counts_on(place: Path, *, timeout_s: float) -> bool:
    before = _counts(place)
    return wait_until(lambda: _counts(place) != before, timeout_s=timeout_s)
