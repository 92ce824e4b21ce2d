"""The end of a run: what happened, and what must never happen. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from cli.replay.play import Said
from nightdesk_client import Message


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What the server says of a conversation afterwards. `explained`: agents whose assignment has its reasons;
    `read`: how far (position) each side has read."""

    messages: list[Message]
    owners: list[str]
    explained: frozenset[str]
    unexplained_decisions: int = 0
    read: dict[str, int] = {}


_MOST_REMARKS = 20


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the run itself knows of a conversation."""

    conversation_id: str
    said: Sequence[Said]
    missing_on_devices: int
    delivered: int


class Ledger(msgspec.Struct, kw_only=True):
    """Counts of messages, except where a name says otherwise. The last four must be 0."""

    conversations: int = 0
    accepted: int = 0
    durable: int = 0
    stored: int = 0
    assigned_conversations: int = 0
    delivered: int = 0
    read: int = 0
    repeated_on_the_wire: int = 0
    shown_twice: int = 0
    out_of_order: int = 0
    lost: int = 0
    unexplained: int = 0
    remarks: list[str] = []

    @property
    def is_clean(self) -> bool:
        """Whether nothing happened that must never happen."""
        return not (self.shown_twice or self.out_of_order or self.lost or self.unexplained)

    def fault(self, kind: str, count: int, remark: str) -> None:
        """Count what must never happen, and say where."""
        if not count:
            return
        setattr(self, kind, getattr(self, kind) + count)
        if len(self.remarks) < _MOST_REMARKS:
            self.remarks.append(f"{kind.replace('_', ' ')}: {count} × {remark}")


def enter(ledger: Ledger, seen: Seen, found: Found) -> None:
    """Add one conversation."""
    stored = {message.message_id: message for message in found.messages}
    ledger.conversations += 1
    ledger.accepted += len(seen.said)
    ledger.stored += len(found.messages)
    ledger.assigned_conversations += bool(found.owners)
    ledger.delivered += seen.delivered
    where = f"in conversation {seen.conversation_id}"
    for said in seen.said:
        message = stored.get(said.sent.message_id)
        durable = message is not None and _is_same(said, message)
        ledger.durable += durable
        if message is not None:
            ledger.repeated_on_the_wire += message.position < said.sent.position
        if not durable:
            ledger.fault("lost", 1, f"{_difference(said, message)} {where}")
        other = "agent" if said.side == "visitor" else "visitor"
        ledger.read += found.read.get(other, 0) >= said.sent.position
    known = {said.sent.message_id for said in seen.said}
    foreign = sum(message_id not in known for message_id in stored)
    silent = sum(owner not in found.explained for owner in set(found.owners))
    ledger.fault("lost", seen.missing_on_devices, f"message not shown to the other side {where}")
    ledger.fault("out_of_order", _disorder(found.messages), f"hole or fall in the history {where}")
    ledger.fault("out_of_order", _overtaken(seen.said, stored), f"message overtaken {where}")
    ledger.fault("unexplained", foreign, f"stored message that nobody sent {where}")
    ledger.fault("unexplained", silent, f"owner whom no decision names {where}")
    ledger.fault("unexplained", found.unexplained_decisions, f"decision without reasons {where}")


def _is_same(said: Said, message: Message) -> bool:
    """Stored where the sender was told, or before: after an unknown outcome the log may hold a repeat, whose place
    the sender is told while the first one counts."""
    return message.text == said.text and message.position <= said.sent.position


def _difference(said: Said, message: Message | None) -> str:
    if message is None:
        return f"message of the {said.side}, accepted at {said.sent.position}, is not stored"
    text = "" if message.text == said.text else ", with another text"
    return f"message of the {said.side}, accepted at {said.sent.position}, is stored at {message.position}{text}"


def _disorder(messages: Sequence[Message]) -> int:
    """A conversation's `seq` is dense from 1, and its positions grow with it."""
    gaps = sum(message.seq != number for number, message in enumerate(messages, start=1))
    return gaps + _falls([message.position for message in messages])


def _overtaken(said: Iterable[Said], stored: dict[str, Message]) -> int:
    """What was confirmed first stands first, over both sides: here everybody waits for the confirmation."""
    ids = [x.sent.message_id for x in said]
    return _falls([stored[x].seq for x in ids if x in stored])


def _falls(numbers: Sequence[int]) -> int:
    return sum(later <= earlier for earlier, later in pairwise(numbers))
