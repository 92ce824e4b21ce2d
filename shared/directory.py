"""An installation's configuration, folded from the `account` family: the one fold that gateway, dispatcher and
presence share. Pure; what people wrote in it (names, addresses) stays ciphertext."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

import msgspec

from shared.events import (
    AccountCreated,
    AccountEvent,
    AccountPart,
    AgentRemoved,
    AgentSaved,
    InboxRemoved,
    InboxSaved,
    LabelRemoved,
    LabelSaved,
    PolicyRemoved,
    PolicySaved,
    TeamRemoved,
    TeamSaved,
    WriterStarted,
    parts_of,
)
from shared.ids import AccountId, AgentId, InboxId, PolicyId, Position, TeamId

D = TypeVar("D", bound=msgspec.Struct)


class Account(msgspec.Struct, kw_only=True):
    """One account's documents by id, and `versions`: document id (or label name) to the position of its last event.
    `routing`: the version of its routing document, the position of the last event that changed what that says."""

    account_id: AccountId
    name: bytes = b""
    agents: dict[AgentId, AgentSaved] = {}
    teams: dict[TeamId, TeamSaved] = {}
    inboxes: dict[InboxId, InboxSaved] = {}
    policies: dict[PolicyId, PolicySaved] = {}
    labels: dict[str, LabelSaved] = {}
    versions: dict[str, Position] = {}
    routing: Position = 0

    def policy_of(self, inbox_id: InboxId) -> tuple[PolicySaved, Position]:
        """The policy that rules an inbox and its version: the inbox's own, else the defaults (version 0)."""
        inbox = self.inboxes.get(inbox_id)
        policy = self.policies.get(inbox.policy_id) if inbox and inbox.policy_id else None
        if policy is None:
            return _defaults(self.account_id), 0
        return policy, self.versions.get(policy.policy_id, 0)

    def teams_of(self, agent_id: AgentId) -> frozenset[TeamId]:
        """The teams that an agent is a member of."""
        return frozenset(t.team_id for t in self.teams.values() if agent_id in t.members)


class Directory(msgspec.Struct, kw_only=True):
    """Every account of a shard. `position` is the last event of the family that was folded: what a fenced
    writer gives as its expected sequence."""

    accounts: dict[AccountId, Account] = {}
    inbox_keys: dict[str, tuple[AccountId, InboxId]] = {}
    position: Position = 0


def unsigned(document: D) -> D:
    """The document without who wrote it."""
    names = {"writer", "by"} & set(document.__struct_fields__)
    return msgspec.structs.replace(document, **dict.fromkeys(names, ""))


def signed(document: D, by: str) -> D:
    """The document with who wanted it, where it has a place for that."""
    if "by" not in document.__struct_fields__:
        return document
    return msgspec.structs.replace(document, by=by)


@lru_cache(maxsize=10_000)
def _defaults(account_id: AccountId) -> PolicySaved:
    return PolicySaved(
        account_id=account_id, writer="", policy_id=PolicyId("default"), name="default"
    )


def evolve(state: Directory, event: AccountEvent | WriterStarted, position: Position) -> None:
    """Apply one event of the account family in place."""
    state.position = position
    if isinstance(event, WriterStarted):
        return
    account = state.accounts.get(event.account_id)
    if account is None:
        account = state.accounts[event.account_id] = Account(account_id=event.account_id)
    for part in parts_of(event):
        if _routes(account, part):
            account.routing = position
        _apply(state, account, part, position)


def _routes(account: Account, event: AccountPart) -> bool:
    """Whether it changes what the routing document says."""
    match event:
        case AgentSaved():
            return _skilled(account.agents.get(event.agent_id)) != _skilled(event)
        case InboxSaved():
            return _bound(account.inboxes.get(event.inbox_id)) != _bound(event)
        case TeamSaved():
            before = account.teams.get(event.team_id)
            return before is None or (before.name, before.members) != (event.name, event.members)
        case AgentRemoved():
            return event.agent_id in account.agents
        case InboxRemoved():
            return event.inbox_id in account.inboxes
        case PolicySaved() | PolicyRemoved() | TeamRemoved():
            return True
        case _:
            return False


def _skilled(agent: AgentSaved | None) -> object:
    return None if agent is None else (agent.capacity, agent.skills, agent.channel_capacity)


def _bound(inbox: InboxSaved | None) -> object:
    return None if inbox is None else (inbox.team_id, inbox.policy_id, inbox.skills)


def _apply(state: Directory, account: Account, event: AccountPart, position: Position) -> None:
    match event:
        case AccountCreated():
            account.name = event.name
            account.versions[event.account_id] = position
        case AgentSaved():
            account.agents[event.agent_id] = event
            account.versions[event.agent_id] = position
        case AgentRemoved():
            account.agents.pop(event.agent_id, None)
        case TeamSaved():
            account.teams[event.team_id] = event
            account.versions[event.team_id] = position
        case TeamRemoved():
            account.teams.pop(event.team_id, None)
        case InboxSaved():
            _save_inbox(state, account, event)
            account.versions[event.inbox_id] = position
        case InboxRemoved():
            gone = account.inboxes.pop(event.inbox_id, None)
            if gone is not None:
                state.inbox_keys.pop(gone.inbox_key, None)
        case PolicySaved():
            account.policies[event.policy_id] = event
            account.versions[event.policy_id] = position
        case PolicyRemoved():
            account.policies.pop(event.policy_id, None)
        case LabelSaved():
            account.labels[event.name] = event
            account.versions[event.name] = position
        case LabelRemoved():
            account.labels.pop(event.name, None)


def _save_inbox(state: Directory, account: Account, event: InboxSaved) -> None:
    before = account.inboxes.get(event.inbox_id)
    if before is not None and before.inbox_key != event.inbox_key:
        state.inbox_keys.pop(before.inbox_key, None)
    account.inboxes[event.inbox_id] = event
    state.inbox_keys[event.inbox_key] = (account.account_id, event.inbox_id)
