"""Crash points: kills each kind of process at each of its named points, several times, and judges after every one.

The names are read from the sources, so a new point is tried without being listed anywhere.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from deploy.dev.run_directory import ROOT
from prove.plan import Fault

_CALL = re.compile(r'crashpoint\(\s*"([a-z_.]+)"\s*\)')
_READING = ("shared/bus/reader.py", "shared/bus/cursor.py", "shared/opening.py")
_FOLDING = ("shared/fenced.py", "shared/snapshot.py", "shared/following.py")
_ONCE = (".start.", "opening.", "snapshot.connect")
"""Passed once in the life of a process."""
_OWN = {
    "gateway": ("services/gateway", "shared/bus", "shared/opening.py"),
    "store": ("services/store", *_READING),
    "dispatcher": ("services/dispatcher", *_READING, *_FOLDING),
    "presence": ("services/presence", *_READING, *_FOLDING),
}
_PASSES = (1, 2, 5)
_FROZEN = 0.4
_WAIT_S = 12.0


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of process and one of its points."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} at {self.name}"


def points() -> Iterator[Point]:
    """All of them."""
    for kind, places in _OWN.items():
        names = {name for place in places for file in _files(place) for name in _names(file)}
        for name in sorted(names):
            yield Point(kind=kind, name=name)


def traps(seed: int) -> Iterator[Fault]:
    """One round over all points: a point of each kind at a time, at some pass of it.

    Either both processes of a kind die there, or the one that leads freezes there until the other has taken over.
    """
    chance = random.Random(f"traps {seed}")
    by_kind: dict[str, list[Point]] = {kind: [] for kind in _OWN}
    for point in points():
        by_kind[point.kind].append(point)
    for waiting in by_kind.values():
        chance.shuffle(waiting)
    while any(by_kind.values()):
        taken = [waiting.pop() for waiting in by_kind.values() if waiting]
        is_frozen = chance.random() < _FROZEN
        where = {
            f"{point.kind}-{number}": _trap(chance, point, is_frozen=is_frozen)
            for point in taken
            for number in ((1,) if is_frozen else (1, 2))
        }
        yield Fault(
            deed="trap",
            victims=tuple(f"{point.kind}-{number}" for point in taken for number in (1, 2)),
            after_s=1.0,
            for_s=_WAIT_S,
            is_silent=True,
            traps=where,
        )


def _trap(chance: random.Random, point: Point, *, is_frozen: bool) -> str:
    passes = 1 if any(part in point.name for part in _ONCE) else chance.choice(_PASSES)
    return f"{point.name}:{passes}" + (":stop" if is_frozen else "")


def never_reached(sprung: Collection[str]) -> list[str]:
    """Points at which nothing died: nobody came by often enough."""
    wanted = [point for point in points() if f"{point.kind} {point.name}" not in sprung]
    return [f"crash of {point}: it was not passed" for point in wanted]


def _files(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))


def _names(file: Path) -> list[str]:
    return _CALL.findall(file.read_text(encoding="utf-8"))
