"""Crash points: kills each kind of process at each of its named points, several times, and judges after every one.

The names are read from the sources, so a new point is tried without being listed anywhere.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
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
_NOT_ITS_OWN = {
    # It opens the log by itself, of the shared part it takes `ensure_log` only.
    "gateway": ("opening.connect", "opening.sync"),
    # Who reads the whole log sees its end by the positions.
    "store": ("cursor.info",),
    "dispatcher": ("cursor.info",),
}
_NOT_HERE = {
    "opening.remember": "only the first process of all comes by, see tests/integration/dispatcher",
    "following.connect": "no log is purged here, see tests/integration/dispatcher",
    "following.read": "no log is purged here, see tests/integration/dispatcher",
    "gateway.account.read": "no log is purged here, and it writes nothing, see tests/integration/dispatcher",
}
"""Points that no campaign comes by, with the reason and where they are tried instead."""
_PASSES = (1, 2, 5)
_TRIES = 4
"""So often a point is tried before another that has died is tried again; each time nobody came by, the wait is longer."""
_FROZEN = 0.4
_WAIT_S = 12.0


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of process and one of its points."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} at {self.name}"

    @property
    def mark(self) -> str:
        """As the site notes it."""
        return f"{self.kind} {self.name}"


def points(only: str = "") -> Iterator[Point]:
    """All that a process of the kind can come by in a campaign. `only`: kinds, beginnings of names, or both with a space
    between, separated by commas."""
    parts = [part.strip() for part in only.split(",") if part.strip()]
    for point in _all():
        if not parts or any(_is_part(point, part) for part in parts):
            yield point


def _is_part(point: Point, part: str) -> bool:
    return point.kind == part or f"{point.name}.".startswith(f"{part}.") or point.mark == part


def _all() -> Iterator[Point]:
    for kind, places in _OWN.items():
        names = {name for place in places for file in _files(place) for name in _names(file)}
        for name in sorted(names.difference(_NOT_HERE, _NOT_ITS_OWN.get(kind, ()))):
            yield Point(kind=kind, name=name)


class _Kind:
    """The points of one kind of process, those first at which none has died."""

    def __init__(
        self, name: str, chance: random.Random, sprung: Collection[str], *, only: str
    ) -> None:
        self.name = name
        self._chance = chance
        self._sprung = sprung
        self._tries: Counter[Point] = Counter()
        self._waiting = [point for point in points(only) if point.kind == name]
        chance.shuffle(self._waiting)

    @property
    def is_wanted(self) -> bool:
        """Whether any of its points is."""
        return bool(self._waiting)

    def pair(self, *, is_frozen: bool) -> tuple[Point, ...]:
        """What the two processes die at: each at another point as long as some are new, then both at the same, so that
        no standby helps; the one that leads alone, if it is to freeze."""
        first = self._next()
        if is_frozen:
            return (first,)
        return (first, self._next() if first.mark not in self._sprung else first)

    def _next(self) -> Point:
        """It has its next turn after all others."""
        new = (p for p in self._waiting if p.mark not in self._sprung and self._tries[p] < _TRIES)
        point = next(new, self._waiting[0])
        self._waiting.remove(point)
        self._waiting.append(point)
        self._tries[point] += 1
        return point

    def trap(self, point: Point, *, is_frozen: bool) -> str:
        """As the process is told. Whoever came by too seldom is caught the first time."""
        is_rare = self._tries[point] > 1 and point.mark not in self._sprung
        is_once = is_rare or any(part in point.name for part in _ONCE)
        passes = 1 if is_once else self._chance.choice(_PASSES)
        return f"{point.name}:{passes}" + (":stop" if is_frozen else "")

    def wait_s(self, taken: Sequence[Point]) -> float:
        """Nobody waits for what has died already."""
        new = [self._tries[point] for point in taken if point.mark not in self._sprung]
        return _WAIT_S * max(new, default=1)


def traps(seed: int, sprung: Collection[str], *, only: str = "") -> Iterator[Fault]:
    """Without end, and none when there is no such point: a point of each kind of process at a time, or two, at some pass
    of it. `sprung`: the marks of points at which one has died, as of now. `only`: as for `points`.

    Either both processes of a kind die there, or the one that leads freezes there until the other has taken over.
    """
    chance = random.Random(f"traps {seed}")
    kinds = [_Kind(name, chance, sprung, only=only) for name in _OWN]
    kinds = [kind for kind in kinds if kind.is_wanted]
    while kinds:
        is_frozen = chance.random() < _FROZEN
        where: dict[str, str] = {}
        wait_s = _WAIT_S
        for kind in kinds:
            taken = kind.pair(is_frozen=is_frozen)
            wait_s = max(wait_s, kind.wait_s(taken))
            for number, point in enumerate(taken, start=1):
                where[f"{kind.name}-{number}"] = kind.trap(point, is_frozen=is_frozen)
        yield Fault(
            deed="trap",
            victims=tuple(f"{kind.name}-{number}" for kind in kinds for number in (1, 2)),
            after_s=1.0,
            for_s=wait_s,
            is_silent=True,
            traps=where,
        )


def never_reached(sprung: Collection[str], *, only: str = "") -> list[str]:
    """Points at which nothing died: nobody came by often enough, or nobody can, or nobody was asked to."""
    wanted = [point for point in points(only) if point.mark not in sprung]
    passed_by = [f"crash of {point}: it was not passed" for point in wanted]
    left_out = len(list(points())) - len(list(points(only)))
    if left_out:
        passed_by.append(f"crashes at {left_out} points that were not asked for")
    return [*passed_by, *(f"crash at {name}: {why}" for name, why in _NOT_HERE.items())]


def _files(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))


def _names(file: Path) -> list[str]:
    return _CALL.findall(file.read_text(encoding="utf-8"))
