"""A day at a desk, reproducible: many conversations, two agents, receipts, notes, edits, repeats and strangers."""

from __future__ import annotations

import random

from shared import events as e
from shared.events import Author, Event
from shared.ids import MessageId, NoteId
from shared.subjects import Family
from tests.support.desk import (
    ACCOUNT,
    INBOX,
    agent_id,
    contact_id,
    conversation_id,
    device_id,
    identifier,
    started,
    visitor,
)

WHY = e.Explanation(trigger="queue", policy_version=0, state_position=0)
AGENTS = ("ann", "bob")


def posted(
    name: str,
    message: str,
    *,
    author: Author | None = None,
    fingerprint: bytes = b"f",
    seen: int = 0,
) -> Event:
    """A message with an id of its own name."""
    return e.MessagePosted(
        account_id=ACCOUNT,
        conversation_id=conversation_id(name),
        message_id=MessageId(identifier(f"message {message}")),
        author=author or visitor(name),
        content_type="text",
        body=message.encode(),
        fingerprint=fingerprint,
        seen_up_to=seen,
    )


def edited(
    name: str, message: str, body: bytes, *, revision: int = 1, author: Author | None = None
) -> Event:
    """Another text for a message."""
    return e.MessageEdited(
        account_id=ACCOUNT,
        conversation_id=conversation_id(name),
        message_id=MessageId(identifier(f"message {message}")),
        revision=revision,
        author=author or visitor(name),
        body=body,
    )


def assigned(name: str, agent: str) -> Event:
    """The conversation has an owner."""
    return e.ConversationAssigned(
        account_id=ACCOUNT,
        writer="test",
        conversation_id=conversation_id(name),
        agent_id=agent_id(agent),
        team_id=None,
        why=WHY,
    )


def queued(name: str) -> Event:
    """The conversation waits again."""
    return e.ConversationQueued(
        account_id=ACCOUNT,
        writer="test",
        conversation_id=conversation_id(name),
        team_id=None,
        waiting_since=0,
        why=WHY,
    )


def created(name: str) -> Event:
    """The visitor arrived."""
    return e.ContactCreated(account_id=ACCOUNT, contact_id=contact_id(name), inbox_id=INBOX)


def staff(name: str) -> Author:
    """The agent as an author."""
    return Author(kind="agent", id=agent_id(name))


def received_by(author: Author, device: str, up_to: int) -> Event:
    """A device holds everything up to there."""
    return e.Received(
        account_id=ACCOUNT, recipient=author, device_id=device_id(device), up_to=up_to
    )


def read_by(author: Author, name: str, up_to: int) -> Event:
    """Somebody saw the conversation up to there."""
    return e.Read(
        account_id=ACCOUNT, conversation_id=conversation_id(name), recipient=author, up_to=up_to
    )


def noted(name: str, note: str) -> Event:
    """A note for colleagues."""
    return e.NoteAdded(
        account_id=ACCOUNT,
        conversation_id=conversation_id(name),
        note_id=NoteId(identifier(f"note {note}")),
        author=staff("ann"),
        body=note.encode(),
    )


def day(count: int, *, seed: int = 1, conversations: int = 40) -> list[tuple[Family, Event]]:
    """`count` events and the beginnings of the conversations they are about."""
    draw = random.Random(seed)
    names = [f"c{i}" for i in range(conversations)]
    made: list[tuple[Family, Event]] = []
    for name in names:
        made += [("conversation", created(name)), ("conversation", started(name))]
    for number in range(count):
        made.append(_one(draw, names, number))
    return made


def _one(draw: random.Random, names: list[str], number: int) -> tuple[Family, Event]:
    name, agent = draw.choice(names), draw.choice(AGENTS)
    author = draw.choice([visitor(name), visitor(name), staff(agent)])
    message = f"m{number if draw.random() < 0.95 else draw.randrange(number + 1)}"
    up_to = draw.randrange(number + 1)
    match draw.randrange(20):
        case 0 | 1:
            return "routing", assigned(name, agent)
        case 2:
            return "routing", queued(name)
        case 3 | 4:
            return "receipt", received_by(author, f"{author.id} {draw.randrange(2)}", up_to)
        case 5:
            return "receipt", read_by(author, name, up_to)
        case 6:
            return "conversation", noted(name, f"n{draw.randrange(number + 1)}")
        case 7:
            edit = edited(name, message, b"edited", revision=draw.randrange(1, 4), author=author)
            return "message", edit
        case 8:
            status = e.StatusChanged(
                account_id=ACCOUNT,
                conversation_id=conversation_id(name),
                by=staff(agent),
                status=draw.choice(["open", "resolved", "snoozed"]),
                seen_up_to=up_to,
            )
            return "conversation", status
        case 9:
            return "conversation", _rare(draw, names, name)
        case _:
            fingerprint = b"g" if draw.random() < 0.02 else b"f"
            return "message", posted(name, message, author=author, fingerprint=fingerprint)


def _rare(draw: random.Random, names: list[str], name: str) -> Event:
    if draw.random() < 0.3:
        return e.ContactMerged(
            account_id=ACCOUNT,
            contact_id=contact_id(name),
            into=contact_id(draw.choice(names)),
        )
    return e.LabelsChanged(
        account_id=ACCOUNT,
        conversation_id=conversation_id(name),
        by=staff("ann"),
        added=(draw.choice("xyz"),),
    )
