"""Why nobody has a conversation that waits, in words. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from services.gateway.rest.names import Names
from shared.explaining import Standing, Verdict
from shared.ids import AgentId

_KINDS = {
    "offline": "away",
    "not_available": "away",
    "outside_hours": "closed",
    "at_capacity": "busy",
    "channel_full": "busy",
    "pace": "pace",
    "silent": "silent",
    "lease_failed": "lapsed",
    "gave_back": "gave_back",
}
"""Rules that a supervisor does the same about are one kind."""
_WORDS = {
    "busy": ("is busy", "are busy"),
    "away": ("is away", "are away"),
    "closed": ("is not asked outside the hours", "are not asked outside the hours"),
    "pace": (
        "has yet to acknowledge what was given last",
        "have yet to acknowledge what was given last",
    ),
    "silent": (
        "did not acknowledge in time what was given last and has given no sign of life since",
        "did not acknowledge in time what was given last and have given no sign of life since",
    ),
    "lapsed": ("left it lying a moment ago", "left it lying a moment ago"),
    "gave_back": ("gave it back a moment ago", "gave it back a moment ago"),
}
"""For one, and for more; in the order in which they are told."""
_KEPT = {
    "pace": "who has yet to acknowledge what was given last",
    "silent": "who did not acknowledge in time what was given last",
}


def obstacle(told: Standing, names: Names) -> str:
    """The worst obstacle first, because the others would not help."""
    rules = [each.rule for each in told.verdicts]
    inside = [each for each in told.verdicts if each.rule != "not_in_team"]
    able = [each for each in inside if each.rule != "missing_skill"]
    if told.strategy == "manual":
        return " Agents claim by themselves here; nobody is picked."
    if told.kept_for is not None:
        return f" It is kept for {names.agent(told.kept_for)}, whom the visitor knows and {_kept(told, told.kept_for)}."
    if not rules or "" in rules:
        return " It is its turn." if told.place == 1 else f" It is number {told.place} in the line."
    if not inside:
        return f" Nobody can take it: {names.team(told.team_id)} has no members."
    if not able:
        wanted = _missed(inside)
        return f" Nobody can take it: no one of {names.team(told.team_id)} has {wanted}."
    if all(each.rule == "outside_hours" for each in able):
        return " " + sentence(f"{names.team(told.team_id)} is closed.")
    return f" {_hindered(able)}. It is number {told.place} in the line."


def sentence(text: str) -> str:
    """The text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def _kept(told: Standing, agent_id: AgentId) -> str:
    rules = {each.agent_id: each.rule for each in told.verdicts}
    return _KEPT.get(rules.get(agent_id, ""), "who is busy")


def _hindered(able: Sequence[Verdict]) -> str:
    """What keeps those who could take it."""
    kinds = Counter(_KINDS.get(each.rule, "busy") for each in able)
    found = [(kind, kinds[kind]) for kind in _WORDS if kinds[kind]]
    if len(found) == 1:
        one, more = _WORDS[found[0][0]]
        who = {1: f"The only one who could take it {one}", 2: f"Both who could take it {more}"}
        return who.get(len(able), f"All {len(able)} who could take it {more}")
    parts = [f"{n} {_WORDS[kind][n > 1]}" for kind, n in found]
    return f"Of {len(able)} who could take it, {', '.join(parts[:-1])} and {parts[-1]}"


def _missed(inside: Sequence[Verdict]) -> str:
    """What nobody has; where each skill is somebody's, but never all of them, all that any lacks."""
    lacks = [{(skill, wanted) for skill, wanted, _ in each.lacking} for each in inside]
    common = set.intersection(*lacks)
    text = " and ".join(f"{s} at level {n}" for s, n in sorted(common or set.union(*lacks)))
    return text if common else f"all of {text}"
