"""One event of every type with every field set, so that a golden file pins all of them."""

from __future__ import annotations

import typing

from shared import events as e
from shared.events import Author, Event, Explanation, Scored
from shared.ids import (
    AccountId,
    AgentId,
    ContactId,
    ConversationId,
    DeviceId,
    InboxId,
    MessageId,
    NoteId,
    PolicyId,
    TeamId,
)
from shared.policy.document import FallbackTeam, Hours, Interval, SkillRule

_A = AccountId("11111111-1111-4111-8111-111111111111")
_AGENT = AgentId("22222222-2222-4222-8222-222222222222")
_TEAM = TeamId("33333333-3333-4333-8333-333333333333")
_INBOX = InboxId("44444444-4444-4444-8444-444444444444")
_CONTACT = ContactId("55555555-5555-4555-8555-555555555555")
_CONVERSATION = ConversationId("66666666-6666-4666-8666-666666666666")
_MESSAGE = MessageId("01890a5d-ac96-774b-bcce-b302099a8057")
_NOTE = NoteId("77777777-7777-4777-8777-777777777777")
_DEVICE = DeviceId("88888888-8888-4888-8888-888888888888")
_POLICY = PolicyId("99999999-9999-4999-8999-999999999999")
_VISITOR = Author(kind="visitor", id=_CONTACT)
_STAFF = Author(kind="agent", id=_AGENT)
_WHY = Explanation(
    trigger="queue",
    policy_version=7,
    state_position=41,
    winner=Scored(agent_id=_AGENT, parts=(("previous", 0.0), ("load", 0.25))),
    runners_up=(Scored(agent_id=_AGENT, parts=(("previous", 1.0),)),),
    excluded={"offline": 2},
    requested_by=_AGENT,
    queue_place=3,
    now_ns=5_000_000_000,
)
_NIGHT = e.TeamSaved(
    account_id=_A, writer="w1", team_id=_TEAM, name="night", members={_AGENT: 1}, by=_AGENT
)

