"""When a conversation waits, is answered, resolved or crossed: the definitions that screens and routing share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared import events as e
from shared.conversation import Conversation, ConversationFact, evolve, is_crossed, start
from shared.events import Author
from shared.ids import AccountId, AgentId, ContactId, ConversationId, InboxId, MessageId

_A, _C = AccountId("a"), ConversationId("c")
_VISITOR = Author(kind="visitor", id="v")
_WHY = e.Explanation(trigger="queue", policy_version=0, state_position=0)


def _new() -> Conversation:
    event = e.ConversationStarted(
        account_id=_A,
        conversation_id=_C,
        inbox_id=InboxId("i"),
        contact_id=ContactId("v"),
        by=_VISITOR,
    )
    return start(event, 1)


def _said(by: str = "", *, seen: int = 0, automatic: bool = False) -> e.MessagePosted:
    author = Author(kind="agent", id=by) if by else _VISITOR
    return e.MessagePosted(
        account_id=_A,
        conversation_id=_C,
        message_id=MessageId("m"),
        author=author,
        content_type="text",
        body=b"",
        fingerprint=b"",
        seen_up_to=seen,
        automatic=automatic,
    )


def _set(status: str, *, seen: int = 0, until_ns: int = 0) -> e.StatusChanged:
    return e.StatusChanged(
        account_id=_A,
        conversation_id=_C,
        by=Author(kind="agent", id="x"),
        status=status,  # type: ignore[arg-type]
        seen_up_to=seen,
        until_ns=until_ns,
    )


def _assigned(agent: str) -> e.ConversationAssigned:
    return e.ConversationAssigned(
        account_id=_A,
        writer="w",
        conversation_id=_C,
        agent_id=AgentId(agent),
        team_id=None,
        why=_WHY,
    )


def _folded(*events: ConversationFact) -> Conversation:
    state = _new()
    for position, event in enumerate(events, start=2):
        evolve(state, event, position)
    return state


def test_it_waits_for_nobody_until_somebody_wrote() -> None:
    """A conversation without a message is not queued."""
    assert _folded().status == "replied"


def test_a_visitor_message_waits_and_an_owner_makes_it_open() -> None:
    """Unanswered and unowned is queued; unanswered and owned is open."""
    assert _folded(_said()).status == "queued"
    assert _folded(_said(), _assigned("x")).status == "open"


def test_an_answer_covers_only_what_its_author_had_seen() -> None:
    """A message written while the agent typed keeps waiting, since its own position."""
    state = _folded(_said(), _said(), _said("x", seen=2))
    assert (state.status, state.waiting_since) == ("queued", 3)
    assert _folded(_said(), _said(), _said("x", seen=3)).status == "replied"


def test_an_automatic_reply_answers_nothing() -> None:
    """The visitor still waits after "we are closed"."""
    assert _folded(_said(), _said("x", seen=2, automatic=True)).waiting_since == 2


def test_resolving_closes_only_what_was_seen() -> None:
    """A message that came before the click keeps the conversation open and owned."""
    state = _folded(_said(), _assigned("x"), _said(), _set("resolved", seen=2))
    assert (state.status, state.agent_id, state.waiting_since) == ("open", "x", 4)


def test_resolving_what_was_all_seen_releases_the_owner() -> None:
    """Resolved has no owner, remembers who it was, and the next message reopens it."""
    resolved = (_said(), _assigned("x"), _set("resolved", seen=2))
    state = _folded(*resolved)
    assert (state.status, state.agent_id, state.previous_agent_id) == ("resolved", None, "x")
    assert _folded(*resolved, _said()).status == "queued"


def test_snoozing_yields_to_an_unseen_message_and_wakes_at_the_next() -> None:
    """Nobody can put aside what they did not see; a new message ends a snooze."""
    assert _folded(_said(), _said(), _set("snoozed", seen=2, until_ns=9)).status == "queued"
    asleep = (_said(), _set("snoozed", seen=2, until_ns=9))
    assert _folded(*asleep).status == "snoozed"
    awake = _folded(*asleep, _said())
    assert (awake.status, awake.snoozed_until_ns) == ("queued", 0)


def test_opening_by_hand_waits_from_there() -> None:
    """A reopened conversation waits although the visitor said nothing new."""
    state = _folded(_said(), _set("resolved", seen=2), _set("open"))
    assert (state.status, state.waiting_since) == ("queued", 4)


def test_a_later_answer_of_a_colleague_is_crossed() -> None:
    """Who had not seen the colleague's answer is told so; one's own earlier answer never counts."""
    state = _folded(_said(), _said("x", seen=2))
    assert is_crossed(state, _said("y", seen=2))
    assert not is_crossed(state, _said("y", seen=3))
    assert not is_crossed(state, _said("x", seen=2))
    assert not is_crossed(state, _said("y", seen=2, automatic=True))
    assert not is_crossed(state, _said())


_facts = st.one_of(
    st.just(_said()),
    st.builds(lambda seen: _said("x", seen=seen), st.integers(0, 30)),
    st.builds(
        lambda status, seen: _set(status, seen=seen),
        st.sampled_from(["open", "snoozed", "resolved"]),
        st.integers(0, 30),
    ),
    st.just(_assigned("x")),
)


@given(st.lists(_facts, max_size=30))
def test_nothing_unanswered_is_ever_resolved(facts: list[ConversationFact]) -> None:
    """Whatever happened: resolved means nobody waits, and waiting positions stay in order."""
    state = _folded(*facts)
    if state.status == "resolved":
        assert not state.unanswered
    assert list(state.unanswered) == sorted(set(state.unanswered))


@given(st.lists(_facts, max_size=30))
def test_a_visitor_message_waits_until_it_was_seen(facts: list[ConversationFact]) -> None:
    """A message leaves the waiting list only by an answer or a resolve whose author had seen it."""
    state = _folded(*facts)
    seen = [
        event.seen_up_to
        for event in facts
        if isinstance(event, e.MessagePosted | e.StatusChanged)
        and not (isinstance(event, e.MessagePosted) and event.author.kind == "visitor")
        and not (isinstance(event, e.StatusChanged) and event.status != "resolved")
    ]
    for position, event in enumerate(facts, start=2):
        is_visitor = isinstance(event, e.MessagePosted) and event.author.kind == "visitor"
        if is_visitor and position > max(seen, default=0):
            assert position in state.unanswered
