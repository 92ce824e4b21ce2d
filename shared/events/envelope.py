"""What every event shares: whose it is, and for fenced families who wrote it.

`Envelope` reads just these fields of any event, also of one whose body this release can't read, so that an
unreadable message still takes its place in its conversation.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.ids import AccountId, ConversationId, MessageId

AuthorKind = Literal["visitor", "agent", "integration", "system"]


class Author(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who did it. `id` is a contact id for a visitor, an agent id, an API key id, or a service's name."""

    kind: AuthorKind
    id: str


class Envelope(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The readable outside of an event."""

    type: str
    account_id: AccountId = AccountId("")
    conversation_id: ConversationId | None = None
    message_id: MessageId | None = None
    writer: str = ""


class WriterStarted(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="writer_started",
):
    """A writer claims a fenced family (its subject tells which); repeated daily so the claim is never purged."""

    writer: str
    account_id: AccountId = AccountId("")
