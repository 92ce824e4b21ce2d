"""What devices were shown: every entry decoded as a client does it, acknowledged, and compared with what was to come."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

from bench.device import ENTRIES, Device, entries_of, heard_of
from bench.figures import Faults


class Screen:
    """One device's: the ids of messages in the order shown, where each stood, and when the last one came."""

    __slots__ = ("cursor", "ids", "is_current", "is_recovered", "position", "positions", "updated")

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.positions: list[int] = []
        self.position = 0
        self.cursor = ""
        self.updated = 0.0
        self.is_recovered = True
        self.is_current = False


class Screens:
    """Of many devices, by number. `hear` is their `on_frame`; `wanted` messages make one complete."""

    def __init__(self, count: int, *, wanted: int) -> None:
        self.of = [Screen() for _ in range(count)]
        self.wanted = wanted
        self.complete = 0
        self.messages = 0

    def hear(self, device: Device, payload: bytes) -> None:
        """Show what came and acknowledge it."""
        screen = self.of[device.number]
        if not payload.startswith(ENTRIES):
            if payload.startswith(b'{"op":"welcome"'):
                screen.is_recovered = heard_of(payload).recovered is True
            return
        frame = entries_of(payload)
        before = len(screen.ids)
        for entry in frame.entries:
            if entry.message is not None:
                screen.ids.append(entry.message.message_id)
                screen.positions.append(entry.position)
            for message in entry.messages:
                screen.ids.append(message.message_id)
                screen.positions.append(message.position)
            screen.position = entry.position
        screen.updated = time.perf_counter()
        screen.cursor = frame.cursor
        self.messages += len(screen.ids) - before
        if before < self.wanted <= len(screen.ids):
            self.complete += 1
        device.send(b'{"op":"received","up_to":%d}' % screen.position)

    def are_complete(self, count: int) -> bool:
        """Whether so many devices have been shown what they were to be shown."""
        return self.complete >= count

    def faults(self, expected: Sequence[Sequence[str]]) -> Faults:
        """Against what each device was to be shown, in that order."""
        found = Faults()
        for screen, wanted in zip(self.of, expected, strict=True):
            found = found.plus(compare(screen.ids, wanted))
        return found


def compare(shown: Sequence[str], wanted: Sequence[str]) -> Faults:
    """What is missing, what came twice or never was written, what came before what it follows."""
    unique = set(shown)
    lost = len(set(wanted) - unique)
    doubled = len(shown) - len(unique) + len(unique - set(wanted))
    first_seen = list(dict.fromkeys(shown))
    order = {message_id: number for number, message_id in enumerate(wanted)}
    numbers = [order[message_id] for message_id in first_seen if message_id in order]
    disordered = sum(a > b for a, b in itertools.pairwise(numbers))
    return Faults(lost=lost, doubled=doubled, disordered=disordered)
