"""Access tokens: what the gateway remembers of them opens no door that is closed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from services.gateway.tokens import Tokens
from shared import clock
from shared.crypto import MasterKey
from shared.errors import Rejected
from shared.ids import AccountId, AgentId, ContactId, InboxId

ACCOUNT, AGENT, INBOX = AccountId("acc"), AgentId("ann"), InboxId("door")


class Door:
    """Tokens of an account with one agent and one inbox."""

    def __init__(self, *, secret: bytes = bytes(32), shard: str = "0") -> None:
        agent = SimpleNamespace(agent_id=AGENT, role="agent")
        self.account = SimpleNamespace(
            account_id=ACCOUNT, agents={AGENT: agent}, inboxes={INBOX: None}
        )
        directory: Any = SimpleNamespace(state=SimpleNamespace(accounts={ACCOUNT: self.account}))
        pool: Any = None
        self.tokens = Tokens(master=MasterKey(secret), shard=shard, directory=directory, pool=pool)


def test_a_token_that_was_good_is_still_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that was checked a moment ago is refused once it has run out, its agent is gone, or its inbox is."""
    door = Door()
    agent = door.tokens.issue_access(ACCOUNT, AGENT, life_s=60)
    visitor = door.tokens.issue_visitor(ACCOUNT, ContactId("v"), INBOX, life_s=600)
    for token, who in ((agent, "ann"), (visitor, "v")):
        assert door.tokens.check(token).id == door.tokens.check(token).id == who
    door.account.agents[AGENT].role = "admin"
    assert door.tokens.check(agent).role == "admin"
    later_ns = clock.now_ns() + 61 * 1_000_000_000
    with monkeypatch.context() as patch:
        patch.setattr(clock, "now_ns", lambda: later_ns)
        with pytest.raises(Rejected):
            door.tokens.check(agent)
        assert door.tokens.check(visitor).id == "v"
    door.account.agents.clear()
    door.account.inboxes.clear()
    for token in (agent, visitor):
        with pytest.raises(Rejected):
            door.tokens.check(token)


def test_what_only_looks_like_a_good_token_is_refused() -> None:
    """Neither a changed token nor one of another installation profits from one that was remembered."""
    door = Door()
    token = door.tokens.issue_access(ACCOUNT, AGENT, life_s=60)
    assert door.tokens.check(token).id == AGENT
    foreign = Door(secret=bytes([1]) * 32).tokens.issue_access(ACCOUNT, AGENT, life_s=60)
    head, body, tag = token.split(".")
    other = "B" if tag[0] == "A" else "A"
    for bad in (
        foreign,
        f"{head}.{body}.{other}{tag[1:]}",
        f"{head}.{body}.",
        f"{token}\ud800",
        token[1:],
    ):
        for _ in range(2):
            with pytest.raises(Rejected):
                door.tokens.check(bad)
    other_shard = Door(shard="1")
    with pytest.raises(Rejected):
        other_shard.tokens.check(token)
