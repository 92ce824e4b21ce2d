"""Given facts, when time passes or something happens, then these decisions."""

from __future__ import annotations

import msgspec

from services.dispatcher.decide import Settings
from shared import events
from shared.events import AssignmentRefused, ConversationAssigned, ConversationQueued
from shared.ids import InboxId, TeamId
from tests.support import desk
from tests.unit.dispatcher.simulation import Simulation, assigned, pair, queued


def _office(*names: str, capacity: int = 5, settings: Settings | None = None) -> Simulation:
    simulation = Simulation(settings)
    agents = [desk.agent(name, capacity=capacity) for name in names]
    simulation.tell(*agents, desk.team(*names), desk.inbox(), desk.policy())
    return simulation


def test_a_message_at_night_waits_on_record() -> None:
    """Nobody online: the conversation is queued by an event, once, however much the visitor writes."""
    simulation = _office("ann")
    simulation.tell(desk.started("c"), desk.wrote("c"))
    decided = simulation.settle()
    assert queued(decided) == [(desk.conversation_id("c"), "waiting")]
    simulation.tell(desk.wrote("c"))
    assert simulation.settle() == []


def test_the_backlog_goes_out_by_priority_then_age_up_to_capacity() -> None:
    """Urgent first, then the oldest; an agent never gets more than they can hold."""
    simulation = _office("ann", capacity=3, settings=Settings(burst=10))
    simulation.tell(desk.started("a"), desk.started("b"), desk.started("c", priority="urgent"))
    simulation.tell(desk.started("d"))
    simulation.tell(*(desk.wrote(name) for name in ("b", "a", "c", "d")))
    simulation.settle()
    simulation.tell(desk.online("ann"))
    assert assigned(simulation.settle()) == [pair("c", "ann"), pair("b", "ann"), pair("a", "ann")]


def test_the_first_who_signs_in_is_not_buried() -> None:
    """At most `burst` unacknowledged assignments at once; each acknowledgement makes room for more."""
    simulation = _office("ann", capacity=10, settings=Settings(burst=2))
    for name in "abcde":
        simulation.tell(desk.started(name), desk.wrote(name))
    simulation.tell(desk.online("ann"))
    assert len(assigned(simulation.settle())) == 2
    simulation.tell(desk.received("ann", simulation.position))
    assert len(assigned(simulation.settle())) == 2


def test_a_conversation_that_nobody_can_take_blocks_nobody() -> None:
    """The head of the line wants a skill nobody has; the one behind it goes out."""
    simulation = _office("ann")
    expert_inbox = InboxId(desk.identifier("experts"))
    simulation.tell(desk.inbox(inbox_id=expert_inbox, skills={"tax": 3}))
    simulation.tell(desk.started("hard", inbox_id=expert_inbox), desk.wrote("hard"))
    simulation.tell(desk.started("easy"), desk.wrote("easy"), desk.online("ann"))
    assert assigned(simulation.settle()) == [pair("easy", "ann")]


def test_the_explanation_names_score_rivals_and_rules() -> None:
    """An assignment says what it looked at, who won, who came next and which rule took out how many."""
    simulation = Simulation()
    simulation.tell(
        desk.agent("ann", skills={"tax": 4}),
        desk.agent("bob", skills={"tax": 2}),
        desk.agent("cai"),
        desk.agent("dan", skills={"tax": 5}),
        desk.agent("eve", skills={"tax": 5}),
        desk.team("ann", "bob", "cai", "dan"),
        desk.inbox(skills={"tax": 1}),
    )
    version = simulation.tell(desk.policy())
    simulation.tell(desk.online("ann"), desk.online("bob"), desk.online("eve"))
    simulation.tell(desk.started("c"), desk.wrote("c"))
    state_position = simulation.position
    (event,) = simulation.settle()
    assert isinstance(event, ConversationAssigned)
    assert event.why.policy_version == version
    assert event.why.state_position == state_position
    assert event.why.winner is not None
    assert event.why.winner.agent_id == desk.agent_id("ann")
    assert dict(event.why.winner.parts)["skill_level"] == -4
    assert [r.agent_id for r in event.why.runners_up] == [desk.agent_id("bob")]
    assert event.why.excluded == {"not_in_team": 1, "missing_skill": 1, "offline": 1}
    assert event.why.queue_place == 1
    assert event.lease_s == 45


def test_the_previous_agent_of_the_contact_comes_first() -> None:
    """A visitor who returns in a new conversation meets the agent they know, unless the policy says no."""
    simulation = _office("ann", "bob")
    simulation.tell(desk.online("ann"), desk.started("one", contact="v"), desk.wrote("one"))
    simulation.settle()
    simulation.tell(desk.online("bob"), desk.started("two", contact="v"), desk.wrote("two"))
    assert assigned(simulation.settle()) == [pair("two", "ann")]
    simulation.tell(desk.policy(prefer_previous_agent=False))
    simulation.tell(desk.started("three", contact="v"), desk.wrote("three"))
    assert assigned(simulation.settle()) == [pair("three", "bob")]


