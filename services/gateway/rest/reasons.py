"""Why, in words: what a dispatcher says in codes becomes sentences that a support manager can read. Pure; names are
filled in here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway.rest.names import Names
from services.gateway.rest.obstacles import obstacle, sentence
from services.gateway.views import at_or_none
from shared.events import Explanation
from shared.explaining import Need, Next, Recalled, Standing, Verdict
from shared.queries import ConversationRow
from shared.wire.stories import CandidateView, NeedView, NextStep

WHY = {
    "queue": "it was this conversation's turn",
    "claimed": "the agent claimed it",
    "requested": "somebody asked for it",
    "answered": "the agent answered it while nobody held it",
    "lease_lapsed": "no device of the agent acknowledged it in time",
    "agent_offline": "the agent was offline for too long",
    "agent_removed": "the agent was removed",
    "reopened": "it was opened again",
    "waiting": "nobody could take it",
    "deadline": "the answer was overdue",
    "fallback": "it had waited long enough to ask another team",
    "team_removed": "the team that it waited for was removed",
}
_RULES = {
    "not_in_team": "is not in the team",
    "missing_skill": "lacks a skill",
    "outside_hours": "is not asked outside the hours of the inbox",
    "offline": "is not connected",
    "not_available": "is connected, but not available",
    "at_capacity": "is at capacity",
    "pace": "has not acknowledged what was given last",
    "silent": "did not acknowledge in time and has given no sign of life since",
    "channel_full": "takes no more of this channel",
    "manual": "is not picked: agents claim by themselves here",
    "lease_failed": "left it lying a moment ago",
    "gave_back": "gave it back a moment ago",
}
_SHORT = {
    "not_in_team": "not in the team",
    "missing_skill": "without a skill that it needs",
    "outside_hours": "not asked outside the hours",
    "offline": "not connected",
    "not_available": "not available",
    "at_capacity": "at capacity",
    "pace": "with assignments not acknowledged yet",
    "silent": "who did not acknowledge in time and gave no sign of life since",
    "channel_full": "with no more room for this channel",
    "lease_failed": "who left it lying a moment ago",
    "gave_back": "who gave it back a moment ago",
}
_PARTS = {
    "previous_agent": "the visitor knows the other",
    "skill_level": "skill levels",
    "team_priority": "priority in the team",
    "load": "load",
    "last_assigned": "whose turn it is",
    "idle_since": "longest without work",
}
_NOTES = {
    "exact": "Made again from the log; winner, runners-up and counts come out as recorded.",
    "differs": "Made again it would come out otherwise, because the settings or the release are others"
    " by now. What was recorded stands.",
    "no_choice": "Nobody was compared.",
    "too_much": "Too old to be made again in time: too much lies in the log before it. What was"
    " recorded stands.",
    "not_found": "There is no such decision about this conversation.",
    "unavailable": "It can't be made again just now. What was recorded stands.",
}


def note_of(recalled: Recalled) -> str:
    """How far the list of candidates can be relied on."""
    return _NOTES[recalled.outcome]


def needs(found: Sequence[Need]) -> list[NeedView]:
    """What is asked for, and because of what."""
    because = {
        "inbox": "the inbox asks for it",
        "language": "it is written in this language",
        "condition": "a rule of the policy asks for it, because of the page or of what is known of the visitor",
    }
    return [
        NeedView(
            skill=each.skill,
            level=each.level,
            because=because.get(each.by, f"rule {each.rule + 1} of the policy asks for it"),
        )
        for each in found
    ]


def candidates(
    found: Sequence[Verdict], names: Names, *, winner: str | None = None
) -> list[CandidateView]:
    """Every agent with their verdict; `winner` is who was picked from them."""
    views = []
    ahead: Verdict | None = None
    for place, each in enumerate(found, start=1):
        text = _verdict(each, place, is_winner=each.agent_id == winner)
        if ahead is not None and not each.rule:
            text += f", after {names.agent(ahead.agent_id)} by {_tie_break(ahead, each)}"
        ahead = each
        views.append(
            CandidateView(
                agent_id=each.agent_id,
                name=names.agent(each.agent_id),
                rule=each.rule or None,
                text=text,
                parts=dict(each.parts),
            )
        )
    return views


def _tie_break(ahead: Verdict, each: Verdict) -> str:
    """The first part of the score in which two candidates differ."""
    for (name, better), (_, worse) in zip(ahead.parts, each.parts, strict=True):
        if better != worse:
            return _PARTS.get(name, name)
    return "the lower id, all else being equal"


def _verdict(each: Verdict, place: int, *, is_winner: bool) -> str:
    if not each.rule:
        word = "was picked" if is_winner else f"can take it, place {place} by score"
        return f"{word} (held {each.held} of {each.capacity})"
    match each.rule:
        case "missing_skill":
            return "; ".join(
                f"lacks {skill} at level {wanted}" + (f" (has level {has})" if has else "")
                for skill, wanted, has in each.lacking
            )
        case "at_capacity":
            return f"is at capacity: holds {each.held} of {each.capacity}"
        case "pace" if each.window:
            return (
                f"waits for acknowledgements: {each.unacknowledged} of at most {each.window}"
                " given at once are not acknowledged yet"
            )
        case _:
            return _RULES.get(each.rule, each.rule)


def counted(why: Explanation) -> str:
    """How many fell to each rule, as one sentence; nothing when nobody did."""
    parts = [f"{n} {_SHORT[rule]}" for rule, n in sorted(why.excluded.items()) if rule in _SHORT]
    if why.excluded.get("kept_for_previous"):
        parts.append("it was kept for the agent the visitor knows")
    if why.excluded.get("manual"):
        parts.append("agents claim by themselves here")
    return ", ".join(parts)


def next_steps(found: Sequence[Next], names: Names) -> list[NextStep]:
    """What follows if nothing else happens, in the order of time."""
    return [
        NextStep(what=each.what, at=at_or_none(each.at_ns), text=_next(each, names))
        for each in found
    ]


def _next(each: Next, names: Names) -> str:
    agent, team = names.agent(each.agent_id), names.team(each.team_id)
    match each.what:
        case "wish":
            return "A wish for it is answered."
        case "lease":
            return f"If no device of {agent} acknowledges it by then, it goes back to its old place in the queue."
        case "agent_offline":
            return f"{agent} is not connected; if that stays so, it goes back to its old place in the queue."
        case "wake":
            return "It wakes up."
        case "first_response" | "next_response":
            kind = each.what.replace("_", " ")
            return f"The {kind} is overdue; whoever holds it is reminded."
        case "reassign":
            return "It is taken from its owner and given to somebody else."
        case "escalate" | "escalate_resolution":
            return "The supervisors are told."
        case "resolution":
            return "It should have been resolved by then; whoever holds it is reminded."
        case "fallback":
            return sentence(f"{team} is asked as well.")
        case "pardon":
            return f"{agent} may be asked for it again."
        case "previous_agent":
            return f"It is no longer kept for {agent}."
        case "rise":
            return "It rises by one priority for having waited."
        case "pace":
            return f"By then {agent} has acknowledged what was given last, or loses it, and can be asked."
        case "opens":
            return sentence(f"{team} is back.") if each.team_id else "The business hours begin."
        case _:
            return "The business hours end; from then on it waits."


def summary(row: ConversationRow, told: Standing | None, names: Names) -> str:
    """The whole story in a few sentences."""
    match row.status:
        case "queued":
            team_id = told.team_id if told is not None else row.team_id
            text = f"Waits for {names.team(team_id)} since {names.when(row.waiting_since_ns)}."
            text += obstacle(told, names) if told is not None else ""
        case "open":
            since = names.when(row.waiting_since_ns)
            text = f"{names.agent(row.agent_id)} has it and owes an answer since {since}."
        case "replied":
            owner = f"{names.agent(row.agent_id)} has it" if row.agent_id else "Nobody has it"
            text = f"{owner}; we wait for the visitor."
        case "snoozed" if row.snoozed_until_ns:
            text = (
                f"Put away until {names.when(row.snoozed_until_ns)}, or until the visitor writes."
            )
        case "snoozed":
            text = "Put away until the visitor writes or somebody opens it."
        case _:
            text = "Resolved. A message from the visitor opens it again."
    if told is None:
        return f"{text} The dispatcher does not answer just now, so what comes next is not known."
    upcoming = [each for each in told.nexts if each.at_ns]
    if upcoming:
        text += f" Next, at {names.when(upcoming[0].at_ns)}: {_next(upcoming[0], names)}"
    return text


def waiting_for(row: ConversationRow, told: Standing | None, names: Names) -> str:
    """What has to happen next, in words."""
    match row.status:
        case "queued":
            return _wanted(row, told, names)
        case "open":
            return f"an answer of {names.agent(row.agent_id)}"
        case "replied":
            return "the visitor"
        case "snoozed" if row.snoozed_until_ns:
            return f"{names.when(row.snoozed_until_ns)}, or the visitor"
        case "snoozed":
            return "the visitor, or somebody who opens it"
        case _:
            return "nothing: it is resolved"


def _wanted(row: ConversationRow, told: Standing | None, names: Names) -> str:
    team = names.team(told.team_id if told is not None else row.team_id)
    if told is not None and told.strategy == "manual":
        return f"an agent of {team} who claims it"
    if told is not None and told.kept_for is not None:
        return f"{names.agent(told.kept_for)}, whom the visitor knows, to have room"
    skills = [f"{each.skill} at level {each.level}" for each in (told.needs if told else ())]
    able = f" with {' and '.join(skills)}" if skills else ""
    return f"an agent of {team}{able} who is available and has room"
