"""How many assignments an agent may have that no device of theirs has acknowledged. Pure: folded from the log alone.

The time from an assignment to its acknowledgement is the way of everything that may be slow: the store's commit, the
gateway, the network, the device. So an agent's pace follows the store's latency too: when it lags, acknowledgements
come late for everybody, and everybody is given less at once; none come without it, and handing out ends by itself.
"""

from __future__ import annotations

from services.dispatcher.decide.state import TEMPO, Agent
from shared.ids import Position

BRISK_NS = 2_000_000_000
"""Acknowledged within this, more may be given at once."""
SLOW_NS = 10_000_000_000
"""Acknowledged later than this, less."""
_MOST = 8 * TEMPO


def window_of(agent: Agent, burst: int) -> int:
    """How many the agent may have: `burst` at first, up to eight times that, one at the least."""
    return max(1, burst * agent.tempo // TEMPO)


def is_silent(agent: Agent) -> bool:
    """Whether a lease lapsed and nothing has been heard of the agent since: not asked before there is a sign of life."""
    return agent.received < agent.lapsed


def given(agent: Agent, position: Position, at_ns: int) -> None:
    """An assignment with a lease."""
    agent.flight[position] = at_ns


def acknowledge(agent: Agent, up_to: Position, at_ns: int) -> None:
    """A device holds everything up to there. Adds for each that was brisk, takes away for each that was slow."""
    agent.received = up_to
    for position in [each for each in agent.flight if each <= up_to]:
        took_ns = at_ns - agent.flight.pop(position)
        if took_ns <= BRISK_NS:
            agent.tempo = min(_MOST, agent.tempo + 1)
        elif took_ns > SLOW_NS:
            agent.tempo = max(1, agent.tempo - 1)


def lapse(agent: Agent, position: Position) -> None:
    """The lease of the assignment lapsed: half of it, and nothing more before a sign of life."""
    agent.tempo = max(1, agent.tempo // 2)
    agent.lapsed = max(agent.lapsed, position)


def revive(agent: Agent) -> None:
    """A device came, or the agent did something."""
    agent.lapsed = 0


def leave(agent: Agent) -> None:
    """The last device went: whoever comes back begins as at first."""
    agent.lapsed = 0
    agent.tempo = TEMPO