def test_load_and_idleness_share_the_work() -> None:
    """Without other differences the less loaded agent is next, then the one idle longest."""
    simulation = _office("ann", "bob")
    simulation.tell(desk.online("ann"), desk.online("bob"))
    for name in "abcd":
        simulation.tell(desk.started(name), desk.wrote(name))
        simulation.settle()
    holders = [str(simulation.owner(name)) for name in "abcd"]
    assert holders[:2] == holders[2:]
    assert len(set(holders)) == 2


def test_a_language_wants_its_speaker_when_there_is_one() -> None:
    """`lang:zh` is required as soon as anybody in the team has it."""
    simulation = Simulation()
    simulation.tell(
        desk.agent("ann"),
        desk.agent("bob", skills={"lang:zh": 3}),
        desk.team("ann", "bob"),
        desk.inbox(),
        desk.policy(),
        desk.online("ann"),
        desk.started("c", language="zh"),
        desk.wrote("c"),
        desk.started("d", language="fr"),
        desk.wrote("d"),
    )
    assert assigned(simulation.settle()) == [pair("d", "ann")]
    simulation.tell(desk.online("bob"))
    assert assigned(simulation.settle()) == [pair("c", "bob")]


def test_a_language_that_only_another_team_speaks_is_not_asked_for() -> None:
    """Nobody in the team would ever be right, and the conversation would wait for ever."""
    simulation = Simulation()
    simulation.tell(
        desk.agent("ann"),
        desk.agent("bob", skills={"lang:zh": 3}),
        desk.team("ann"),
        desk.inbox(),
        desk.policy(),
        desk.online("ann"),
        desk.online("bob"),
        desk.started("c", language="zh"),
        desk.wrote("c"),
    )
    assert assigned(simulation.settle()) == [pair("c", "ann")]


def test_only_available_agents_are_asked() -> None:
    """Busy and away agents get nothing new until they say so."""
    simulation = _office("ann")
    simulation.tell(desk.online("ann"), desk.availability("ann", "busy"))
    simulation.tell(desk.started("c"), desk.wrote("c"))
    assert assigned(simulation.settle()) == []
    simulation.tell(desk.availability("ann", "online"))
    assert assigned(simulation.settle()) == [pair("c", "ann")]


def test_an_unacknowledged_assignment_goes_to_somebody_else() -> None:
    """The lease lapses, the conversation returns to its old place and is given to another at once."""
    simulation = _office("ann", "bob")
    simulation.tell(desk.online("ann"), desk.started("c"))
    since = simulation.tell(desk.wrote("c"))
    simulation.settle()
    simulation.tell(desk.online("bob"))
    assert simulation.wait(44) == []
    returned, given = simulation.wait(2)
    assert isinstance(returned, ConversationQueued)
    assert (returned.why.trigger, returned.waiting_since) == ("lease_lapsed", since)
    assert assigned([given]) == [pair("c", "bob")]


def test_what_returns_goes_before_the_younger_at_once() -> None:
    """In the very round in which a conversation returns, what is older is handed out and what is younger waits for it:
    the free agent gets the one that returned."""
    simulation = _office("ann", "bob", "cid", capacity=1)
    simulation.tell(desk.online("ann"))
    for name in ("eldest", "old", "young"):
        simulation.tell(desk.started(name), desk.wrote(name))
    simulation.settle()
    simulation.tell(desk.hand_over("eldest", by="ann"))
    assert assigned(simulation.settle()) == [pair("old", "ann")]
    simulation.tell(desk.hand_over("old", by="ann"), desk.online("bob"), desk.online("cid"))
    first = simulation.round()
    assert queued(first) == [(desk.conversation_id("old"), "requested")]
    assert [name for name, _ in assigned(first)] == [desk.conversation_id("eldest")]
    simulation.settle()
    assert {simulation.owner("eldest"), simulation.owner("old")} == {
        desk.agent_id("bob"),
        desk.agent_id("cid"),
    }
    assert simulation.owner("young") == desk.agent_id("ann")


def test_a_refused_wish_costs_no_place() -> None:
    """A conversation that waits and whose wish is refused is not passed by a younger one in that round."""
    simulation = _office("ann", capacity=1)
    simulation.tell(desk.started("old"), desk.wrote("old"), desk.started("young"))
    simulation.tell(desk.wrote("young"))
    simulation.settle()
    simulation.tell(desk.claim("old", "nobody"), desk.online("ann"))
    assert assigned(simulation.settle()) == [pair("old", "ann")]
    assert simulation.owner("young") is None


