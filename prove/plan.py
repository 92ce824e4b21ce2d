"""Which fault comes when, from a seed alone. Pure.

Half of the faults are followed by silence: steady traffic hides what a last lost hint does.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal

import msgspec

Deed = Literal[
    "kill", "pause", "away", "choke", "power", "trap", "part", "fill", "clock", "deaf", "asleep"
]


Pair = tuple[str, str]
_MOST_NAMED = 4


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """`victims` are hit at once and brought back after `for_s`; people wrote for `after_s` before.

    choke: the first is paused for that long, then all are killed, so that what was sent to it is gone and nobody
    was told.
    power: their disks forget what was not synced, and they die.
    trap: they are started again with a crash point set (`traps`: point and pass, by victim) and die at it by themselves.
    part: nothing that the first of each pair sends reaches the second.
    fill: their disks are full; then there is room again and they are started anew, as somebody on call would.
    clock: their clocks are `by_s` ahead, then right again.
    deaf: that many devices connect and never read what they are sent, or hardly.
    asleep: every agent's desk is switched off in the midst of what visitors write, then nobody writes any more.
    """

    deed: Deed
    victims: tuple[str, ...]
    after_s: float
    for_s: float
    is_silent: bool
    traps: dict[str, str] = {}
    pairs: tuple[Pair, ...] = ()
    by_s: float = 0.0

    @property
    def name(self) -> str:
        """For people."""
        lasting = f" for {self.for_s:.1f} s" if self.for_s else ""
        silence = ", then silence" if self.is_silent else ""
        if self.traps:
            places = sorted({f"{who.split('-')[0]} at {at}" for who, at in self.traps.items()})
            return f"trap {' '.join(places)}{silence}"
        if self.pairs:
            ways = " ".join(f"{one}>{other}" for one, other in self.pairs[:_MOST_NAMED])
            more = " and more" if len(self.pairs) > _MOST_NAMED else ""
            return f"part {ways}{more}{lasting}{silence}"
        by = f" by {self.by_s:+.0f} s" if self.by_s else ""
        return f"{self.deed} {' '.join(self.victims)}{by}{lasting}{silence}"


KINDS = ("gateway", "store", "dispatcher", "presence")
PROCESSES = tuple(f"{kind}-{number}" for kind in KINDS for number in (1, 2))
ONE = ("nats",)
THREE = ("nats-1", "nats-2", "nats-3")
PEOPLE = "people"
DEAF_DEVICES = 30
MINUTE_S = 60.0
ASLEEP_S = 3.0
"""Shorter than the lock waits for its holder: whoever writes in time is told to nobody before it has moved."""
_JUMPS = (90.0, -90.0, 600.0, -600.0, 86_400.0, -86_400.0)
_CUTS_A_ROUND = 4
_ROUND = 60
"""Each sort of fault has come within so many."""


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """What can be done where the run takes place. `nats`: the names of the log's servers."""

    nats: tuple[str, ...] = ONE
    is_kills_only: bool = False
    has_power: bool = False
    has_network: bool = False

    @property
    def servers(self) -> tuple[str, ...]:
        """Of the log and of the tables."""
        return (*self.nats, "postgres")


Turn = tuple[Deed, tuple[str, ...]]


def faults(seed: int, extent: Extent) -> Iterator[Fault]:
    """Without end; every victim has its turn before one has it twice, and every sort of fault before any comes again:
    a run of ten minutes is shorter than a round."""
    chance = random.Random(f"faults {seed}")
    while True:
        turns = [_turn(chance, deed, victims, extent) for deed, victims in _kills(extent)]
        if not extent.is_kills_only:
            turns += [_turn(chance, *other, extent) for other in _others(chance, extent)]
            turns += _jumps(chance)
        if extent.has_network:
            turns += _cuts(chance, extent)
        chance.shuffle(turns)
        first = list(_of_each_sort(turns).values())
        yield from first
        yield from (turn for turn in turns if not any(turn is other for other in first))


def left_out(seed: int, extent: Extent, count: int) -> list[str]:
    """The sorts of faults that did not have their turn among the first `count`."""
    whole = list(islice(faults(seed, extent), _ROUND))
    done = _of_each_sort(whole[:count])
    return [fault.name for sort, fault in _of_each_sort(whole).items() if sort not in done]


Sort = tuple[Deed, frozenset[str], int]


def _of_each_sort(turns: Sequence[Fault]) -> dict[Sort, Fault]:
    """The first of each."""
    found: dict[Sort, Fault] = {}
    for turn in turns:
        found.setdefault(_sort(turn), turn)
    return found


