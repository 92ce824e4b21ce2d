"""What waits for people who are away: sealed messages in conversations that are theirs, written into the log.

No dispatcher runs while they wait, or it would give the conversations of agents who are away to others; assignments
are written here in its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from bench.people import People
from bench.texts import new_text
from shared import events
from shared.events import Author, Event
from shared.ids import AgentId, ContactId, ConversationId, MessageId

Pair = tuple[ContactId, ConversationId]
_WHY = events.Explanation(trigger="queue", policy_version=0, state_position=0)
_AT_ONCE = 5_000


async def assign(people: People, owners: Sequence[AgentId], conversations: Sequence[Pair]) -> None:
    """Conversation n goes to owner n modulo their number."""
    assigned: list[Event] = [
        events.ConversationAssigned(
            account_id=people.account_id,
            writer="bench",
            conversation_id=conversation_id,
            agent_id=owners[number % len(owners)],
            team_id=people.team_id,
            why=_WHY,
        )
        for number, (_, conversation_id) in enumerate(conversations)
    ]
    await people.append("routing", assigned)


async def write(
    people: People, by: Sequence[Author], conversations: Sequence[Pair], each: int
) -> list[list[str]]:
    """So many messages into each conversation by its author, the conversations in turn; their ids by conversation."""
    ids: list[list[str]] = [[] for _ in conversations]

    def made() -> Iterator[Event]:
        for _ in range(each):
            for number, (_, conversation_id) in enumerate(conversations):
                event = posted(people, by[number], conversation_id)
                ids[number].append(event.message_id)
                yield event

    source = made()
    while group := list(islice(source, _AT_ONCE)):
        await people.append("message", group)
    return ids


def posted(people: People, author: Author, conversation_id: ConversationId) -> events.MessagePosted:
    """A message as a gateway appends it."""
    message_id, text = new_text()
    content = text.encode()
    return events.MessagePosted(
        account_id=people.account_id,
        conversation_id=conversation_id,
        message_id=MessageId(message_id),
        author=author,
        content_type="text",
        body=people.ring.seal(people.account_id, content, of=message_id, part="body"),
        fingerprint=people.ring.fingerprint(
            people.account_id,
            message_id.encode(),
            conversation_id.encode(),
            f"{author.kind} {author.id}".encode(),
            content,
        ),
        seen_up_to=2**40,
    )
