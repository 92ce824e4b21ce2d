"""Messages: history, post, edit, retract, and the timeline of one."""

from __future__ import annotations

from typing import Annotated

import msgspec

from services.gateway.admission import Draft, clean_text
from services.gateway.crossing import check_strict
from services.gateway.reopening import is_open_now, judged_anew
from services.gateway.rest.explain import names_of
from services.gateway.rest.revisions import check_taken, stale
from services.gateway.rest.route import (
    DESK,
    EVERYONE,
    LEAD,
    MESSAGE_LIMIT_BYTES,
    Call,
    Reply,
    Route,
    agrees_with_key,
    forbidden,
    may_write,
)
from services.gateway.rest.story import message_steps, read_history, receipts_of, received_step
from shared.errors import Rejected, Unavailable
from shared.events import MessageEdited, MessageEvent, MessageRetracted
from shared.ids import ConversationId, MessageId, Position, canonical
from shared.queries import (
    ConversationRow,
    FindReceived,
    GetConversation,
    GetMessage,
    ListMessages,
    MessageRow,
)
from shared.wire.bodies import EditMessage, Messages, Posted, PostMessage
from shared.wire.stories import Timeline

_MOST_POSITION = 2**63 - 1
_MOST_HOLDS = 20


class MessagesQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first `limit` above `after_seq`, or, with `before_seq`, the last `limit` below it."""

    after_seq: Annotated[int, msgspec.Meta(ge=0, le=_MOST_POSITION)] = 0
    before_seq: Annotated[int, msgspec.Meta(ge=0, le=_MOST_POSITION)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


async def show_list(call: Call[None, MessagesQuery]) -> Reply:
    """Messages in ascending `seq`."""
    conversation_id = ConversationId(call.id("conversation_id"))
    conversation = await _conversation(call, conversation_id)
    page = await call.parts.asking.messages(
        ListMessages(
            account_id=call.account_id,
            conversation_id=conversation_id,
            at_least=max(call.given.at_least, conversation.last_entry),
            after_seq=call.query.after_seq,
            before_seq=call.query.before_seq,
            limit=call.query.limit,
        )
    )
    views = call.parts.views
    await views.cover(call.account_id, page.rows)
    data = [
        views.message(row, call.who, state=views.state_in(row, conversation)) for row in page.rows
    ]
    return Reply(body=Messages(data=data, more=page.more))


async def _conversation(
    call: Call[object, object], conversation_id: ConversationId
) -> ConversationRow:
    """The row, if the asker may see it."""
    row = await call.parts.asking.conversation(
        GetConversation(
            account_id=call.account_id,
            conversation_id=conversation_id,
            viewer_id=call.who.id,
            at_least=call.given.at_least,
        )
    )
    call.parts.access.learn(row)
    await call.parts.access.may_see(call.who, conversation_id, at_least=call.given.at_least)
    return row


async def post(call: Call[PostMessage, None]) -> Reply:
    """201 once it is durable; the same message again answers with its first position."""
    body = call.body
    conversation_id = ConversationId(call.id("conversation_id"))
    message_id = MessageId(canonical(body.message_id, what="message_id", pointer="/message_id"))
    agrees_with_key(call, message_id, pointer="/message_id")
    clean_text(body.text)
    if body.only_if_seen:
        check_strict(call.who.kind, body.seen_up_to)
    facts = await may_write(call, conversation_id)
    before = await judged_anew(call.parts, facts) if call.who.kind == "visitor" else ()
    posted = await call.parts.admission.post(
        Draft(
            account_id=call.account_id,
            conversation_id=conversation_id,
            message_id=message_id,
            author=call.who.author,
            text=body.text,
            content_type=body.content_type,
            resend=body.resend,
            seen_up_to=await seen_up_to(call, conversation_id, body.seen_up_to),
            only_if_seen=body.only_if_seen,
        ),
        before=before,
    )
    if before:
        is_open_now(facts)
    answer = Posted(message_id=message_id, position=posted.position, repeated=posted.repeated)
    return Reply(body=answer, position=posted.position)


async def seen_up_to(
    call: Call[PostMessage, None], conversation_id: ConversationId, given: int | None
) -> Position:
    """What an agent had been shown; left out, everything stored now. Visitors answer nothing."""
    if call.who.kind != "agent":
        return 0
    if given is not None:
        return checked_position(given, pointer="/seen_up_to")
    return await seen_up_to_now(call, conversation_id)


async def seen_up_to_now(call: Call[object, object], conversation_id: ConversationId) -> Position:
    """The last entry of the conversation that is stored now, or, while the store is away, that was heard of."""
    try:
        row = await call.parts.asking.conversation(
            GetConversation(
                account_id=call.account_id,
                conversation_id=conversation_id,
                at_least=call.given.at_least,
            )
        )
    except Unavailable:
        known = call.parts.access.peek(conversation_id)
        return known.last_entry if known else 0
    return row.last_entry


def checked_position(position: int, *, pointer: str) -> Position:
    """A position that a client named. Raises `Rejected("invalid")`."""
    if not 0 <= position <= _MOST_POSITION:
        raise Rejected("invalid", "must be a position", pointer=pointer)
    return position


# ---------------------------------------------------------------- one message


async def edit(call: Call[EditMessage, None]) -> Reply:
    """The author replaces the text; of two edits the higher revision stays, of one revision the first in the log."""
    row = await _own(call)
    if not _is_author(call, row):
        raise forbidden("only its author changes a message")
    text, revision = clean_text(call.body.text), call.body.revision
    if row.retracted:
        raise Rejected("conflict", "the message was retracted")
    if revision <= row.revision:
        return await _edited_before(call, row)
    await call.parts.keys.ensure(call.account_id)
    sealed = call.parts.keys.ring.seal(
        call.account_id, text.encode(), of=row.message_id, part="body", revision=revision
    )
    event = MessageEdited(
        account_id=call.account_id,
        conversation_id=row.conversation_id,
        message_id=row.message_id,
        revision=revision,
        author=call.who.author,
        body=sealed,
    )
    reply = await _append(call, row, event)
    await check_taken(call, event, reply.position or 0)
    return reply


async def _edited_before(call: Call[EditMessage, None], row: MessageRow) -> Reply:
    """A repeat of the last edit is answered as such."""
    await call.parts.views.cover(call.account_id, [row])
    view = call.parts.views.message(row, call.who)
    if view.text != call.body.text or view.revision != call.body.revision:
        raise stale(row)
    return Reply(body=Posted(message_id=row.message_id, position=row.position, repeated=True))


async def retract(call: Call[None, None]) -> Reply:
    """The author, or a supervisor, takes a message back; its place stays."""
    row = await _own(call)
    if not _is_author(call, row) and call.who.role not in LEAD:
        raise forbidden("only its author or a supervisor retracts a message")
    if row.retracted:
        return Reply(body=Posted(message_id=row.message_id, position=row.position, repeated=True))
    event = MessageRetracted(
        account_id=call.account_id,
        conversation_id=row.conversation_id,
        message_id=row.message_id,
        author=call.who.author,
    )
    return await _append(call, row, event)


async def _own(call: Call[object, object]) -> MessageRow:
    """The message in the path, if the asker may see its conversation."""
    row = await call.parts.asking.message(
        GetMessage(
            account_id=call.account_id,
            message_id=MessageId(call.id("message_id")),
            at_least=call.given.at_least,
        )
    )
    await call.parts.access.may_see(call.who, row.conversation_id, at_least=call.given.at_least)
    return row


def _is_author(call: Call[object, object], row: MessageRow) -> bool:
    """A conversation has one visitor, whatever their contact was called when they wrote."""
    if call.who.kind == "visitor":
        return row.author.kind == "visitor"
    return row.author == call.who.author


async def _append(call: Call[object, object], row: MessageRow, event: MessageEvent) -> Reply:
    positions = await call.parts.admission.append(row.conversation_id, "message", [event])
    return Reply(
        body=Posted(message_id=row.message_id, position=positions[-1]), position=positions[-1]
    )


async def timeline(call: Call[None, None]) -> Reply:
    """Every step of this message."""
    row = await _own(call)
    conversation = await _conversation(call, row.conversation_id)
    history = await read_history(call.parts, call.who, row.conversation_id, call.given.at_least)
    names = names_of(call, conversation.inbox_id)
    steps = message_steps(history, row, names)
    is_agent = row.author.kind == "visitor"
    for hold in receipts_of(history, row, conversation)[:_MOST_HOLDS]:
        found = await call.parts.asking.received(
            FindReceived(
                account_id=call.account_id,
                conversation_id=row.conversation_id,
                recipient_id=hold.recipient_id,
                since=hold.since,
                at_least=call.given.at_least,
            )
        )
        if found is not None:
            steps.append(received_step(found, names, is_agent=is_agent))
    steps.sort(key=lambda step: step.position)
    return Reply(
        body=Timeline(message_id=row.message_id, conversation_id=row.conversation_id, steps=steps)
    )


ROUTES = (
    Route(
        method="GET",
        path="/conversations/{conversation_id}/messages",
        handler=show_list,
        summary="Messages of a conversation in their order",
        roles=EVERYONE,
        tag="messages",
        query=MessagesQuery,
        gives=Messages,
    ),
    Route(
        method="POST",
        path="/conversations/{conversation_id}/messages",
        key="id",
        handler=post,
        summary="Post a message; 201 says that it is durable",
        roles=EVERYONE,
        tag="messages",
        takes=PostMessage,
        gives=Posted,
        status=201,
        errors=("idempotency_mismatch", "id_conflict", "crossed", "unknown"),
        body_limit_bytes=MESSAGE_LIMIT_BYTES,
    ),
    Route(
        method="PATCH",
        path="/messages/{message_id}",
        handler=edit,
        summary="Change the text of an own message",
        roles=EVERYONE,
        tag="messages",
        takes=EditMessage,
        gives=Posted,
        errors=("conflict", "stale_revision"),
        body_limit_bytes=MESSAGE_LIMIT_BYTES,
    ),
    Route(
        method="DELETE",
        path="/messages/{message_id}",
        handler=retract,
        summary="Take a message back: the author or a supervisor",
        roles=EVERYONE,
        tag="messages",
        gives=Posted,
    ),
    Route(
        method="GET",
        path="/messages/{message_id}/timeline",
        handler=timeline,
        summary="Every step of a message with its time, position and reason",
        roles=DESK,
        tag="messages",
        gives=Timeline,
    ),
)
