"""Reads transcripts: JSON lines `{"conversation", "topic", "turns": [{"from": "visitor"|"agent", "text"}]}`, or .gz."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Literal

import msgspec

from shared.errors import Refused

LONGEST_TEXT = 8_000


class Turn(msgspec.Struct, frozen=True):
    """Something one side wrote."""

    side: Literal["visitor", "agent"] = msgspec.field(name="from")
    text: str = ""


class Transcript(msgspec.Struct, frozen=True):
    """A conversation as it happened elsewhere."""

    conversation: str
    turns: list[Turn]
    topic: str = ""

    @property
    def language(self) -> str:
        """zh when anything in it is written in Chinese characters, else en."""
        return "zh" if any("一" <= x <= "鿿" for turn in self.turns for x in turn.text) else "en"


def load(path: Path, *, limit: int = 0) -> list[Transcript]:
    """Every transcript with at least one visitor's turn. Raises `Refused` with the number of a bad line."""
    try:
        lines = _read(path).splitlines()
    except (OSError, EOFError) as err:
        raise Refused(f"{path.name} can't be read: {err}") from err
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            found.append(_parse(line, f"{path.name}, line {number}"))
    playable = [x for x in found if any(turn.side == "visitor" for turn in x.turns)]
    if not playable:
        raise Refused(f"{path.name} holds no conversation in which a visitor writes")
    return playable[:limit] if limit else playable


def _read(path: Path) -> bytes:
    raw = path.read_bytes()
    return gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw


def _parse(line: bytes, where: str) -> Transcript:
    try:
        transcript = msgspec.json.decode(line, type=Transcript)
    except msgspec.DecodeError as err:
        raise Refused(f"{where}: {err}") from err
    # Nobody can send an empty message, so a transcript that has one goes without it.
    turns = [x for x in transcript.turns if x.text.strip()]
    if any(len(x.text) > LONGEST_TEXT for x in turns):
        raise Refused(f"{where}: a turn is longer than {LONGEST_TEXT} characters")
    return msgspec.structs.replace(transcript, turns=turns)
