"""What is tried on the past: nothing else, settings for every policy, or a whole routing document. Says what would have
been saved at the beginning, and what becomes of what was saved later. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from shared.directory import Account
from shared.events import (
    AccountEvent,
    AgentSaved,
    Event,
    InboxSaved,
    PolicyRemoved,
    PolicySaved,
    TeamRemoved,
    TeamSaved,
    parts_of,
)
from shared.ids import PolicyId

NO_POLICY = PolicyId("00000000-0000-4000-8000-0000000000f1")
"""Inboxes without a policy of their own get the tried settings under this id."""


class Plan:
    """`changes`: settings of every policy. `whole`: the account as a routing document makes it of the one of today."""

    def __init__(
        self, *, changes: dict[str, Any] | None = None, whole: Account | None = None
    ) -> None:
        self._changes = changes or {}
        self._whole = whole

    def first(self, account: Account) -> list[AccountEvent]:
        """What an administrator would have saved to have the plan in force for every inbox."""
        if self._whole is not None:
            return list(self._documents(account, self._whole))
        if not self._changes:
            return []
        saved: list[AccountEvent] = [self._patched(each) for each in account.policies.values()]
        named = {"name": "what if"} | self._changes
        saved.append(
            PolicySaved(account_id=account.account_id, writer="", policy_id=NO_POLICY, **named)
        )
        return [*saved, *(self._patched(each) for each in account.inboxes.values())]

    def _documents(self, account: Account, whole: Account) -> Iterator[AccountEvent]:
        """Nothing is removed: a team that nobody asks is as good as none."""
        yield from (self._set(each, whole) for each in account.agents.values())
        yield from whole.teams.values()
        yield from whole.policies.values()
        yield from (self._set(each, whole) for each in account.inboxes.values())

    def told(self, event: Event) -> list[Event]:
        """What becomes of an event of the log, all at its position."""
        if not isinstance(event, AccountEvent):
            return [event]
        parts = parts_of(event)
        whole = self._whole
        if whole is None:
            return [self._patched(part) for part in parts]
        return [self._set(part, whole) for part in parts if not _is_ruled(part, whole)]

    def _patched(self, event: AccountEvent) -> AccountEvent:
        """A policy with the changes; an inbox without a policy with the tried one."""
        if not self._changes:
            return event
        if isinstance(event, PolicySaved):
            return msgspec.structs.replace(event, **self._changes)
        if isinstance(event, InboxSaved) and event.policy_id is None:
            return msgspec.structs.replace(event, policy_id=NO_POLICY)
        return event

    def _set(self, event: AccountEvent, whole: Account) -> AccountEvent:
        """An agent who can what the document says, an inbox bound as it says; others as they were."""
        match event:
            case AgentSaved() if event.agent_id in whole.agents:
                able = whole.agents[event.agent_id]
                return msgspec.structs.replace(
                    event,
                    capacity=able.capacity,
                    skills=able.skills,
                    channel_capacity=able.channel_capacity,
                )
            case InboxSaved() if event.inbox_id in whole.inboxes:
                bound = whole.inboxes[event.inbox_id]
                return msgspec.structs.replace(
                    event, team_id=bound.team_id, skills=bound.skills, policy_id=bound.policy_id
                )
            case _:
                return event


def _is_ruled(event: AccountEvent, whole: Account) -> bool:
    """Whether the document has the say about it, whatever was saved meanwhile."""
    match event:
        case TeamSaved() | TeamRemoved():
            return event.team_id in whole.teams
        case PolicySaved() | PolicyRemoved():
            return event.policy_id in whole.policies
        case _:
            return False
