"""Identifiers: their types, their one canonical spelling, and the ids that are derived from others.

Ids are canonical lower-case UUID text everywhere (JSON, events, subjects never hold them), so equality is
string equality. Making a *new* id needs randomness and lives in `shared.clock`.
"""

from __future__ import annotations

import re
import uuid
from typing import NewType

from shared.errors import Rejected

AccountId = NewType("AccountId", str)
AgentId = NewType("AgentId", str)
TeamId = NewType("TeamId", str)
InboxId = NewType("InboxId", str)
ContactId = NewType("ContactId", str)
ConversationId = NewType("ConversationId", str)
MessageId = NewType("MessageId", str)
NoteId = NewType("NoteId", str)
DeviceId = NewType("DeviceId", str)
PolicyId = NewType("PolicyId", str)
Position = int
"""A sequence number in an account's log; the only number that means order. 0 is "before everything"."""

_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CONTACTS = uuid.UUID("6f4e1a52-5d0c-5b0e-9c39-0a3f6f1d7a10")
_CLASHES = uuid.UUID("0d9f7c1e-1f66-5d3a-8a7b-55c2b8a4e2f1")


def canonical(text: str, *, what: str = "id", pointer: str | None = None) -> str:
    """The canonical spelling of a UUID given by a client.

    Upper case is accepted and lowered; everything else (braces, missing dashes, dots, stars, line breaks)
    is refused, so an id can never be two strings. Raises `Rejected("bad_id")`, with the `pointer` to it.
    """
    if _CANONICAL.fullmatch(text) is not None:
        return text
    lowered = text.lower()
    if _CANONICAL.fullmatch(lowered) is None:
        message = f"{what} must be a UUID in canonical text form"
        raise Rejected("bad_id", message, pointer=pointer)
    return lowered


def uuid7_time_ms(identifier: str) -> int | None:
    """Milliseconds since 1970 that a UUIDv7 carries, or None for any other UUID (RFC 9562, 5.7)."""
    if identifier[14] != "7":
        return None
    return int(identifier[:8] + identifier[9:13], 16)


def contact_of_external(account_id: AccountId, scope: str, external_id: str) -> ContactId:
    """The contact id of an identified visitor: a pure function, so two arrivals at once are one contact."""
    return ContactId(str(uuid.uuid5(_CONTACTS, f"{account_id}\n{scope}\n{external_id}")))


def clash_id(message_id: MessageId, position: Position) -> MessageId:
    """The id under which an already accepted message with a used MessageID is kept (see `message_ids`)."""
    return MessageId(str(uuid.uuid5(_CLASHES, f"{message_id}\n{position}")))
