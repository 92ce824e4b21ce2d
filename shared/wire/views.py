"""JSON objects that both REST and the WebSocket show. Texts are readable here: this is the decrypted side."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.commands import Occupation
from shared.conversation import Status
from shared.events.account import Role
from shared.events.conversation import Priority
from shared.events.presence import Availability
from shared.policy.document import (
    DeadlineClock,
    FallbackTeam,
    Hours,
    OutsideHours,
    Strategy,
)


class _View(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Settings of every view: every field is always present."""


class AuthorView(_View, frozen=True, kw_only=True):
    """Who wrote. `name` is null for removed agents and for visitors: a visitor's name is in ContactView."""

    kind: Literal["visitor", "agent", "integration", "system"]
    id: str
    name: str | None = None


class LookerView(_View, frozen=True, kw_only=True):
    """An agent who has a conversation open, on any of their devices, and since when."""

    agent: AuthorView
    since: str


class MessageView(_View, frozen=True, kw_only=True):
    """A message. `seq` is dense within its conversation, `position` orders everything. `text` is null when it was
    retracted, or can't be read (`unreadable`: it came damaged, or its key was erased). `crossed`: written before its author could see a colleague's answer.
    `state` is how far it got with the other side: accepted, pending (no owner yet), sent, received, read."""

    conversation_id: str
    message_id: str
    seq: int
    position: int
    at: str
    author: AuthorView
    content_type: str
    text: str | None
    revision: int = 0
    device_id: str | None = None
    seen_up_to: int = 0
    automatic: bool = False
    crossed: bool = False
    retracted: bool = False
    unreadable: bool = False
    state: Literal["accepted", "pending", "sent", "received", "read"] | None = None


class NoteView(_View, frozen=True, kw_only=True):
    """A note for colleagues."""

    conversation_id: str
    note_id: str
    position: int
    at: str
    author: AuthorView
    text: str | None


class ReceiptView(_View, frozen=True, kw_only=True):
    """How far somebody got in a conversation, by position."""

    conversation_id: str
    by: AuthorView
    received: int
    read: int


class ConversationView(_View, frozen=True, kw_only=True):
    """A conversation. `waiting_since` is the position and `waiting_since_at` the time of the oldest unanswered
    visitor message. `unread` counts for the asker; in an inbox entry it is null, and `last_message` and `receipts` are left
    out: an entry tells what changed, not how it all stands. `overdue`: the deadline of the answer that is due, or of the case, is
    past and on record; `escalated`: so long that the supervisors were told. `contact`: who writes, in lists and for one
    conversation; left out in entries. Visitors see no labels, no previous agent, nothing of deadlines and no `contact`."""

    conversation_id: str
    inbox_id: str
    contact_id: str
    channel: str
    language: str
    priority: Priority
    status: Status
    labels: list[str]
    team_id: str | None
    agent_id: str | None
    previous_agent_id: str | None
    waiting_since: int
    waiting_since_at: str | None
    snoozed_until: str | None
    last_seq: int
    last_position: int
    version: int
    created_at: str
    updated_at: str
    rating: int
    unread: int | None
    last_message: MessageView | None = None
    receipts: list[ReceiptView] = []
    overdue: bool = False
    escalated: bool = False
    contact: ContactView | None = None


class EntryView(_View, frozen=True, kw_only=True):
    """One entry of an inbox. `prev` is the position of the entry before it in this inbox: a client that holds
    another one has a gap and must resume. Kinds and their fields:

    message, message_edited, message_retracted: `message`; note: `note`; conversation_assigned: `conversation`, and
    the messages `from_seq`..`to_seq` not given to this inbox before (`more`: read the rest with
    GET /conversations/{id}/messages?after_seq=…); conversation_left, conversation_changed: `conversation`.
    `alert`: whether this device should make itself heard, until `alert_until`.
    """

    position: int
    prev: int
    at: str
    kind: Literal[
        "message",
        "message_edited",
        "message_retracted",
        "note",
        "conversation_assigned",
        "conversation_left",
        "conversation_changed",
    ]
    conversation_id: str
    alert: bool = False
    alert_until: str | None = None
    held: bool = True
    message: MessageView | None = None
    note: NoteView | None = None
    conversation: ConversationView | None = None
    from_seq: int = 0
    to_seq: int = 0
    messages: list[MessageView] = []
    more: bool = False


