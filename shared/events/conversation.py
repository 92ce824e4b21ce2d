"""Contacts and conversations apart from their messages. Written by gateways. Wishes end in "Requested": the
dispatcher answers them with a routing event."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.events.envelope import Author
from shared.ids import (
    AccountId,
    AgentId,
    ContactId,
    ConversationId,
    InboxId,
    NoteId,
    Position,
    TeamId,
)

Priority = Literal["urgent", "high", "normal", "low"]
SettableStatus = Literal["open", "snoozed", "resolved"]


class ContactCreated(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="contact_created",
):
    """A visitor arrived for the first time. `profile` is ciphertext (part "profile") of a JSON object.

    May be repeated for an identified contact (its id is derived); the first one counts.
    """

    account_id: AccountId
    contact_id: ContactId
    inbox_id: InboxId
    is_identified: bool = False
    profile: bytes = b""


class ContactChanged(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="contact_changed",
):
    """The contact's profile was replaced. `base`: the revision it was made from; it counts only if that is still the
    one, otherwise somebody else was quicker and its writer makes it again (None, from older releases: always)."""

    account_id: AccountId
    contact_id: ContactId
    profile: bytes
    by: Author
    base: int | None = None


class ContactMerged(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="contact_merged",
):
    """An anonymous visitor turned out to be an identified contact: the conversations of `contact_id` now
    belong to `into`, and posts of the old id in them count as posts of the new one."""

    account_id: AccountId
    contact_id: ContactId
    into: ContactId


class ConversationStarted(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="conversation_started",
):
    """A conversation exists. It waits for nobody until its first message. A repeat changes nothing. `page` is ciphertext
    (part "page"); `met`: the conditions of the policy, as of its version `judged`, that page and contact meet."""

    account_id: AccountId
    conversation_id: ConversationId
    inbox_id: InboxId
    contact_id: ContactId
    by: Author
    channel: str = "web"
    language: str = ""
    priority: Priority = "normal"
    page: bytes = b""
    met: tuple[str, ...] = ()
    judged: Position = 0


class ConditionsJudged(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="conditions_judged",
):
    """The contact changed: these conditions of the policy, as of its version `judged`, are met now, no others."""

    account_id: AccountId
    conversation_id: ConversationId
    met: tuple[str, ...] = ()
    judged: Position = 0


class LabelsChanged(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="labels_changed",
):
    """Labels were added and removed."""

    account_id: AccountId
    conversation_id: ConversationId
    by: Author
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class PriorityChanged(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="priority_changed",
):
    """The conversation's priority was set."""

    account_id: AccountId
    conversation_id: ConversationId
    by: Author
    priority: Priority


class NoteAdded(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="note_added",
):
    """A note for colleagues; never shown to the visitor. `body` is ciphertext, part "note"."""

    account_id: AccountId
    conversation_id: ConversationId
    note_id: NoteId
    author: Author
    body: bytes


class StatusChanged(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="status_changed",
):
    """Somebody set the status. It closes only what lies at or before `seen_up_to`: a later visitor message
    keeps the conversation open. `until_ns` (since 1970) is for snoozed."""

    account_id: AccountId
    conversation_id: ConversationId
    by: Author
    status: SettableStatus
    seen_up_to: Position
    until_ns: int = 0


class Rated(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="rated"
):
    """The visitor judged the service, 1 (bad) to 5 (good). `comment` is ciphertext, part "comment"."""

    account_id: AccountId
    conversation_id: ConversationId
    by: Author
    score: int
    comment: bytes = b""


class AssignmentRequested(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="assignment_requested",
):
    """Somebody wants this conversation with an agent, or with a team (agent None: back to the queue). `seen_up_to`: the
    last entry of it that they knew of, 0 unknown; it is refused when somebody else's wish was met after that."""

    account_id: AccountId
    conversation_id: ConversationId
    by: Author
    agent_id: AgentId | None = None
    team_id: TeamId | None = None
    seen_up_to: Position = 0


class ClaimRequested(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="claim_requested",
):
    """An agent wants an unowned conversation for themself; the first claim in the log wins."""

    account_id: AccountId
    conversation_id: ConversationId
    agent_id: AgentId


ConversationEvent = (
    ContactCreated
    | ContactChanged
    | ContactMerged
    | ConversationStarted
    | ConditionsJudged
    | LabelsChanged
    | PriorityChanged
    | NoteAdded
    | StatusChanged
    | Rated
    | AssignmentRequested
    | ClaimRequested
)
