"""The configuration of an installation, folded from its documents."""

from __future__ import annotations

from shared import events as e
from shared.directory import Directory, evolve
from shared.ids import AccountId, AgentId, InboxId, PolicyId, TeamId

_A = AccountId("a")


def _inbox(key: str, policy: str | None = None) -> e.InboxSaved:
    return e.InboxSaved(
        account_id=_A,
        writer="w",
        inbox_id=InboxId("i"),
        inbox_key=key,
        name="n",
        policy_id=PolicyId(policy) if policy else None,
    )


def _agent(capacity: int) -> e.AgentSaved:
    return e.AgentSaved(
        account_id=_A, writer="w", agent_id=AgentId("x"), name=b"", email=b"", capacity=capacity
    )


def _folded(*events: e.AccountEvent | e.WriterStarted) -> Directory:
    state = Directory()
    for position, event in enumerate(events, start=1):
        evolve(state, event, position)
    return state


def test_a_saved_document_replaces_the_one_before_and_counts_its_version() -> None:
    """The last save is the document; its position is the version that If-Match compares."""
    account = _folded(_agent(3), _agent(5)).accounts[_A]
    assert account.agents[AgentId("x")].capacity == 5
    assert account.versions["x"] == 2


def test_what_is_removed_is_gone() -> None:
    """A removed agent, team, inbox or label is not found any more, and removing twice is harmless."""
    gone = e.AgentRemoved(account_id=_A, writer="w", agent_id=AgentId("x"))
    closed = e.InboxRemoved(account_id=_A, writer="w", inbox_id=InboxId("i"))
    state = _folded(_agent(3), gone, gone, _inbox("k"), closed, closed)
    assert not state.accounts[_A].agents
    assert not state.inbox_keys


def test_an_inbox_is_found_by_its_newest_key_only() -> None:
    """A changed public key stops working at once."""
    assert _folded(_inbox("old"), _inbox("new")).inbox_keys == {"new": (_A, InboxId("i"))}


def test_an_inbox_without_a_policy_has_the_defaults() -> None:
    """A missing or removed policy never leaves an inbox without rules."""
    account = _folded(_inbox("k")).accounts[_A]
    policy, version = account.policy_of(InboxId("i"))
    assert (policy.policy_id, version) == ("default", 0)
    saved = e.PolicySaved(account_id=_A, writer="w", policy_id=PolicyId("p"), name="p")
    account = _folded(saved, _inbox("k", "p")).accounts[_A]
    assert account.policy_of(InboxId("i")) == (saved, 1)


def test_the_position_is_that_of_the_last_event_of_the_family() -> None:
    """A writer's claim counts too: it is what the next append must name."""
    assert _folded(_agent(1), e.WriterStarted(writer="w")).position == 2


def test_teams_of_an_agent_are_those_with_the_agent_as_a_member() -> None:
    """Membership is read from the teams."""
    team = e.TeamSaved(
        account_id=_A, writer="w", team_id=TeamId("t"), name="t", members={AgentId("x"): 0}
    )
    account = _folded(_agent(1), team).accounts[_A]
    assert account.teams_of(AgentId("x")) == {"t"}
    assert account.teams_of(AgentId("y")) == frozenset()
