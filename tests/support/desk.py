"""Facts for tests of routing and presence, short to write: one account, its team, its visitors."""

from __future__ import annotations

import uuid

from shared import events
from shared.events import Author, Event
from shared.events.conversation import Priority
from shared.events.presence import Availability
from shared.ids import (
    AccountId,
    AgentId,
    ContactId,
    ConversationId,
    DeviceId,
    InboxId,
    MessageId,
    PolicyId,
    Position,
    TeamId,
)

_NAMES = uuid.UUID("5f0f0a5e-3f5e-4c55-9d1c-5b5f7c1f0001")


def identifier(name: str) -> str:
    """The same UUID for the same name, so that failures can be read again."""
    return str(uuid.uuid5(_NAMES, name))


ACCOUNT = AccountId(identifier("account"))
TEAM = TeamId(identifier("team"))
INBOX = InboxId(identifier("inbox"))
POLICY = PolicyId(identifier("policy"))


def agent_id(name: str) -> AgentId:
    """The agent of that name."""
    return AgentId(identifier(f"agent {name}"))


def conversation_id(name: str) -> ConversationId:
    """The conversation of that name."""
    return ConversationId(identifier(f"conversation {name}"))


def contact_id(name: str) -> ContactId:
    """The contact of that name."""
    return ContactId(identifier(f"contact {name}"))


def device_id(name: str) -> DeviceId:
    """The device of that name."""
    return DeviceId(identifier(f"device {name}"))


def agent(
    name: str,
    *,
    capacity: int = 5,
    skills: dict[str, int] | None = None,
    channels: dict[str, int] | None = None,
) -> Event:
    """The agent exists."""
    return events.AgentSaved(
        account_id=ACCOUNT,
        writer="test",
        agent_id=agent_id(name),
        name=b"",
        email=b"",
        capacity=capacity,
        skills=skills or {},
        channel_capacity=channels or {},
    )


def team(*names: str, team_id: TeamId = TEAM, priorities: dict[str, int] | None = None) -> Event:
    """The team has these members."""
    return events.TeamSaved(
        account_id=ACCOUNT,
        writer="test",
        team_id=team_id,
        name="team",
        members={agent_id(name): (priorities or {}).get(name, 0) for name in names},
    )


def inbox(
    *,
    inbox_id: InboxId = INBOX,
    team_id: TeamId | None = TEAM,
    skills: dict[str, int] | None = None,
    policy_id: PolicyId | None = POLICY,
) -> Event:
    """The inbox exists."""
    return events.InboxSaved(
        account_id=ACCOUNT,
        writer="test",
        inbox_id=inbox_id,
        inbox_key=inbox_id,
        name="inbox",
        team_id=team_id,
        skills=skills or {},
        policy_id=policy_id,
    )


def policy(policy_id: PolicyId = POLICY, **settings: object) -> Event:
    """The policy of `INBOX`."""
    return events.PolicySaved(
        account_id=ACCOUNT,
        writer="test",
        policy_id=policy_id,
        name="policy",
        **settings,  # type: ignore[arg-type]
    )


def visitor(name: str) -> Author:
    """The visitor who has the conversation of that name."""
    return Author(kind="visitor", id=contact_id(name))


def started(
    name: str,
    *,
    priority: Priority = "normal",
    language: str = "",
    channel: str = "web",
    contact: str | None = None,
    inbox_id: InboxId = INBOX,
) -> Event:
    """A conversation exists."""
    return events.ConversationStarted(
        account_id=ACCOUNT,
        conversation_id=conversation_id(name),
        inbox_id=inbox_id,
        contact_id=contact_id(contact or name),
        by=visitor(contact or name),
        priority=priority,
        language=language,
        channel=channel,
    )


def judged(name: str, *met: str) -> Event:
    """The conversation meets these conditions and no others."""
    return events.ConditionsJudged(
        account_id=ACCOUNT, conversation_id=conversation_id(name), met=met, judged=1
    )


def labelled(name: str, *labels: str) -> Event:
    """The conversation has these labels, too."""
    return events.LabelsChanged(
        account_id=ACCOUNT,
        conversation_id=conversation_id(name),
        by=Author(kind="agent", id=agent_id("somebody")),
        added=labels,
    )


