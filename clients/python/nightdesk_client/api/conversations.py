"""Conversations over REST: start, list, read, post, label, note, assign, claim, settle, rate, explain."""

from __future__ import annotations

from typing import Any

import msgspec

from nightdesk_client.ids import new_id
from nightdesk_client.items import Sent, Started
from nightdesk_client.rest import Call, Nothing, Rest
from nightdesk_client.wire import Conversation, Message, Note


class PageInfo(msgspec.Struct, frozen=True):
    """`next` goes into `after`; null on the last page."""

    next: str | None = None


class Conversations(msgspec.Struct, frozen=True):
    """A page of conversations."""

    data: list[Conversation]
    page: PageInfo


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many conversations, also in each status. `team_unread`: of them somebody waits in, and no agent has read the
    newest; `overdue`: a deadline is past; `escalated`: so long that the supervisors were told."""

    conversations: int
    by_status: dict[str, int]
    team_unread: int
    overdue: int = 0
    escalated: int = 0


class MyCount(Count, frozen=True, kw_only=True):
    """What the asker holds. `unread`: in so many conversations there is something that the asker has not read."""

    unread: int


class TeamCount(Count, frozen=True, kw_only=True):
    """Those of one team; None: of no team, for which filters say "none"."""

    team_id: str | None


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Each number is the length of a list, see `ConversationsApi.page`: `all`, `mine` and `unassigned` those of `view`,
    each of `teams` that of `view="all", team=...`; `team_unread` with `team_unread="true"`, and so `overdue`, `escalated` and `unread`.
    `mine` is None for API keys; `is_cut`: more than 10,000 match and were not counted further."""

    all: Count
    mine: MyCount | None
    unassigned: Count
    teams: list[TeamCount]
    is_cut: bool = False


class QueuePlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a conversation stands. `place`: 1 is next, None in no queue; `expected_s`: None is not known;
    `given_at`: when whoever has it was told."""

    conversation_id: str
    state: str
    place: int | None = None
    expected_s: int | None = None
    is_open: bool | None = None
    opens_at: str | None = None
    opens_at_local: str | None = None
    zone: str | None = None
    is_escalated: bool = False
    given_at: str | None = None


class Messages(msgspec.Struct, frozen=True):
    """Messages in ascending `seq`. `more`: there are more in the direction asked."""

    data: list[Message]
    more: bool


class Notes(msgspec.Struct, frozen=True):
    """Notes, oldest first."""

    data: list[Note]
    more: bool = False


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step in the life of a message or conversation."""

    position: int
    at: str | None
    what: str
    text: str = ""
    by: str | None = None
    by_name: str | None = None
    detail: dict[str, Any] = {}


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """Every step of a message."""

    message_id: str
    conversation_id: str
    steps: list[Step]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One agent: the rule that excludes them, or the parts of their score, lower first."""

    agent_id: str
    name: str
    rule: str | None
    text: str
    parts: dict[str, float] = {}


class NextStep(msgspec.Struct, frozen=True, kw_only=True):
    """What happens next if nothing else does; `at` is None at once."""

    what: str
    at: str | None
    text: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision, with every candidate where it could be made again from the log (`outcome` "exact")."""

    position: int
    at: str
    what: str
    text: str
    outcome: str
    note: str
    candidates: list[Candidate] | None = None


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """Why this owner, and what the conversation waits for and until when. What is None is not known just now."""

    conversation_id: str
    status: str
    owner: str | None
    summary: str
    waiting_for: str
    place: int | None
    candidates: list[Candidate] | None
    next_steps: list[NextStep] | None
    decision: Decision | None
    decisions: list[Step]


class _Begun(msgspec.Struct):
    conversation_id: str


class _Posted(msgspec.Struct):
    message_id: str
    position: int


