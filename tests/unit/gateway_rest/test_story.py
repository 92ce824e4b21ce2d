"""The steps of a message and the decisions about a conversation, told from its events."""

from __future__ import annotations

from typing import Any

import msgspec

from services.gateway.rest.names import Names
from services.gateway.rest.reasons import waiting_for
from services.gateway.rest.story import Fact, decisions, message_steps, receipts_of
from shared.events import (
    AssignmentRefused,
    AssignmentRequested,
    Author,
    ClaimRequested,
    ConversationAssigned,
    ConversationQueued,
    Event,
    Explanation,
    MessagePosted,
    Read,
    Scored,
    StatusChanged,
)
from shared.ids import AccountId, AgentId, ContactId, ConversationId, InboxId, MessageId, TeamId
from shared.queries import ConversationRow, MessageRow

ACCOUNT = AccountId("a")
CONVERSATION = ConversationId("c")
ANN = AgentId("ann")
VISITOR = Author(kind="visitor", id="v")
NAMES = Names(agents={"ann": "Ann"}, teams={"t": "Desk"})
OWN: dict[str, Any] = {"account_id": ACCOUNT, "conversation_id": CONVERSATION}


def _facts(*events: Event) -> list[Fact]:
    return [Fact(position=n, at_ns=n * 10**9, event=e) for n, e in enumerate(events, start=1)]


def _posted(message_id: str, author: Author, seen_up_to: int = 0) -> MessagePosted:
    return MessagePosted(
        **OWN,
        message_id=MessageId(message_id),
        author=author,
        content_type="text",
        body=b"x",
        fingerprint=b"f",
        seen_up_to=seen_up_to,
    )


def _assigned(trigger: Any = "queue") -> ConversationAssigned:
    why = Explanation(
        trigger=trigger,
        policy_version=3,
        state_position=9,
        winner=Scored(agent_id=ANN, parts=(("previous_agent", 0.0), ("load", 0.2))),
        runners_up=(Scored(agent_id=AgentId("gone"), parts=(("load", 0.4),)),),
        excluded={"offline": 2},
        queue_place=1,
    )
    return ConversationAssigned(**OWN, writer="w", agent_id=ANN, team_id=TeamId("t"), why=why)


def _queued(trigger: Any = "waiting") -> ConversationQueued:
    why = Explanation(trigger=trigger, policy_version=3, state_position=1)
    return ConversationQueued(**OWN, writer="w", team_id=TeamId("t"), waiting_since=1, why=why)


def _message() -> MessageRow:
    return MessageRow(
        **OWN,
        message_id=MessageId("m"),
        seq=1,
        position=1,
        at_ns=0,
        author=VISITOR,
        content_type="text",
        body=b"x",
    )


def _conversation(**fields: Any) -> ConversationRow:
    return ConversationRow(
        **OWN,
        inbox_id=InboxId("i"),
        contact_id=ContactId("v"),
        channel="web",
        language="",
        priority="normal",
        **({"status": "open"} | fields),
    )


def test_a_message_is_followed_to_its_answer() -> None:
    """Accepted, queued, assigned, received, read, answered: in the order of the log."""
    agent = Author(kind="agent", id=ANN)
    history = _facts(
        _posted("m", VISITOR),
        _queued(),
        _assigned(),
        Read(**OWN, recipient=agent, up_to=1),
        _posted("m2", agent, seen_up_to=1),
    )
    steps = message_steps(history, _message(), NAMES)
    assert [s.what for s in steps] == ["accepted", "queued", "assigned", "read", "answered"]
    assert steps[0].at == "1970-01-01T00:00:01.000Z"
    assert [s.text for s in steps][-2:] == ["Ann has seen it.", "Ann answered, having seen it."]


