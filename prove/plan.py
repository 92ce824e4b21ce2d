"""Which fault comes when, from a seed alone. Pure.

Half of the faults are followed by silence: steady traffic hides what a last lost hint does.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

Deed = Literal["kill", "pause", "away", "choke", "power", "trap"]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """`victims` are hit at once and brought back after `for_s`; people wrote for `after_s` before.

    choke: paused for that long, then killed, so that what was sent to it is gone and nobody was told.
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
SERVERS = ("nats", "postgres")
EVERYTHING = (*PROCESSES, *SERVERS)


def faults(seed: int, *, is_kills_only: bool = False, has_power: bool = False) -> Iterator[Fault]:
    """Without end; every victim has its turn before one has it twice."""
    chance = random.Random(f"faults {seed}")
    number = 0
    while True:
        turns = _turns(is_kills_only=is_kills_only)
        if has_power and not is_kills_only:
            turns += [("power", victims) for victims in (("nats",), ("postgres",), SERVERS)] * 2
        chance.shuffle(turns)
        for deed, victims in turns:
            number += 1
            yield Fault(
                deed=deed,
                victims=victims,
                after_s=round(chance.uniform(1.0, 4.0), 2),
                for_s=_length(chance, deed, victims),
                is_silent=chance.random() < 0.5,
            )


def _turns(*, is_kills_only: bool) -> list[tuple[Deed, tuple[str, ...]]]:
    turns: list[tuple[Deed, tuple[str, ...]]] = [("kill", (name,)) for name in EVERYTHING]
    turns += [("kill", both) for both in _pairs()]
    turns.append(("kill", EVERYTHING))
    if not is_kills_only:
        turns += [("pause", (name,)) for name in EVERYTHING]
        turns += [("choke", (name,)) for name in ("nats", "postgres", "gateway-1", "store-1")]
        turns += [("away", ("postgres",)), ("away", ("nats",)), ("pause", ("nats", "postgres"))]
    return turns


def _pairs() -> Sequence[tuple[str, ...]]:
    """Both of a kind, so that no standby helps, and neighbours on the way of a message."""
    kinds = ("gateway", "store", "dispatcher", "presence")
    both = [(f"{kind}-1", f"{kind}-2") for kind in kinds]
    return [*both, ("nats", "store-1", "store-2"), ("postgres", "gateway-1")]


def _length(chance: random.Random, deed: Deed, victims: tuple[str, ...]) -> float:
    if deed == "pause":
        return round(chance.choice([0.5, 2, 6, 12]) * chance.uniform(0.8, 1.2), 2)
    if deed == "choke":
        return round(chance.uniform(2, 6), 2)
    if deed == "away":
        return round(chance.uniform(8, 20), 2)
    is_server = any(name in SERVERS for name in victims)
    return round(chance.uniform(0.2, 2.0), 2) if is_server else 0.0