def wrote(name: str, *, message: str | None = None) -> Event:
    """The visitor wrote in it."""
    return events.MessagePosted(
        account_id=ACCOUNT,
        conversation_id=conversation_id(name),
        message_id=MessageId(identifier(f"message {message}") if message else str(uuid.uuid4())),
        author=visitor(name),
        content_type="text",
        body=b"x",
        fingerprint=b"f",
    )


def answered(name: str, by: str, *, seen_up_to: Position) -> Event:
    """An agent answered what they had seen."""
    return events.MessagePosted(
        account_id=ACCOUNT,
        conversation_id=conversation_id(name),
        message_id=MessageId(str(uuid.uuid4())),
        author=Author(kind="agent", id=agent_id(by)),
        content_type="text",
        body=b"x",
        fingerprint=b"f",
        seen_up_to=seen_up_to,
    )


def resolved(name: str, by: str, *, seen_up_to: Position) -> Event:
    """An agent resolved what they had seen."""
    return events.StatusChanged(
        account_id=ACCOUNT,
        conversation_id=conversation_id(name),
        by=Author(kind="agent", id=agent_id(by)),
        status="resolved",
        seen_up_to=seen_up_to,
    )


def snoozed(name: str, by: str, *, seen_up_to: Position, until_ns: int) -> Event:
    """An agent put it aside."""
    return events.StatusChanged(
        account_id=ACCOUNT,
        conversation_id=conversation_id(name),
        by=Author(kind="agent", id=agent_id(by)),
        status="snoozed",
        seen_up_to=seen_up_to,
        until_ns=until_ns,
    )


def online(name: str, *, device: str | None = None) -> Event:
    """A device of the agent is there."""
    return events.AgentOnline(
        account_id=ACCOUNT,
        writer="test",
        agent_id=agent_id(name),
        device_id=device_id(device or name),
    )


def offline(name: str, *, device: str | None = None) -> Event:
    """A device of the agent is gone."""
    return events.AgentOffline(
        account_id=ACCOUNT,
        writer="test",
        agent_id=agent_id(name),
        device_id=device_id(device or name),
        why="disconnected",
    )


def availability(name: str, word: Availability) -> Event:
    """The agent's own word."""
    return events.AvailabilityChanged(
        account_id=ACCOUNT, writer="test", agent_id=agent_id(name), availability=word
    )


def received(name: str, up_to: Position) -> Event:
    """A device of the agent holds everything up to there."""
    return events.Received(
        account_id=ACCOUNT,
        recipient=Author(kind="agent", id=agent_id(name)),
        device_id=device_id(name),
        up_to=up_to,
    )


def claim(name: str, by: str) -> Event:
    """An agent wants it."""
    return events.ClaimRequested(
        account_id=ACCOUNT, conversation_id=conversation_id(name), agent_id=agent_id(by)
    )


def hand_over(
    name: str,
    *,
    by: str,
    to: str | None = None,
    to_team: TeamId | None = None,
    seen_up_to: Position = 0,
) -> Event:
    """Somebody wants it with an agent, a team, or back in the queue."""
    return events.AssignmentRequested(
        account_id=ACCOUNT,
        conversation_id=conversation_id(name),
        by=Author(kind="agent", id=agent_id(by)),
        agent_id=agent_id(to) if to else None,
        team_id=to_team,
        seen_up_to=seen_up_to,
    )


def removed(name: str) -> Event:
    """The agent is gone for good."""
    return events.AgentRemoved(account_id=ACCOUNT, writer="test", agent_id=agent_id(name))


def team_removed(team_id: TeamId) -> Event:
    """The team is gone."""
    return events.TeamRemoved(account_id=ACCOUNT, writer="test", team_id=team_id)


def policy_removed(policy_id: PolicyId = POLICY) -> Event:
    """The policy is gone."""
    return events.PolicyRemoved(account_id=ACCOUNT, writer="test", policy_id=policy_id)


def inbox_removed(inbox_id: InboxId) -> Event:
    """The door is closed."""
    return events.InboxRemoved(account_id=ACCOUNT, writer="test", inbox_id=inbox_id)