def test_only_a_receipt_of_what_was_given_counts() -> None:
    """From the assignment on for who got it later, from the message on for who had the conversation; who had lost it
    by then is not asked about. Of an agent's message the visitor is."""
    bob = msgspec.structs.replace(_assigned(), agent_id=AgentId("bob"))
    history = [
        *_facts(_assigned(), _queued(), bob, _posted("m", VISITOR), _queued(), _assigned()),
    ]
    row = msgspec.structs.replace(_message(), position=4)
    holds = receipts_of(history, row, _conversation())
    assert [(h.recipient_id, h.since) for h in holds] == [("bob", 4), ("ann", 6)]
    own = msgspec.structs.replace(row, author=Author(kind="agent", id="bob"))
    assert [h.recipient_id for h in receipts_of(history, own, _conversation())] == ["v"]


def test_what_does_not_concern_a_message_is_left_out() -> None:
    """Other people's messages, what came before, the author's own reading, an answer to something earlier."""
    history = [
        Fact(position=0, at_ns=0, event=_assigned()),
        *_facts(
            _posted("m", VISITOR),
            _posted("other", VISITOR),
            Read(**OWN, recipient=VISITOR, up_to=9),
            _posted("early", Author(kind="agent", id=ANN), seen_up_to=0),
        ),
    ]
    steps = message_steps(history, _message(), NAMES)
    assert [(s.position, s.what) for s in steps] == [(1, "accepted")]


def test_a_repeat_in_the_log_is_called_one() -> None:
    """The first position is the message, a later one a repeat."""
    history = _facts(_posted("m", VISITOR), _posted("m", VISITOR))
    steps = message_steps(history, _message(), NAMES)
    assert [s.what for s in steps] == ["accepted", "repeated"]


def test_decisions_are_told_with_names_and_numbers() -> None:
    """Who, why, by which score, who else, how many each rule excluded; removed agents keep their id."""
    told = decisions(_facts(_queued(), _assigned()), NAMES)
    assert [step.what for step in told] == ["queued", "assigned"]
    assert told[0].text == "Waits in the queue of team Desk: nobody could take it."
    given = "Given to Ann: it was this conversation's turn. Of the others: 2 not connected."
    assert told[1].text == given
    detail = told[1].detail
    assert detail["winner"]["parts"] == {"previous_agent": 0.0, "load": 0.2}
    assert [r["name"] for r in detail["runners_up"]] == ["gone"]
    assert detail["excluded"] == {"offline": 2}
    assert (detail["policy_version"], detail["state_position"]) == (3, 9)


def test_wishes_and_refusals_are_told() -> None:
    """Who asked for what, and why it was not granted."""
    by = Author(kind="agent", id="ann")
    told = decisions(
        _facts(
            ClaimRequested(**OWN, agent_id=ANN),
            AssignmentRefused(**OWN, writer="w", request=1, code="already_assigned"),
            AssignmentRequested(**OWN, by=by, team_id=TeamId("t")),
        ),
        NAMES,
    )
    assert [s.text for s in told] == [
        "Ann claimed it.",
        "The wish was refused: somebody has it already.",
        "Ann asked for team Desk.",
    ]


def test_what_it_waits_for_is_said_for_every_status() -> None:
    """No status without words."""
    said = {
        status: waiting_for(
            _conversation(status=status, agent_id=ANN, team_id=TeamId("t")), None, NAMES
        )
        for status in ("queued", "open", "replied", "snoozed", "resolved")
    }
    assert said["open"] == "an answer of Ann"
    assert "Desk" in said["queued"]
    assert said["replied"] == "the visitor"
    assert len(set(said.values())) == len(said)


def test_a_step_names_the_agent_who_did_it() -> None:
    """Beside the id; whoever is no agent of the account has none."""
    claimed = ClaimRequested(**OWN, agent_id=ANN)
    told = StatusChanged(**OWN, by=VISITOR, status="resolved", seen_up_to=1)
    steps = decisions(_facts(claimed, told), NAMES)
    assert [(step.by, step.by_name) for step in steps] == [("ann", "Ann"), ("v", None)]
