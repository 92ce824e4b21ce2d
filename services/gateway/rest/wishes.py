"""What is done to a conversation: assign, claim, labels, notes, status, priority, read, rating."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from services.gateway.access import Facts
from services.gateway.admission import clean_text
from services.gateway.reopening import judged_anew
from services.gateway.rest.messages import checked_position, seen_up_to_now
from services.gateway.rest.moments import ns_of
from services.gateway.rest.route import (
    DESK,
    EVERYONE,
    MESSAGE_LIMIT_BYTES,
    STAFF,
    Call,
    Handler,
    Reply,
    RoleName,
    Route,
    forbidden,
    may_write,
)
from shared.clock import now_ns
from shared.errors import Rejected
from shared.events import (
    AssignmentRequested,
    ClaimRequested,
    ConversationEvent,
    LabelsChanged,
    NoteAdded,
    PriorityChanged,
    Rated,
    Read,
    StatusChanged,
)
from shared.ids import AgentId, ConversationId, NoteId, Position, TeamId, canonical
from shared.queries import ListNotes
from shared.wire.bodies import (
    AddNote,
    Assign,
    ChangeLabels,
    ChangePriority,
    ChangeStatus,
    MarkRead,
    Notes,
    Rate,
    Wished,
)

_MOST_POSITION = 2**63 - 1


async def _conversation_id(call: Call[object, object]) -> ConversationId:
    """The conversation in the path, if the asker may change it."""
    return (await _facts(call)).conversation_id


async def _facts(call: Call[object, object]) -> Facts:
    return await may_write(call, ConversationId(call.id("conversation_id")))


async def _wish(
    call: Call[object, object],
    conversation_id: ConversationId,
    event: ConversationEvent,
    *,
    before: Sequence[ConversationEvent] = (),
) -> Reply:
    events = [*before, event]
    positions = await call.parts.admission.append(conversation_id, "conversation", events)
    return Reply(body=Wished(position=positions[-1]), position=positions[-1])


async def assign(call: Call[Assign, None]) -> Reply:
    """To an agent, or back to a team's queue; the dispatcher answers with an event."""
    conversation_id = await _conversation_id(call)
    account = call.parts.directory.account(call.account_id)
    agent_id = _optional(call.body.agent_id, "/agent_id")
    team_id = _optional(call.body.team_id, "/team_id")
    if agent_id is not None and AgentId(agent_id) not in account.agents:
        raise Rejected("invalid", "there is no such agent", pointer="/agent_id")
    if team_id is not None and TeamId(team_id) not in account.teams:
        raise Rejected("invalid", "there is no such team", pointer="/team_id")
    event = AssignmentRequested(
        account_id=call.account_id,
        conversation_id=conversation_id,
        by=call.who.author,
        agent_id=AgentId(agent_id) if agent_id else None,
        team_id=TeamId(team_id) if team_id else None,
        seen_up_to=await _seen_up_to(call, conversation_id),
    )
    return await _wish(call, conversation_id, event)


def _optional(text: str | None, pointer: str) -> str | None:
    if text is None:
        return None
    return canonical(text, pointer=pointer)


async def claim(call: Call[None, None]) -> Reply:
    """The first claim in the log wins."""
    conversation_id = await _conversation_id(call)
    event = ClaimRequested(
        account_id=call.account_id,
        conversation_id=conversation_id,
        agent_id=AgentId(call.who.id),
    )
    return await _wish(call, conversation_id, event)


async def change_labels(call: Call[ChangeLabels, None]) -> Reply:
    """Only labels that the account has are added."""
    conversation_id = await _conversation_id(call)
    known = call.parts.directory.account(call.account_id).labels
    for number, name in enumerate(call.body.add):
        if name not in known:
            raise Rejected("invalid", "there is no such label", pointer=f"/add/{number}")
    event = LabelsChanged(
        account_id=call.account_id,
        conversation_id=conversation_id,
        by=call.who.author,
        added=tuple(dict.fromkeys(call.body.add)),
        removed=tuple(dict.fromkeys(call.body.remove)),
    )
    return await _wish(call, conversation_id, event)


async def change_priority(call: Call[ChangePriority, None]) -> Reply:
    """What is urgent is handed out first."""
    conversation_id = await _conversation_id(call)
    event = PriorityChanged(
        account_id=call.account_id,
        conversation_id=conversation_id,
        by=call.who.author,
        priority=call.body.priority,
    )
    return await _wish(call, conversation_id, event)


async def change_status(call: Call[ChangeStatus, None]) -> Reply:
    """Closes only what the asker had seen. Visitors may say that it is solved, nothing else."""
    if call.who.kind == "visitor" and call.body.status != "resolved":
        raise forbidden("a visitor may only resolve")
    until_ns = ns_of(call.body.until, pointer="/until")
    if call.body.status == "snoozed" and until_ns <= now_ns():
        raise Rejected("invalid", "say until when, in the future", pointer="/until")
    facts = await _facts(call)
    conversation_id = facts.conversation_id
    event = StatusChanged(
        account_id=call.account_id,
        conversation_id=conversation_id,
        by=call.who.author,
        status=call.body.status,
        seen_up_to=await _seen_up_to(call, conversation_id),
        until_ns=until_ns if call.body.status == "snoozed" else 0,
    )
    before = await judged_anew(call.parts, facts) if call.body.status == "open" else ()
    return await _wish(call, conversation_id, event, before=before)


