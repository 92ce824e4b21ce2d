"""How far somebody got, by log position. Written by gateways; may be repeated and may come out of order:
the highest `up_to` counts."""

from __future__ import annotations

from collections.abc import Iterator

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


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One device's part of a `ReceivedTogether`."""

    recipient: Author
    device_id: DeviceId
    up_to: Position


class ReceivedTogether(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag_field="type",
    tag="received_together",
):
    """What several devices of an account acknowledged within a moment: as if each were a `Received` in this place."""

    account_id: AccountId
    receipts: tuple[Receipt, ...]

    def each(self) -> Iterator[Received]:
        """As single ones, in their order."""
        for one in self.receipts:
            yield Received(
                account_id=self.account_id,
                recipient=one.recipient,
                device_id=one.device_id,
                up_to=one.up_to,
            )


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


ReceiptEvent = Received | ReceivedTogether | Read
