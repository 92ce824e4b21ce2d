"""Access tokens: what the gateway remembers of them opens no door that is closed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jwt
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


def test_quick_reading_accepts_what_the_library_does() -> None:
    """Tokens as we write them are read the quick way, and say what the library reads in them."""
    door = Door()
    for token in (
        door.tokens.issue_access(ACCOUNT, AGENT, life_s=60),
        door.tokens.issue_visitor(ACCOUNT, ContactId("v"), INBOX, life_s=600),
    ):
        assert door.tokens._read(token) == door.tokens._decode(token)


def test_quick_reading_opens_no_other_door() -> None:
    """Our signature under other claims, another algorithm, or no signature is refused, whichever way it is read; ours
    under a head that another library writes is good."""
    door, key = Door(), MasterKey(bytes(32)).derive("token")
    now_s = clock.now_ns() // 1_000_000_000
    claims = {"sub": AGENT, "acc": ACCOUNT, "kind": "agent", "shard": "0", "iat": now_s}
    good = claims | {"aud": "nightdesk", "exp": now_s + 60}
    head, body, tag = jwt.encode(good, key, algorithm="HS256").split(".")
    for bad in (
        jwt.encode(good | {"aud": "another"}, key, algorithm="HS256"),
        jwt.encode(claims | {"aud": "nightdesk"}, key, algorithm="HS256"),
        jwt.encode({x: good[x] for x in good if x != "iat"}, key, algorithm="HS256"),
        jwt.encode(good | {"exp": now_s - 1}, key, algorithm="HS256"),
        jwt.encode(good, key * 2, algorithm="HS512"),
        jwt.encode(good, "", algorithm="none"),
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{head}.{tag}",
        f".{head}.{body}.{tag}",
        f"{head}.{body}\ud800.{tag}",
    ):
        with pytest.raises(Rejected):
            door.tokens.check(bad)
    other = jwt.encode(good, key, algorithm="HS256", headers={"kid": "1"})
    assert door.tokens._read(other) is None
    assert door.tokens.check(other).id == AGENT
