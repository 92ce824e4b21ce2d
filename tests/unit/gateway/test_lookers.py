"""Who has which conversation open: kept for a while, each agent once, bounded."""

from __future__ import annotations

from services.gateway.lookers import Lookers
from shared.commands import Looker
from tests.support.desk import ACCOUNT, agent_id, conversation_id

CASE = conversation_id("case")


def looker(name: str, *, connection: int = 1, since: int = 0, is_looking: bool = True) -> Looker:
    """A connection of that agent in the one conversation."""
    return Looker(
        account_id=ACCOUNT,
        conversation_id=CASE,
        agent_id=agent_id(name),
        connection=connection,
        since_ns=since,
        is_looking=is_looking,
    )


def test_only_a_change_is_told() -> None:
    """Coming and leaving change what is shown; saying it again, or leaving twice, does not."""
    lookers = Lookers(life_s=10)
    assert lookers.hear("a", [looker("ann")], 0) == {CASE}
    assert lookers.hear("a", [looker("ann")], 1) == set()
    assert lookers.hear("a", [looker("ann", is_looking=False)], 2) == {CASE}
    assert lookers.hear("a", [looker("ann", is_looking=False)], 3) == set()
    assert lookers.at(CASE) == []


def test_an_agent_with_two_devices_is_shown_once() -> None:
    """Since the first of them, and until the last of them has left."""
    lookers = Lookers(life_s=10)
    lookers.hear("a", [looker("ann", since=5)], 0)
    lookers.hear("b", [looker("ann", since=3), looker("bob", connection=2, since=4)], 0)
    assert lookers.at(CASE) == [(agent_id("ann"), 3), (agent_id("bob"), 4)]
    lookers.hear("b", [looker("ann", is_looking=False)], 0)
    assert lookers.at(CASE) == [(agent_id("bob"), 4), (agent_id("ann"), 5)]


def test_a_gateway_of_which_nothing_is_heard_takes_its_lookers_along() -> None:
    """After the life of a word they are gone; those of a gateway that goes on speaking stay."""
    lookers = Lookers(life_s=10)
    lookers.hear("dead", [looker("ann")], 0)
    lookers.hear("alive", [looker("bob")], 0)
    lookers.hear("alive", [looker("bob")], 9)
    assert lookers.lapse(9.9) == set()
    assert lookers.lapse(10) == {CASE}
    assert lookers.at(CASE) == [(agent_id("bob"), 0)]
    assert lookers.lapse(10) == set()


def test_memory_is_bounded() -> None:
    """Beyond the most that is kept the one of whom nothing was heard for longest goes."""
    lookers = Lookers(life_s=10, most=2)
    for number in range(5):
        lookers.hear("a", [looker(f"agent {number}", connection=number)], number)
    assert len(lookers) == 2
    assert {each for each, _ in lookers.at(CASE)} == {agent_id("agent 3"), agent_id("agent 4")}
