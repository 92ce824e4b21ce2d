"""What people wrote. Written by gateways (and by the notifier for inbound mail)."""

from __future__ import annotations

import msgspec

from shared.events.envelope import Author
from shared.ids import AccountId, ConversationId, DeviceId, MessageId, Position


class MessagePosted(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag_field="type",
    tag="message_posted",
):
    """A message was accepted.

    `body` is the ciphertext of part "body" at revision 0. `fingerprint` tells a repeat (same id, same
    fingerprint) from a clash. `seen_up_to` is the position of the last entry of the conversation that an agent
    had been shown; the message answers only what lies at or before it. `automatic` messages never answer.
    """

    account_id: AccountId
    conversation_id: ConversationId
    message_id: MessageId
    author: Author
    content_type: str
    body: bytes
    fingerprint: bytes
    device_id: DeviceId | None = None
    seen_up_to: Position = 0
    automatic: bool = False


class MessageEdited(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag_field="type",
    tag="message_edited",
):
    """The author changed the text; `revision` counts from 1. The lower revision never replaces the higher."""

    account_id: AccountId
    conversation_id: ConversationId
    message_id: MessageId
    revision: int
    author: Author
    body: bytes


class MessageRetracted(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag_field="type",
    tag="message_retracted",
):
    """The author (or a supervisor) took the message back. Its place, id and time stay."""

    account_id: AccountId
    conversation_id: ConversationId
    message_id: MessageId
    author: Author


MessageEvent = MessagePosted | MessageEdited | MessageRetracted