def test_a_lease_is_not_judged_while_the_store_lags() -> None:
    """An agent can't acknowledge what the store has not given out; when it has, a full lease begins."""
    simulation = _office("ann", "bob")
    simulation.tell(desk.online("ann"), desk.started("c"), desk.wrote("c"))
    simulation.settle()
    simulation.stored = simulation.position - 1
    assert simulation.wait(600) == []
    simulation.stored = None
    simulation.fresh_ns = simulation.now_ns
    assert simulation.wait(44) == []
    assert queued(simulation.wait(2))[0] == (desk.conversation_id("c"), "lease_lapsed")


def test_who_let_it_lie_is_not_asked_again_at_once() -> None:
    """After a lapse the only agent is asked no more, whatever the time, until they acknowledge, come anew, say how they
    are, or do something."""
    simulation = _office("ann")
    simulation.tell(desk.online("ann"), desk.started("c"), desk.wrote("c"))
    simulation.settle()
    assert queued(simulation.wait(46)) == [(desk.conversation_id("c"), "lease_lapsed")]
    assert simulation.wait(3600) == []
    for sign in (
        desk.received("ann", simulation.position),
        desk.online("ann", device="phone"),
        desk.availability("ann", "online"),
        desk.claim("c", "ann"),
    ):
        simulation.tell(sign)
        assert assigned(simulation.wait(61)) == [pair("c", "ann")]
        seen = simulation.position
        simulation.wait(46)
        simulation.tell(desk.hand_over("c", by="somebody"))
        simulation.settle()
        assert simulation.owner("c") is None, seen


def test_the_first_claim_wins() -> None:
    """Of two claims in the log the first is granted and the second refused; capacity does not matter."""
    simulation = _office("ann", "bob", capacity=0)
    simulation.tell(desk.started("c"), desk.wrote("c"), desk.claim("c", "ann"))
    second = simulation.tell(desk.claim("c", "bob"))
    granted, refused = simulation.settle()
    assert assigned([granted]) == [pair("c", "ann")]
    assert isinstance(refused, AssignmentRefused)
    assert (refused.request, refused.code) == (second, "already_assigned")


def test_wishes_that_cannot_be_met_are_refused() -> None:
    """Unknown agents and teams and resolved conversations: refused with the reason, nothing else changes."""
    simulation = _office("ann")
    simulation.tell(desk.started("c"), desk.wrote("c"), desk.claim("c", "nobody"))
    simulation.tell(desk.hand_over("c", by="ann", to_team=TeamId(desk.identifier("none"))))
    seen = simulation.position
    codes = [e.code for e in simulation.settle() if isinstance(e, AssignmentRefused)]
    simulation.tell(desk.resolved("c", "ann", seen_up_to=seen), desk.claim("c", "ann"))
    codes += [e.code for e in simulation.settle() if isinstance(e, AssignmentRefused)]
    assert codes == ["unknown_agent", "unknown_team", "not_waiting"]


def test_handing_over_moves_it_and_says_who_asked() -> None:
    """To an agent at once; to a team through its queue, and not back to the one who gave it away."""
    simulation = _office("ann", "bob")
    simulation.tell(desk.online("ann"), desk.started("c"), desk.wrote("c"))
    simulation.settle()
    simulation.tell(desk.online("bob"), desk.hand_over("c", by="ann", to="bob"))
    (event,) = simulation.settle()
    assert isinstance(event, ConversationAssigned)
    assert (event.agent_id, event.why.requested_by) == (desk.agent_id("bob"), desk.agent_id("ann"))
    simulation.tell(desk.hand_over("c", by="bob"))
    decided = simulation.settle()
    assert queued(decided) == [(desk.conversation_id("c"), "requested")]
    assert assigned(decided) == [pair("c", "ann")]


def test_who_answers_an_unowned_conversation_owns_it() -> None:
    """An agent's answer takes a conversation out of the queue."""
    simulation = _office("ann")
    simulation.tell(desk.started("c"), desk.wrote("c"))
    simulation.settle()
    simulation.tell(desk.answered("c", "ann", seen_up_to=simulation.position))
    decided = simulation.settle()
    assert assigned(decided) == [pair("c", "ann")]
    assert decided[0].why.trigger == "answered"  # type: ignore[union-attr]


