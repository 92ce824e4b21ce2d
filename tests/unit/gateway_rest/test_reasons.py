"""Why, as a support manager reads it: every code has words, and the obstacle that counts is named first."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest

from services.gateway.rest.names import Names
from services.gateway.rest.reasons import (
    WHY,
    candidates,
    counted,
    next_steps,
    note_of,
    summary,
    waiting_for,
)
from shared.events import Explanation
from shared.events.routing import Trigger
from shared.explaining import Need, Next, NextKind, Recalled, Standing, Verdict
from shared.ids import (
    AccountId,
    AgentId,
    ContactId,
    ConversationId,
    InboxId,
    TeamId,
)
from shared.queries import ConversationRow

ANN, BOB, CYD = AgentId("ann"), AgentId("bob"), AgentId("cyd")
TEAM = TeamId("t")
NAMES = Names(agents={"ann": "Ann", "bob": "Bob"}, teams={"t": "Desk"})


def _row(status: Any = "queued", **fields: Any) -> ConversationRow:
    return ConversationRow(
        account_id=AccountId("a"),
        conversation_id=ConversationId("c"),
        inbox_id=InboxId("i"),
        contact_id=ContactId("v"),
        channel="web",
        language="",
        priority="normal",
        status=status,
        waiting_since_ns=10**18,
        **fields,
    )


def _waits(*verdicts: Verdict, **fields: Any) -> Standing:
    given: dict[str, Any] = {"state": "queued", "is_waiting": True, "team_id": TEAM, "place": 4}
    return Standing(**(given | fields), verdicts=verdicts)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (_waits(Verdict(agent_id=ANN, rule="not_in_team")), "team Desk has no members"),
        (
            _waits(
                Verdict(agent_id=ANN, rule="missing_skill", lacking=(("tax", 3, 2),)),
                Verdict(agent_id=BOB, rule="missing_skill", lacking=(("tax", 3, 0), ("zh", 1, 0))),
                needs=(Need(skill="tax", level=3, by="rule"), Need(skill="zh", level=1, by="rule")),
            ),
            "no one of team Desk has tax at level 3.",
        ),
        (
            _waits(
                Verdict(agent_id=ANN, rule="missing_skill", lacking=(("tax", 3, 2),)),
                Verdict(agent_id=BOB, rule="missing_skill", lacking=(("zh", 1, 0),)),
            ),
            "no one of team Desk has all of tax at level 3 and zh at level 1.",
        ),
        (
            _waits(
                Verdict(agent_id=ANN, rule="offline"), Verdict(agent_id=BOB, rule="not_available")
            ),
            "Both who could take it are away. It is number 4 in the line.",
        ),
        (
            _waits(Verdict(agent_id=ANN, rule="at_capacity"), place=2),
            "The only one who could take it is busy. It is number 2 in the line.",
        ),
        (
            _waits(Verdict(agent_id=ANN, rule="offline"), Verdict(agent_id=BOB, rule="pace")),
            "Of 2 who could take it, 1 is away and 1 has yet to acknowledge what was given last.",
        ),
        (
            _waits(Verdict(agent_id=ANN, rule="silent"), place=1),
            (
                "The only one who could take it did not acknowledge in time what was given last and has"
                " given no sign of life since. It is number 1 in the line."
            ),
        ),
        (
            _waits(Verdict(agent_id=ANN, rule="lease_failed"), place=1),
            "The only one who could take it left it lying a moment ago.",
        ),
        (
            _waits(
                Verdict(agent_id=ANN, rule="silent"),
                Verdict(agent_id=BOB, rule="channel_full"),
                Verdict(agent_id=CYD, rule="outside_hours"),
            ),
            (
                "Of 3 who could take it, 1 is busy, 1 is not asked outside the hours and 1 did not"
                " acknowledge in time"
            ),
        ),
        (
            _waits(Verdict(agent_id=ANN, rule="silent"), kept_for=ANN),
            "whom the visitor knows and who did not acknowledge in time what was given last.",
        ),
        (_waits(Verdict(agent_id=ANN, rule="manual"), strategy="manual"), "Agents claim"),
        (_waits(Verdict(agent_id=ANN, rule="at_capacity"), kept_for=ANN), "kept for Ann"),
        (_waits(Verdict(agent_id=ANN), place=1), "It is its turn."),
        (None, "does not answer"),
    ],
)
def test_the_summary_names_the_obstacle_that_counts(told: Standing | None, words: str) -> None:
    """Nobody in the team before nobody with the skill before nobody here: the others would not help."""
    assert words in summary(_row(), told, NAMES)


def test_what_it_waits_for_names_skills_and_people() -> None:
    """The skills that are asked for, the agent whom the visitor knows, the claim of a manual queue."""
    told = _waits(needs=(Need(skill="tax", level=3, by="inbox"),))
    assert "team Desk with tax at level 3" in waiting_for(_row(), told, NAMES)
    assert "Bob, whom" in waiting_for(_row(), _waits(kept_for=BOB), NAMES)
    assert "who claims it" in waiting_for(_row(), _waits(strategy="manual"), NAMES)


def test_candidates_say_what_decided() -> None:
    """The first difference in the score, or the id; who was picked; what the others lack."""
    same = (("previous_agent", 1.0), ("load", 0.25))
    found = (
        Verdict(agent_id=ANN, parts=same, held=1, capacity=4),
        Verdict(agent_id=BOB, parts=same, held=1, capacity=4),
        Verdict(agent_id=AgentId("cai"), parts=(("previous_agent", 1.0), ("load", 0.5))),
        Verdict(agent_id=AgentId("dan"), rule="at_capacity", held=3, capacity=3),
        Verdict(agent_id=AgentId("eve"), rule="missing_skill", lacking=(("tax", 3, 2),)),
    )
    texts = [each.text for each in candidates(found, NAMES, winner="ann")]
    assert texts[0] == "was picked (held 1 of 4)"
    assert texts[1].endswith("after Ann by the lower id, all else being equal")
    assert texts[2].endswith("after Bob by load")
    assert texts[3] == "is at capacity: holds 3 of 3"
    assert texts[4] == "lacks tax at level 3 (has level 2)"


def test_every_code_has_words() -> None:
    """Triggers, next steps, outcomes and rules: none is shown as a bare code."""
    assert set(WHY) == set(get_args(Trigger))
    kinds: tuple[NextKind, ...] = get_args(NextKind)
    steps = [Next(what=kind, at_ns=1, agent_id=ANN, team_id=TEAM) for kind in kinds]
    texts = [each.text for each in next_steps(steps, NAMES)]
    assert all(text.endswith(".") and "_" not in text for text in texts)
    assert len(set(texts)) >= len(kinds) - 2, "response deadlines and escalations share theirs"
    outcomes = get_args(get_type_hints(Recalled)["outcome"])
    assert all(note_of(Recalled(outcome=outcome)) for outcome in outcomes)


def test_counts_are_one_sentence() -> None:
    """How many fell to each rule, and what kept it although somebody was free."""
    why = Explanation(
        trigger="waiting",
        policy_version=1,
        state_position=1,
        excluded={"offline": 2, "pace": 1, "kept_for_previous": 1},
    )
    assert counted(why) == (
        "2 not connected, 1 with assignments not acknowledged yet,"
        " it was kept for the agent the visitor knows"
    )


def test_times_in_words_are_those_of_the_wall() -> None:
    """By the zone of the policy's hours, and said so; a reader must not have to reckon, nor guess which of two half past twos
    is meant."""
    here = Names(agents={"ann": "Ann"}, teams={}, zone="Europe/Berlin")
    assert here.when(10**18) == "2001-09-09 03:46:40 (Europe/Berlin)"
    assert NAMES.when(10**18) == "2001-09-09 01:46:40 (UTC)"
    # Half past two, before and after the clock was put back.
    assert here.when(1_161_477_000 * 10**9) == "2006-10-22 02:30:00 (Europe/Berlin)"
    assert here.when(1_162_081_800 * 10**9) == "2006-10-29 02:30:00 (Europe/Berlin, UTC+0200)"
    assert here.when(1_162_085_400 * 10**9) == "2006-10-29 02:30:00 (Europe/Berlin, UTC+0100)"
    text = summary(_row("open", agent_id=ANN), None, here)
    assert "Ann has it and owes an answer since 2001-09-09 03:46:40 (Europe/Berlin)." in text