SAMPLES: tuple[Event, ...] = (
    e.MessagePosted(
        account_id=_A,
        conversation_id=_CONVERSATION,
        message_id=_MESSAGE,
        author=_STAFF,
        content_type="text",
        body=b"\x01cipher",
        fingerprint=b"\x02print",
        device_id=_DEVICE,
        seen_up_to=40,
        automatic=True,
    ),
    e.MessageEdited(
        account_id=_A,
        conversation_id=_CONVERSATION,
        message_id=_MESSAGE,
        revision=1,
        author=_VISITOR,
        body=b"\x01cipher",
    ),
    e.MessageRetracted(
        account_id=_A, conversation_id=_CONVERSATION, message_id=_MESSAGE, author=_VISITOR
    ),
    e.Received(account_id=_A, recipient=_STAFF, device_id=_DEVICE, up_to=42),
    e.ReceivedTogether(
        account_id=_A,
        receipts=(
            e.Receipt(recipient=_STAFF, device_id=_DEVICE, up_to=42),
            e.Receipt(recipient=_VISITOR, device_id=_DEVICE, up_to=43),
        ),
    ),
    e.Read(account_id=_A, conversation_id=_CONVERSATION, recipient=_VISITOR, up_to=42),
    e.ContactCreated(
        account_id=_A,
        contact_id=_CONTACT,
        inbox_id=_INBOX,
        is_identified=True,
        profile=b"\x01cipher",
    ),
    e.ContactChanged(
        account_id=_A, contact_id=_CONTACT, profile=b"\x01cipher", by=_VISITOR, base=3
    ),
    e.ContactMerged(account_id=_A, contact_id=_CONTACT, into=ContactId(_INBOX)),
    e.ConversationStarted(
        account_id=_A,
        conversation_id=_CONVERSATION,
        inbox_id=_INBOX,
        contact_id=_CONTACT,
        by=_VISITOR,
        channel="mail",
        language="zh",
        priority="high",
        page=b"\x01cipher",
        met=("0123456789abcdef",),
        judged=7,
    ),
    e.ConditionsJudged(
        account_id=_A, conversation_id=_CONVERSATION, met=("0123456789abcdef",), judged=7
    ),
    e.LabelsChanged(
        account_id=_A,
        conversation_id=_CONVERSATION,
        by=_STAFF,
        added=("billing",),
        removed=("new",),
    ),
    e.PriorityChanged(account_id=_A, conversation_id=_CONVERSATION, by=_STAFF, priority="urgent"),
    e.NoteAdded(
        account_id=_A,
        conversation_id=_CONVERSATION,
        note_id=_NOTE,
        author=_STAFF,
        body=b"\x01cipher",
    ),
    e.StatusChanged(
        account_id=_A,
        conversation_id=_CONVERSATION,
        by=_STAFF,
        status="snoozed",
        seen_up_to=42,
        until_ns=1_900_000_000_000_000_000,
    ),
    e.Rated(
        account_id=_A, conversation_id=_CONVERSATION, by=_VISITOR, score=5, comment=b"\x01cipher"
    ),
    e.AssignmentRequested(
        account_id=_A,
        conversation_id=_CONVERSATION,
        by=_STAFF,
        agent_id=_AGENT,
        team_id=_TEAM,
        seen_up_to=40,
    ),
    e.ClaimRequested(account_id=_A, conversation_id=_CONVERSATION, agent_id=_AGENT),
    e.AccountCreated(account_id=_A, writer="w1", name=b"\x01cipher"),
    e.AgentSaved(
        account_id=_A,
        writer="w1",
        agent_id=_AGENT,
        name=b"\x01cipher",
        email=b"\x01cipher",
        role="admin",
        capacity=9,
        skills={"billing": 4},
        channel_capacity={"mail": 3},
        by=_AGENT,
    ),
    e.AgentRemoved(account_id=_A, writer="w1", agent_id=_AGENT, by=_AGENT),
    _NIGHT,
    e.TeamRemoved(account_id=_A, writer="w1", team_id=_TEAM, by=_AGENT),
    e.InboxSaved(
        account_id=_A,
        writer="w1",
        inbox_id=_INBOX,
        inbox_key="key",
        name="site",
        channel="mail",
        team_id=_TEAM,
        skills={"billing": 2},
        policy_id=_POLICY,
        origins=("https://example.org",),
        by=_AGENT,
    ),
    e.InboxRemoved(account_id=_A, writer="w1", inbox_id=_INBOX, by=_AGENT),
    e.PolicyRemoved(account_id=_A, writer="w1", policy_id=_POLICY, by=_AGENT),
    e.RoutingSaved(
        account_id=_A,
        writer="w1",
        parts=(_NIGHT, e.PolicyRemoved(account_id=_A, writer="w1", policy_id=_POLICY)),
        by=_AGENT,
    ),
    e.PolicySaved(
        account_id=_A,
        writer="w1",
        policy_id=_POLICY,
        name="strict",
        assignment_lease_s=30,
        offline_return_s=90,
        first_response_s=300,
        next_response_s=600,
        prefer_previous_agent=False,
        language_skills=False,
        skill_rules=(
            SkillRule(
                skill="billing",
                level=2,
                language="de",
                channel="mail",
                label="vip",
                condition="0123456789abcdef",
                sealed=b"\x01cipher",
            ),
        ),
        ageing_s=900,
        strategy="round_robin",
        fallback_teams=(
            FallbackTeam(
                team_id=_TEAM,
                after_s=600,
                when_closed=True,
                hours=Hours(
                    zone="Asia/Shanghai",
                    weekly=(Interval(day="sunday", start="00:00", end="24:00"),),
                ),
            ),
        ),
        previous_agent_wait_s=120,
        hours=Hours(
            zone="Europe/Berlin",
            weekly=(Interval(day="monday", start="09:00", end="17:30"),),
            holidays=("2026-12-25",),
        ),
        deadline_clock="business",
        resolution_s=86_400,
        reassign_after_s=60,
        escalate_after_s=300,
        outside_hours="wait",
        by=_AGENT,
    ),
    e.LabelSaved(account_id=_A, writer="w1", name="billing", colour="#aa0000"),
    e.LabelRemoved(account_id=_A, writer="w1", name="billing"),
    e.AgentOnline(account_id=_A, writer="w1", agent_id=_AGENT, device_id=_DEVICE),
    e.AgentOffline(account_id=_A, writer="w1", agent_id=_AGENT, device_id=_DEVICE, why="lapsed"),
    e.AvailabilityChanged(account_id=_A, writer="w1", agent_id=_AGENT, availability="away"),
    e.PrimaryDeviceChanged(
        account_id=_A,
        writer="w1",
        agent_id=_AGENT,
        device_id=_DEVICE,
        fence=4,
        why="unanswered",
        alert=40_123,
        alert_until_ns=1_750_000_120_000_000_000,
    ),
    e.ConversationAssigned(
        account_id=_A,
        writer="w1",
        conversation_id=_CONVERSATION,
        agent_id=_AGENT,
        team_id=_TEAM,
        why=_WHY,
        lease_s=45,
    ),
    e.ConversationQueued(
        account_id=_A,
        writer="w1",
        conversation_id=_CONVERSATION,
        team_id=_TEAM,
        waiting_since=40,
        why=_WHY,
    ),
    e.AssignmentRefused(
        account_id=_A,
        writer="w1",
        conversation_id=_CONVERSATION,
        request=39,
        code="already_assigned",
    ),
    e.DeadlineMissed(
        account_id=_A,
        writer="w1",
        conversation_id=_CONVERSATION,
        deadline="first_response",
        waiting_since=40,
        agent_id=_AGENT,
    ),
    e.Escalated(
        account_id=_A,
        writer="w1",
        conversation_id=_CONVERSATION,
        waiting_since=40,
        deadline="resolution",
    ),
    e.WriterStarted(writer="w1", account_id=_A),
)


def all_types() -> set[type]:
    """Every type of the closed union."""
    return set(typing.get_args(Event))
