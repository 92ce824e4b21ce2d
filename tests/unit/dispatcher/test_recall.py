"""A decision of the past can be made again from the log, and comes out as it was recorded."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.dispatcher.decide import Past, Settings
from shared.events import ConversationAssigned, ConversationQueued, WriterStarted
from shared.explaining import Recalled
from tests.support import desk
from tests.unit.dispatcher.simulation import Simulation
from tests.unit.dispatcher.test_properties import PHASES, Life


def _recalled(
    simulation: Simulation, number: int, limits: Settings | None = None
) -> tuple[ConversationAssigned | ConversationQueued, Recalled]:
    _, at_ns, event = simulation.log[number]
    assert isinstance(event, ConversationAssigned | ConversationQueued)
    past = Past(event, limits or simulation.settings, now_ns=at_ns)
    for position, earlier_ns, earlier in simulation.log[:number]:
        past.fold(earlier, position, earlier_ns)
    return event, past.recalled()


@settings(max_examples=10, deadline=None, phases=PHASES)
@given(seed=st.integers(0, 2**32))
def test_every_decision_of_a_random_life_is_recalled_exactly(seed: int) -> None:
    """Whoever was picked, whoever came next and how many fell to which rule: the list of all agents, made from the log
    alone, has them so. Wishes and returns, where nobody was compared, say so."""
    life = Life(seed)
    for _ in range(60):
        life.live()
        life.pass_time()
        if life.dice.random() < 0.5:
            for event in life.simulation.round():
                life.simulation.append(event)
    log = life.simulation.log
    decisions = [
        number
        for number, (_, _, event) in enumerate(log)
        if isinstance(event, ConversationAssigned | ConversationQueued)
    ]
    for number in life.dice.sample(decisions, min(12, len(decisions))):
        event, recalled = _recalled(life.simulation, number)
        has_picked = isinstance(event, ConversationAssigned) and event.why.winner is not None
        is_looked = has_picked or event.why.trigger in ("waiting", "fallback")
        assert recalled.outcome == ("exact" if is_looked else recalled.outcome)
        assert recalled.outcome in ("exact", "no_choice")
        if recalled.outcome == "exact":
            everybody = {each.agent_id for each in recalled.verdicts}
            assert (
                len(everybody)
                == len(recalled.verdicts)
                >= sum(n for rule, n in event.why.excluded.items() if rule != "kept_for_previous")
            )


def test_what_was_decided_under_other_settings_is_not_made_up() -> None:
    """With another burst than the recorded counts show, the list is left out instead of being wrong."""
    simulation = Simulation(Settings(burst=1))
    simulation.tell(desk.agent("ann"), desk.agent("bob"), desk.team("ann", "bob"), desk.inbox())
    simulation.tell(desk.online("ann"), desk.online("bob"))
    for name in "abc":
        simulation.tell(desk.started(name), desk.wrote(name))
    simulation.settle()
    number = max(
        n for n, (_, _, e) in enumerate(simulation.log) if isinstance(e, ConversationQueued)
    )
    _, recalled = _recalled(simulation, number)
    assert recalled.outcome == "exact"
    assert [each.rule for each in recalled.verdicts] == ["pace", "pace"]
    _, other = _recalled(simulation, number, Settings(burst=9))
    assert (other.outcome, other.verdicts) == ("differs", ())


def test_a_record_of_an_earlier_release_is_recalled_by_its_time() -> None:
    """Events without `now_ns` are judged by the time at which the log took them."""
    simulation = Simulation()
    simulation.tell(desk.agent("ann"), desk.team("ann"), desk.inbox(), desk.online("ann"))
    simulation.tell(desk.started("c"), desk.wrote("c"))
    (pick,) = simulation.round()
    assert isinstance(pick, ConversationAssigned)
    simulation.append(
        msgspec.structs.replace(pick, why=msgspec.structs.replace(pick.why, now_ns=0))
    )
    _, recalled = _recalled(simulation, simulation.position - 1)
    assert recalled.outcome == "exact"
    assert recalled.verdicts[0].agent_id == desk.agent_id("ann")


def test_several_picks_of_one_round_are_recalled_where_another_account_had_the_last_word() -> None:
    """The log of the account alone ends before the state that was judged; the place that the first pick was expected
    to have counts from that state, not from the account's last event."""
    simulation = Simulation()
    simulation.tell(desk.agent("ann"), desk.team("ann"), desk.inbox(), desk.online("ann"))
    for name in "ab":
        simulation.tell(desk.started(name), desk.wrote(name))
    simulation.tell(WriterStarted(writer="test"))
    first, second = simulation.round()
    assert isinstance(second, ConversationAssigned)
    past = Past(second, simulation.settings, now_ns=simulation.now_ns)
    for position, at_ns, event in simulation.log[:-1]:
        past.fold(event, position, at_ns)
    past.fold(first, simulation.append(first), simulation.now_ns)
    recalled = past.recalled()
    assert recalled.outcome == "exact"
    assert [each.held for each in recalled.verdicts] == [1]