class ConversationsApi:
    """`/conversations` and `/messages` for whoever the token says."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def start(
        self,
        text: str | None = None,
        *,
        conversation_id: str = "",
        message_id: str = "",
        contact_id: str | None = None,
        language: str = "",
    ) -> Started:
        """Begin a conversation, with its first message when `text` is given. The same ids again change nothing.

        Visitors leave `contact_id` out; agents and integrations name the contact.
        """
        conversation_id = conversation_id or new_id()
        body: dict[str, object] = {"conversation_id": conversation_id, "language": language}
        if contact_id is not None:
            body["contact_id"] = contact_id
        if text is not None:
            message_id = message_id or new_id()
            body["message"] = {"message_id": message_id, "text": text}
        await self._rest.post("/conversations", body, _Begun, key=conversation_id)
        return Started(
            conversation_id=conversation_id,
            message_id=message_id or None,
            position=self._rest.position,
        )

    async def page(self, *, after: str = "", limit: int = 100, **filters: str) -> Conversations:
        """A page. Filters as in the API: view, status, unread, team_unread, overdue, escalated, label, team, agent,
        channel, since, until, order."""
        query = {**filters, "after": after, "limit": str(limit)}
        return await self._rest.get("/conversations", Conversations, query=query)

    async def counts(self, **filters: str) -> Counts:
        """How many there are, and how many are unread. Filters as in the API, like those of `page`."""
        return await self._rest.get("/conversations/counts", Counts, query=filters)

    async def get(self, conversation_id: str) -> Conversation:
        """One conversation with its receipts."""
        return await self._rest.get(f"/conversations/{conversation_id}", Conversation)

    async def messages(
        self, conversation_id: str, *, after_seq: int = 0, before_seq: int = 0, limit: int = 100
    ) -> Messages:
        """The first `limit` messages above `after_seq`, or with `before_seq` the last below it."""
        query = {"limit": str(limit)}
        if before_seq:
            query["before_seq"] = str(before_seq)
        else:
            query["after_seq"] = str(after_seq)
        path = f"/conversations/{conversation_id}/messages"
        return await self._rest.get(path, Messages, query=query)

    async def post(
        self,
        conversation_id: str,
        text: str,
        *,
        message_id: str = "",
        seen_up_to: int | None = None,
    ) -> Sent:
        """Post without the outbox. Durable on return; an unknown outcome is tried again under the same id.

        A `message_id` that is given may have been used before, so it is looked up.
        """
        body: dict[str, object] = {"message_id": message_id or new_id(), "text": text}
        if seen_up_to is not None:
            body["seen_up_to"] = seen_up_to
        again = {**body, "resend": True}
        call = Call(
            method="POST",
            path=f"/conversations/{conversation_id}/messages",
            body=again if message_id else body,
            again=again,
            idempotency_key=str(body["message_id"]),
        )
        posted = await self._rest.call(call, _Posted)
        self._rest.saw(posted.position)
        return Sent(message_id=posted.message_id, position=posted.position)

    async def edit(self, message_id: str, text: str, *, revision: int) -> None:
        """Change what an own message says; `revision` is the present one plus one."""
        await self._rest.patch(
            f"/messages/{message_id}", {"text": text, "revision": revision}, Nothing
        )

    async def retract(self, message_id: str) -> None:
        """Take an own message back."""
        await self._rest.delete(f"/messages/{message_id}")

    async def assign(
        self, conversation_id: str, *, agent_id: str | None = None, team_id: str | None = None
    ) -> None:
        """Wish for another owner: an agent, or a team's queue. The outcome is an event that follows."""
        body = {"agent_id": agent_id, "team_id": team_id}
        await self._rest.post(f"/conversations/{conversation_id}/assign", body, Nothing)

    async def claim(self, conversation_id: str) -> None:
        """Wish to own an unowned conversation."""
        await self._rest.post(f"/conversations/{conversation_id}/claim", {}, Nothing)

    async def change_labels(
        self, conversation_id: str, *, add: list[str] | None = None, remove: list[str] | None = None
    ) -> None:
        """Put labels on and take labels off."""
        body = {"add": add or [], "remove": remove or []}
        await self._rest.post(f"/conversations/{conversation_id}/labels", body, Nothing)

    async def add_note(self, conversation_id: str, text: str, *, note_id: str = "") -> None:
        """A note for colleagues; visitors never see it."""
        body = {"note_id": note_id or new_id(), "text": text}
        await self._rest.post(f"/conversations/{conversation_id}/notes", body, Nothing)

    async def notes(self, conversation_id: str) -> Notes:
        """Notes, oldest first."""
        return await self._rest.get(f"/conversations/{conversation_id}/notes", Notes)

    async def set_status(
        self, conversation_id: str, status: str, *, seen_up_to: int | None = None, until: str = ""
    ) -> None:
        """open, snoozed (`until`, RFC 3339) or resolved. A message after `seen_up_to` keeps it open."""
        body: dict[str, object] = {"status": status}
        if seen_up_to is not None:
            body["seen_up_to"] = seen_up_to
        if until:
            body["until"] = until
        await self._rest.post(f"/conversations/{conversation_id}/status", body, Nothing)

    async def mark_read(self, conversation_id: str, up_to: int) -> None:
        """The person has seen the conversation up to a position."""
        await self._rest.post(f"/conversations/{conversation_id}/read", {"up_to": up_to}, Nothing)

    async def rate(self, conversation_id: str, score: int, *, comment: str = "") -> None:
        """The visitor's verdict, 1 to 5."""
        body = {"score": score, "comment": comment}
        await self._rest.post(f"/conversations/{conversation_id}/rating", body, Nothing)

    async def timeline(self, message_id: str) -> Timeline:
        """Every step of a message with its time, position and reason."""
        return await self._rest.get(f"/messages/{message_id}/timeline", Timeline)

    async def place(self, conversation_id: str) -> QueuePlace:
        """Its place in the queue, for whoever waits."""
        return await self._rest.get(f"/conversations/{conversation_id}/queue", QueuePlace)

    async def explain(self, conversation_id: str) -> Explained:
        """Why this owner, why not the others, what it waits for."""
        return await self._rest.get(f"/conversations/{conversation_id}/explain", Explained)
