"""How far somebody got, by log position. Written by gateways; may be repeated and may come out of order:
the highest `up_to` counts."""

from __future__ import annotations

import msgspec

from shared.events.envelope import Author
from shared.ids import AccountId, ConversationId, DeviceId, Position


class Received(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag_field="type",
    tag="received",
):
    """A device of the recipient holds every entry of the recipient's inbox up to `up_to`."""

    account_id: AccountId
    recipient: Author
    device_id: DeviceId
    up_to: Position


class Read(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag_field="type",
    tag="read",
):
    """The recipient has seen the conversation up to `up_to`, on any device."""

    account_id: AccountId
    conversation_id: ConversationId
    recipient: Author
    up_to: Position


ReceiptEvent = Received | Read