def test_an_offline_owner_keeps_what_is_answered_and_loses_what_waits() -> None:
    """After the policy's time the unanswered one returns; the answered one only when the visitor writes again."""
    simulation = _office("ann", "bob")
    simulation.tell(desk.online("ann"))
    for name in ("waits", "replied"):
        simulation.tell(desk.started(name), desk.wrote(name))
    simulation.settle()
    seen = simulation.position
    simulation.tell(desk.received("ann", seen), desk.answered("replied", "ann", seen_up_to=seen))
    simulation.tell(desk.offline("ann"), desk.online("bob"))
    assert simulation.wait(59) == []
    decided = simulation.wait(2)
    assert queued(decided) == [(desk.conversation_id("waits"), "agent_offline")]
    assert assigned(decided) == [pair("waits", "bob")]
    simulation.tell(desk.wrote("replied"))
    assert assigned(simulation.settle()) == [pair("replied", "bob")]


def test_a_removed_agent_leaves_nothing_behind() -> None:
    """Everything unresolved of a removed agent goes back to the queue and to others."""
    simulation = _office("ann", "bob")
    simulation.tell(desk.online("ann"), desk.started("c"), desk.wrote("c"))
    simulation.settle()
    simulation.tell(desk.answered("c", "ann", seen_up_to=simulation.position))
    simulation.tell(desk.online("bob"), desk.removed("ann"))
    decided = simulation.settle()
    assert queued(decided) == [(desk.conversation_id("c"), "agent_removed")]
    assert assigned(decided) == [pair("c", "bob")]


def test_a_snoozed_conversation_wakes_with_its_owner() -> None:
    """At the hour it is given to its owner again, as something that waits; a message wakes it earlier."""
    simulation = _office("ann")
    simulation.tell(desk.online("ann"), desk.started("c"), desk.wrote("c"))
    simulation.settle()
    seen = simulation.position
    simulation.tell(desk.received("ann", seen), desk.answered("c", "ann", seen_up_to=seen))
    until_ns = simulation.now_ns + 3600 * 10**9
    simulation.tell(desk.snoozed("c", "ann", seen_up_to=simulation.position, until_ns=until_ns))
    assert simulation.wait(3590) == []
    decided = simulation.wait(11)
    assert assigned(decided) == [pair("c", "ann")]
    track = simulation.world.state.offices[desk.ACCOUNT].tracks[desk.conversation_id("c")]
    assert track.conversation.status == "open"


def test_a_missed_deadline_is_told_once_and_then_escalated() -> None:
    """First response, then after the same time again an escalation; a restart forgets and repeats nothing."""
    simulation = _office("ann")
    simulation.tell(desk.policy(first_response_s=30, next_response_s=100))
    simulation.tell(desk.started("c"), desk.wrote("c"))
    simulation.settle()
    assert [type(e).__name__ for e in simulation.wait(31)] == ["DeadlineMissed"]
    simulation.world = simulation.replayed()
    assert simulation.wait(20) == []
    assert [type(e).__name__ for e in simulation.wait(10)] == ["Escalated"]
    assert simulation.wait(1000) == []
    answer = desk.answered("c", "ann", seen_up_to=simulation.position)
    simulation.tell(desk.online("ann"), answer, desk.wrote("c"))
    simulation.settle()
    assert simulation.wait(99) == []
    (missed,) = simulation.wait(2)
    assert isinstance(missed, events.DeadlineMissed)
    assert (missed.deadline, missed.agent_id) == ("next_response", desk.agent_id("ann"))


def test_a_repeated_message_is_one_message() -> None:
    """The same MessageID and fingerprint within the hour changes nothing; another fingerprint is a message."""
    simulation = _office("ann")
    first = desk.wrote("c", message="m")
    simulation.tell(desk.started("c"), first)
    simulation.settle()
    simulation.tell(desk.answered("c", "ann", seen_up_to=simulation.position))
    simulation.settle()
    simulation.tell(first)
    assert simulation.settle() == []
    track = simulation.world.state.offices[desk.ACCOUNT].tracks[desk.conversation_id("c")]
    assert not track.conversation.unanswered
    assert isinstance(first, events.MessagePosted)
    simulation.tell(msgspec.structs.replace(first, fingerprint=b"other"))
    assert list(track.conversation.unanswered) == [simulation.position]


def test_a_pick_that_crosses_a_wish_does_not_swallow_it() -> None:
    """A claim that lands in the log just before a decided assignment still gets its answer."""
    simulation = _office("ann", "bob")
    simulation.tell(desk.online("ann"), desk.started("c"), desk.wrote("c"))
    simulation.settle()
    simulation.tell(desk.hand_over("c", by="ann"))
    simulation.settle()
    simulation.tell(desk.online("bob"))
    (pick,) = simulation.round()
    wish = simulation.tell(desk.claim("c", "ann"))
    simulation.append(pick)
    (refused,) = simulation.settle()
    assert isinstance(refused, AssignmentRefused)
    assert (refused.request, refused.code) == (wish, "already_assigned")