async def _seen_up_to(call: Call[Any, None], conversation_id: ConversationId) -> Position:
    """Left out, everything that is stored now counts as seen."""
    if call.body.seen_up_to is not None:
        return checked_position(call.body.seen_up_to, pointer="/seen_up_to")
    return await seen_up_to_now(call, conversation_id)


async def mark_read(call: Call[MarkRead, None]) -> Reply:
    """How far the asker has read, on any device."""
    conversation_id = await _conversation_id(call)
    event = Read(
        account_id=call.account_id,
        conversation_id=conversation_id,
        recipient=call.who.author,
        up_to=call.body.up_to,
    )
    positions = await call.parts.admission.append(conversation_id, "receipt", [event])
    return Reply(body=Wished(position=positions[-1]), position=positions[-1])


async def rate(call: Call[Rate, None]) -> Reply:
    """The visitor's judgement; the last one counts."""
    conversation_id = await _conversation_id(call)
    comment = b""
    if call.body.comment:
        await call.parts.keys.ensure(call.account_id)
        comment = call.parts.keys.ring.seal(
            call.account_id, call.body.comment.encode(), of=conversation_id, part="comment"
        )
    event = Rated(
        account_id=call.account_id,
        conversation_id=conversation_id,
        by=call.who.author,
        score=call.body.score,
        comment=comment,
    )
    return await _wish(call, conversation_id, event)


# ---------------------------------------------------------------- notes


class NotesQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Notes after a position."""

    after: Annotated[int, msgspec.Meta(ge=0, le=_MOST_POSITION)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


async def show_notes(call: Call[None, NotesQuery]) -> Reply:
    """Notes for colleagues, oldest first."""
    conversation_id = ConversationId(call.id("conversation_id"))
    await call.parts.access.may_see(call.who, conversation_id, at_least=call.given.at_least)
    page = await call.parts.asking.notes(
        ListNotes(
            account_id=call.account_id,
            conversation_id=conversation_id,
            at_least=call.given.at_least,
            after=call.query.after,
            limit=call.query.limit,
        )
    )
    await call.parts.views.cover(call.account_id, page.rows)
    return Reply(body=Notes(data=[call.parts.views.note(r) for r in page.rows], more=page.more))


async def add_note(call: Call[AddNote, None]) -> Reply:
    """The same `note_id` again adds nothing."""
    conversation_id = await _conversation_id(call)
    note_id = NoteId(canonical(call.body.note_id, what="note_id", pointer="/note_id"))
    text = clean_text(call.body.text)
    await call.parts.keys.ensure(call.account_id)
    event = NoteAdded(
        account_id=call.account_id,
        conversation_id=conversation_id,
        note_id=note_id,
        author=call.who.author,
        body=call.parts.keys.ring.seal(call.account_id, text.encode(), of=note_id, part="note"),
    )
    return await _wish(call, conversation_id, event)


_STATUSES = {"assign": 202, "claim": 202, "notes": 201}
"""Of success; 202 for wishes that the dispatcher decides on."""


def _post(
    name: str,
    handler: Handler,
    *,
    takes: Any,
    roles: tuple[RoleName, ...],
    summary: str,
) -> Route:
    return Route(
        method="POST",
        key="kept",
        path=f"/conversations/{{conversation_id}}/{name}",
        handler=handler,
        summary=summary,
        roles=roles,
        tag="conversations",
        takes=takes,
        gives=Wished,
        status=_STATUSES.get(name, 200),
        errors=("idempotency_conflict", "in_progress", "unknown"),
        body_limit_bytes=MESSAGE_LIMIT_BYTES,
    )


ROUTES = (
    _post(
        "assign",
        assign,
        takes=Assign,
        roles=DESK,
        summary="Ask for an agent, or for a team's queue",
    ),
    _post("claim", claim, takes=None, roles=STAFF, summary="Take an unowned conversation"),
    _post(
        "labels",
        change_labels,
        takes=ChangeLabels,
        roles=DESK,
        summary="Add and remove labels",
    ),
    _post(
        "status",
        change_status,
        takes=ChangeStatus,
        roles=EVERYONE,
        summary="Open, snooze, resolve; visitors may resolve",
    ),
    _post(
        "priority",
        change_priority,
        takes=ChangePriority,
        roles=DESK,
        summary="Set the priority",
    ),
    _post(
        "read",
        mark_read,
        takes=MarkRead,
        roles=("visitor", *STAFF),
        summary="Say how far you have read",
    ),
    _post("rating", rate, takes=Rate, roles=("visitor",), summary="Judge the service"),
    Route(
        method="GET",
        path="/conversations/{conversation_id}/notes",
        handler=show_notes,
        summary="Notes for colleagues",
        roles=DESK,
        tag="conversations",
        query=NotesQuery,
        gives=Notes,
    ),
    _post("notes", add_note, takes=AddNote, roles=DESK, summary="Add a note for colleagues"),
)
