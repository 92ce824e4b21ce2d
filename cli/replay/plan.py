"""Who does what in a run: pure, and drawn from a seed, so that a run can be repeated."""

from __future__ import annotations

from random import Random

import msgspec

from cli.replay.transcripts import Transcript, Turn

_SECOND_DEVICE = 0.25
_CUT = 0.2
_REPEAT = 0.15
_LEAVE = 0.4
_NIGHT_TURNS = (2, 4)


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """A turn and how it is done. `device` 0 or 1; `is_cut`: the connection dies between the message and its
    confirmation; `is_repeated`: the confirmed message is posted once more; `is_leaving`: the visitor goes away
    after writing."""

    turn: Turn
    device: int = 0
    is_cut: bool = False
    is_repeated: bool = False
    is_leaving: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What happens in one conversation: at night the visitor's first turns, by day the rest in its order."""

    devices: int
    night: list[Act]
    day: list[Act]

    @property
    def acts(self) -> int:
        """How many messages there will be."""
        return len(self.night) + len(self.day)


def draw(transcript: Transcript, chance: Random) -> Plan:
    """A plan for a transcript. Every turn is played once; the visitor's and the agent's each keep their order."""
    devices = 2 if chance.random() < _SECOND_DEVICE else 1
    wanted = chance.randint(*_NIGHT_TURNS)
    night: list[Act] = []
    day: list[Act] = []
    for turn in transcript.turns:
        if turn.side == "agent":
            day.append(Act(turn=turn, is_cut=chance.random() < _CUT / 4))
            continue
        act = Act(
            turn=turn,
            device=chance.randrange(devices),
            is_cut=chance.random() < _CUT,
            is_repeated=chance.random() < _REPEAT,
            is_leaving=chance.random() < _LEAVE,
        )
        (night if len(night) < wanted else day).append(act)
    return Plan(devices=devices, night=night, day=day)