class ContactView(_View, frozen=True, kw_only=True):
    """A visitor. `erased`: what was known of them was sealed with a key that is gone; `name`, `email` and `attributes` are
    empty for ever."""

    contact_id: str
    inbox_id: str
    is_identified: bool
    name: str | None
    email: str | None
    attributes: dict[str, str]
    merged_into: str | None = None
    created_at: str | None = None
    erased: bool = False


class LoadView(_View, frozen=True, kw_only=True):
    """What an agent has, as the dispatcher counts it. `held` of `capacity`, also by channel where the agent has a limit or
    holds some; `owned`: also what is put away. `occupation`: "free", or the first rule by which the agent is given nothing:
    offline, not_available, silent (did not acknowledge in time), at_capacity, pace (too many unacknowledged)."""

    held: int
    capacity: int
    owned: int
    channels: list[ChannelLoad]
    occupation: Occupation
    unacknowledged: int


class ChannelLoad(_View, frozen=True, kw_only=True):
    """Of one channel; `capacity` is null where there is no limit of its own."""

    channel: str
    held: int
    capacity: int | None


class AgentView(_View, frozen=True, kw_only=True):
    """An agent. `version` goes into If-Match. `email` is shown to admins and to the agent, `load` to supervisors, admins, API
    keys and the agent, in GET /agents. Null is not known just now, or not for the asker: presence knows `online` and
    `availability`, the dispatcher `load`."""

    agent_id: str
    name: str
    email: str | None
    role: Role
    capacity: int
    skills: dict[str, int]
    channel_capacity: dict[str, int]
    teams: list[str]
    version: int
    online: bool | None = None
    availability: Availability | None = None
    load: LoadView | None = None


class TeamView(_View, frozen=True, kw_only=True):
    """A team; `members` maps agent ids to their priority (lower is asked first)."""

    team_id: str
    name: str
    members: dict[str, int]
    version: int


class InboxView(_View, frozen=True, kw_only=True):
    """A door for visitors; `inbox_key` is public."""

    inbox_id: str
    inbox_key: str
    name: str
    channel: str
    team_id: str | None
    skills: dict[str, int]
    policy_id: str | None
    origins: list[str]
    version: int


class SkillRuleView(_View, frozen=True, kw_only=True):
    """Who is wanted, and for what; `page`, `attribute` and `equals` are null where no key opens them."""

    skill: str
    level: int
    language: str
    channel: str
    label: str
    page: str | None
    attribute: str | None
    equals: str | None


class PolicyView(_View, frozen=True, kw_only=True):
    """How conversations are handed out; times in seconds, 0 switches a deadline off.

    `strategy`: who of those who may take a conversation is asked. `ageing_s`: for each time so long that it waits it
    rises by one priority. After a missed deadline the agent is reminded, `reassign_after_s` later somebody else gets
    it, and `escalate_after_s` after the deadline (0: its own time again) the supervisors are told. `deadline_clock`
    "business" counts only the time within `hours`; `outside_hours` "wait" keeps what comes outside them for the opening and
    for fallback teams, "assign" gives it to whoever is available."""

    policy_id: str
    name: str
    assignment_lease_s: int
    offline_return_s: int
    first_response_s: int
    next_response_s: int
    prefer_previous_agent: bool
    language_skills: bool
    skill_rules: list[SkillRuleView]
    ageing_s: int
    strategy: Strategy
    fallback_teams: list[FallbackTeam]
    previous_agent_wait_s: int
    hours: Hours | None
    deadline_clock: DeadlineClock
    resolution_s: int
    reassign_after_s: int
    escalate_after_s: int
    outside_hours: OutsideHours
    version: int


class LabelView(_View, frozen=True, kw_only=True):
    """A label."""

    name: str
    colour: str
    version: int
