"""What clients tried, were told and were shown, written down by the clients themselves. Append-only."""

from __future__ import annotations

import time

import msgspec


class Said(msgspec.Struct, kw_only=True):
    """A message that somebody wanted to send. `told_s`: when "sent" came; `refused`: the code of a definite no.

    Neither of both: nobody knows yet. `number` counts the messages of this sender in this conversation. `house`: whose
    account it is.
    """

    message_id: str
    conversation_id: str
    sender: str
    text: str
    number: int
    began_s: float
    told_s: float = 0.0
    position: int = 0
    refused: str = ""
    house: str = ""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it appeared on a screen. `life` counts the starts of the application on that device;
    `is_history`: it came with an assignment or a reload."""

    message_id: str
    conversation_id: str
    position: int
    seq: int
    text: str
    author: str
    life: int
    is_history: bool
    at_s: float


class Ring(msgspec.Struct, frozen=True, kw_only=True):
    """A device made itself heard for what stands at `position`; `at_s` by the clock of the log."""

    position: int
    at_s: float


class Screen(msgspec.Struct, kw_only=True):
    """One device: everything it ever showed, and which conversations it believes to hold (agents only). `gaps`: entries
    that came without the one before. `rings`: when it made itself heard."""

    name: str
    owner: str
    kind: str
    shown: list[Shown] = []
    ids: set[str] = set()
    held: dict[str, int] = {}
    life: int = 0
    reset_in: int = 0
    gaps: int = 0
    is_open: bool = False
    ended: str = ""
    house: str = ""
    rings: list[Ring] = []


class Diary(msgspec.Struct, kw_only=True):
    """Everything that one run has to go by."""

    said: dict[str, Said] = {}
    screens: list[Screen] = []
    contacts: dict[str, str] = {}
    """Conversation to the contact who began it."""
    pried: list[str] = []
    """What somebody of another account was given who asked for it."""

    def accepted(self) -> list[Said]:
        """What clients were told to be sent."""
        return [said for said in list(self.said.values()) if said.told_s]

    def unknown(self) -> list[Said]:
        """What has no outcome yet."""
        return [s for s in list(self.said.values()) if not s.told_s and not s.refused]


def now_s() -> float:
    """The harness's clock."""
    return time.monotonic()