def _sort(fault: Fault) -> Sort:
    """What is done, to which kinds of processes, to how many; of a cut, who no longer reaches whom in how many ways."""
    if fault.pairs:
        sides = frozenset(_side(name) for pair in fault.pairs for name in pair)
        return fault.deed, sides, min(len(fault.pairs), 3)
    kinds = frozenset(name.partition("-")[0] for name in fault.victims)
    return fault.deed, kinds, len(fault.victims)


def _side(name: str) -> str:
    return "service" if name in PROCESSES else "people" if name == PEOPLE else "server"


def _turn(chance: random.Random, deed: Deed, victims: tuple[str, ...], extent: Extent) -> Fault:
    return Fault(
        deed=deed,
        victims=victims,
        after_s=_calm(chance),
        for_s=_length(chance, deed, victims, extent),
        is_silent=chance.random() < 0.5 or deed == "asleep",
    )


def _calm(chance: random.Random) -> float:
    return round(chance.uniform(1.0, 4.0), 2)


def _kills(extent: Extent) -> Iterator[Turn]:
    """Each alone; both of a kind, so that no standby helps; neighbours on the way of a message; everything."""
    for name in (*PROCESSES, *extent.servers):
        yield "kill", (name,)
    for kind in KINDS:
        yield "kill", (f"{kind}-1", f"{kind}-2")
    yield "kill", (*extent.nats, "store-1", "store-2")
    yield "kill", ("postgres", "gateway-1")
    yield "kill", (*PROCESSES, *extent.servers)
    if len(extent.nats) > 1:
        yield "kill", extent.nats
        yield "kill", extent.nats[:2]


def _others(chance: random.Random, extent: Extent) -> Iterator[Turn]:
    for name in (*PROCESSES, *extent.servers):
        yield "pause", (name,)
    for name in (*extent.servers, "gateway-1", "store-1"):
        yield "choke", (name,)
    yield "choke", (extent.nats[0], "gateway-1", "gateway-2")
    yield "away", ("postgres",)
    yield "away", extent.nats
    yield "pause", extent.servers
    yield "deaf", ()
    yield "asleep", ()
    if extent.has_power:
        for victims in (*((name,) for name in extent.servers), extent.nats, extent.servers):
            yield "power", victims
        yield "fill", (chance.choice(extent.nats),)
        yield "fill", ("postgres",)


def _jumps(chance: random.Random) -> Iterator[Fault]:
    """One process of a kind alone, so that the two differ; then all at once."""
    alone = tuple((f"{kind}-{chance.choice((1, 2))}",) for kind in ("gateway", "dispatcher"))
    for victims in (*alone, PROCESSES):
        yield Fault(
            deed="clock",
            victims=victims,
            after_s=_calm(chance),
            for_s=round(chance.uniform(4, 10), 2),
            is_silent=chance.random() < 0.5,
            by_s=chance.choice(_JUMPS),
        )


def _cuts(chance: random.Random, extent: Extent) -> Iterator[Fault]:
    """Each pair of the log's servers, one of them from all others, one direction alone; services and people from
    servers and gateways."""
    nodes = extent.nats
    pairs = [(one, other) for n, one in enumerate(nodes) for other in nodes[n + 1 :]]
    lonely = chance.choice(nodes)
    everybody = (*nodes, "postgres", *PROCESSES)
    ways = [_both(pair) for pair in pairs]
    ways.append([chance.choice(pairs)])
    ways.append([way for name in everybody if name != lonely for way in _both((lonely, name))])
    ways.append(_both(("postgres", chance.choice(("store-1", "store-2")))))
    ways.append(_both((PEOPLE, chance.choice(("gateway-1", "gateway-2")))))
    meetings = [(name, server) for name in PROCESSES for server in extent.servers]
    ways += [_both(pair) for pair in chance.sample(meetings, _CUTS_A_ROUND)]
    for way in ways:
        yield Fault(
            deed="part",
            victims=(),
            after_s=_calm(chance),
            for_s=round(chance.uniform(3, 12), 2),
            is_silent=chance.random() < 0.5,
            pairs=tuple(way),
        )


def _both(pair: Pair) -> list[Pair]:
    one, other = pair
    return [pair, (other, one)]


def _length(chance: random.Random, deed: Deed, victims: tuple[str, ...], extent: Extent) -> float:
    match deed:
        case "pause":
            return round(chance.choice([0.5, 2, 6, 12]) * chance.uniform(0.8, 1.2), 2)
        case "choke":
            return round(chance.uniform(2, 6), 2)
        case "away" if victims == ("postgres",):
            return MINUTE_S
        case "away" | "deaf":
            return round(chance.uniform(8, 20), 2)
        case "asleep":
            return ASLEEP_S
        case "fill":
            return round(chance.uniform(4, 10), 2)
        case _:
            is_server = any(name in extent.servers for name in victims)
            return round(chance.uniform(0.2, 2.0), 2) if is_server else 0.0
