"""Which fault comes when, from a seed alone. Pure.

Half of the faults are followed by silence: steady traffic hides what a last lost hint does.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Literal

import msgspec

Deed = Literal["kill", "pause", "away", "choke", "power", "trap"]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """`victims` are hit at once and brought back after `for_s`; people wrote for `after_s` before.

    choke: the first is paused for that long, then all are killed, so that what was sent to it is gone and nobody
    was told.
    power: their disks forget what was not synced, and they die.
    trap: they are started again with a crash point set (`traps`: point and pass, by victim) and die at it by themselves.
    """

    deed: Deed
    victims: tuple[str, ...]
    after_s: float
    for_s: float
    is_silent: bool
    traps: dict[str, str] = {}

    @property
    def name(self) -> str:
        """For people."""
        lasting = f" for {self.for_s:.1f} s" if self.for_s else ""
        silence = ", then silence" if self.is_silent else ""
        if self.traps:
            places = sorted({f"{who.split('-')[0]} at {at}" for who, at in self.traps.items()})
            return f"trap {' '.join(places)}{silence}"
        return f"{self.deed} {' '.join(self.victims)}{lasting}{silence}"


PROCESSES = tuple(
    f"{kind}-{number}"
    for kind in ("gateway", "store", "dispatcher", "presence")
    for number in (1, 2)
)
ONE = ("nats",)
THREE = ("nats-1", "nats-2", "nats-3")


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """What can be done where the run takes place. `nats`: the names of the log's servers."""

    nats: tuple[str, ...] = ONE
    is_kills_only: bool = False
    has_power: bool = False

    @property
    def servers(self) -> tuple[str, ...]:
        """Of the log and of the tables."""
        return (*self.nats, "postgres")


Turn = tuple[Deed, tuple[str, ...]]


def faults(seed: int, extent: Extent) -> Iterator[Fault]:
    """Without end; every victim has its turn before one has it twice."""
    chance = random.Random(f"faults {seed}")
    while True:
        turns = [*_kills(extent)]
        if not extent.is_kills_only:
            turns += _others(extent)
        chance.shuffle(turns)
        for deed, victims in turns:
            yield Fault(
                deed=deed,
                victims=victims,
                after_s=round(chance.uniform(1.0, 4.0), 2),
                for_s=_length(chance, deed, victims, extent),
                is_silent=chance.random() < 0.5,
            )


def _kills(extent: Extent) -> Iterator[Turn]:
    """Each alone; both of a kind, so that no standby helps; neighbours on the way of a message; everything."""
    for name in (*PROCESSES, *extent.servers):
        yield "kill", (name,)
    for kind in ("gateway", "store", "dispatcher", "presence"):
        yield "kill", (f"{kind}-1", f"{kind}-2")
    yield "kill", (*extent.nats, "store-1", "store-2")
    yield "kill", ("postgres", "gateway-1")
    yield "kill", (*PROCESSES, *extent.servers)
    if len(extent.nats) > 1:
        yield "kill", extent.nats
        yield "kill", extent.nats[:2]


def _others(extent: Extent) -> Iterator[Turn]:
    for name in (*PROCESSES, *extent.servers):
        yield "pause", (name,)
    for name in (*extent.servers, "gateway-1", "store-1"):
        yield "choke", (name,)
    yield "choke", (extent.nats[0], "gateway-1", "gateway-2")
    yield "away", ("postgres",)
    yield "away", extent.nats
    yield "pause", extent.servers
    if extent.has_power:
        for victims in (*((name,) for name in extent.servers), extent.nats, extent.servers):
            yield "power", victims


def _length(chance: random.Random, deed: Deed, victims: tuple[str, ...], extent: Extent) -> float:
    if deed == "pause":
        return round(chance.choice([0.5, 2, 6, 12]) * chance.uniform(0.8, 1.2), 2)
    if deed == "choke":
        return round(chance.uniform(2, 6), 2)
    if deed == "away":
        return round(chance.uniform(8, 20), 2)
    is_server = any(name in extent.servers for name in victims)
    return round(chance.uniform(0.2, 2.0), 2) if is_server else 0.0
