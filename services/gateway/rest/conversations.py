"""Conversations: lists, one, start."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import structlog

from services.gateway.admission import Draft
from services.gateway.rest.moments import ns_of
from services.gateway.rest.route import (
    EVERYONE,
    Call,
    Reply,
    Route,
    agrees_with_key,
    forbidden,
    not_found,
)
from services.gateway.tokens import Principal
from services.gateway.views import at
from shared import clock
from shared.conversation import Status
from shared.errors import OutcomeUnknown, Rejected, Unavailable
from shared.events import ConversationStarted, InboxSaved
from shared.ids import (
    AgentId,
    ContactId,
    ConversationId,
    InboxId,
    MessageId,
    Position,
    canonical,
)
from shared.queries import (
    ContactRow,
    ConversationRow,
    GetContact,
    GetConversation,
    ListConversations,
)
from shared.wire.bodies import Conversations, PageInfo, StartConversation
from shared.wire.views import ConversationView

log = structlog.get_logger(__name__)

NO_TEAM = "none"
"""In place of a team's id: of no team."""
_STARTED_BY_US: Status = "replied"


class ConversationsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters are and-ed. `view`: mine (agents' default without `agent`), unassigned (waits in a queue), all (of the asker's
    teams, of no team, and mine), previous (what the asker held last and holds no more, whoever has it now). `team`: what no
    team has, or a removed one, is the inbox's; "none": of no team. `unread`: there are messages of the other side that the
    asker has not read, among the asker's own; `team_unread`: somebody waits and no agent has read the newest; `overdue`: the
    deadline of an answer or of the case is past; `escalated`: so long that the supervisors were told. Times are
    RFC 3339. `after` is the `next` of the page before."""

    view: Literal["mine", "unassigned", "all", "previous"] | None = None
    status: Annotated[list[Status], msgspec.Meta(max_length=10)] = []
    unread: bool = False
    team_unread: bool = False
    overdue: bool = False
    escalated: bool = False
    label: Annotated[list[str], msgspec.Meta(max_length=20)] = []
    team: str | None = None
    agent: str | None = None
    channel: Annotated[str, msgspec.Meta(max_length=16)] = ""
    inbox: str | None = None
    contact: str | None = None
    since: str | None = None
    until: str | None = None
    order: Literal["updated", "waiting"] = "updated"
    after: Annotated[str, msgspec.Meta(max_length=512)] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


async def show_list(call: Call[None, ConversationsQuery]) -> Reply:
    """A page of those that the asker may see."""
    question = _question(call)
    page = await call.parts.asking.conversations(question)
    await call.parts.views.cover(call.account_id, page.rows)
    data = [call.parts.views.conversation(row, call.who) for row in page.rows]
    return Reply(body=Conversations(data=data, page=PageInfo(next=page.next or None)))


def _question(call: Call[None, ConversationsQuery]) -> ListConversations:
    query, who = call.query, call.who
    wanted = ListConversations(
        account_id=who.account_id,
        at_least=call.given.at_least,
        viewer_id=who.id,
        statuses=tuple(query.status),
        is_unread=query.unread,
        since_ns=ns_of(query.since, pointer="?since"),
        until_ns=ns_of(query.until, pointer="?until"),
        order=query.order,
        after=query.after,
        limit=query.limit,
    )
    if who.kind == "visitor":
        hidden = (query.view, query.label, query.team, query.agent, query.inbox, query.contact)
        if any(hidden) or query.team_unread or query.overdue or query.escalated:
            raise forbidden("visitors see their own conversations")
        return msgspec.structs.replace(wanted, contact_id=ContactId(who.id))
    account = call.parts.directory.account(who.account_id)
    team_id = team_of(query.team)
    is_of_no_team = team_id == NO_TEAM
    wanted = msgspec.structs.replace(
        wanted,
        is_team_unread=query.team_unread,
        is_overdue=query.overdue,
        is_escalated=query.escalated,
        wants_contact=True,
        labels=tuple(query.label),
        channel=query.channel,
        team_id=None if is_of_no_team else team_id,
        is_of_no_team=is_of_no_team,
        team_inboxes=tuple(
            x.inbox_id
            for x in account.inboxes.values()
            if x.team_id is not None and team_id in (x.team_id, NO_TEAM)
        ),
        present_teams=tuple(account.teams),
        agent_id=id_of(query.agent, "?agent"),
        inbox_id=id_of(query.inbox, "?inbox"),
        contact_id=id_of(query.contact, "?contact"),
    )
    return _viewed(call, wanted, who)


def _viewed(
    call: Call[None, ConversationsQuery], wanted: ListConversations, who: Principal
) -> ListConversations:
    """What `view` means to this asker: agents see what they hold, and what is their teams' or nobody's."""
    usual = "all" if who.is_staff or wanted.agent_id is not None else "mine"
    view = call.query.view or usual
    if view in ("mine", "previous") and who.kind != "agent":
        raise forbidden("an API key holds no conversations")
    match view:
        case "mine":
            if wanted.agent_id not in (None, who.id):
                raise Rejected("invalid", "what is mine is nobody else's", pointer="?agent")
            return msgspec.structs.replace(wanted, agent_id=AgentId(who.id))
        case "previous":
            return msgspec.structs.replace(wanted, previous_agent_id=AgentId(who.id))
        case "unassigned":
            wanted = msgspec.structs.replace(wanted, is_unassigned=True)
        case _:
            pass
    if who.is_staff or wanted.agent_id == who.id:
        return wanted
    account = call.parts.directory.account(who.account_id)
    teams = account.teams_of(AgentId(who.id))
    foreign = [
        inbox.inbox_id
        for inbox in account.inboxes.values()
        if inbox.team_id is not None and inbox.team_id not in teams
    ]
    return msgspec.structs.replace(
        wanted, teams=tuple(sorted(teams)), foreign_inboxes=tuple(sorted(foreign))
    )


def id_of(text: str | None, pointer: str) -> Any:
    """An id of a query, or none."""
    if text is None:
        return None
    return canonical(text, pointer=pointer)


def team_of(text: str | None) -> Any:
    """The id of a team of a query, `NO_TEAM`, or none."""
    return text if text == NO_TEAM else id_of(text, "?team")


async def show(call: Call[None, None]) -> Reply:
    """One conversation with its receipts."""
    row = await fetch(call)
    return Reply(body=await _view(call, row), version=row.version)


async def fetch(call: Call[None, object]) -> ConversationRow:
    """The row of the conversation in the path, if the asker may see it."""
    conversation_id = ConversationId(call.id("conversation_id"))
    row = await call.parts.asking.conversation(
        GetConversation(
            account_id=call.account_id,
            conversation_id=conversation_id,
            viewer_id=call.who.id,
            at_least=call.given.at_least,
            wants_contact=call.who.kind != "visitor",
        )
    )
    call.parts.access.learn(row)
    await call.parts.access.may_see(call.who, conversation_id, at_least=call.given.at_least)
    return row


async def _view(call: Call[object, object], row: ConversationRow) -> ConversationView:
    await call.parts.views.cover(call.account_id, [row])
    return call.parts.views.conversation(row, call.who)


# ---------------------------------------------------------------- start


class _From(msgspec.Struct, frozen=True, kw_only=True):
    """Whose conversation, through which inbox."""

    contact_id: ContactId
    inbox: InboxSaved


async def start(call: Call[StartConversation, None]) -> Reply:
    """201 for a new one, 200 for a repeat; a first message goes into the same commit."""
    body = call.body
    conversation_id = ConversationId(
        canonical(body.conversation_id, what="conversation_id", pointer="/conversation_id")
    )
    agrees_with_key(call, conversation_id, pointer="/conversation_id")
    if body.priority != "normal" and call.who.kind == "visitor":
        raise forbidden("visitors set no priority")
    origin = await _origin(call)
    # Of two who begin the same one in the same moment the second must find it, whoever they are.
    async with call.door.turns.of(conversation_id):
        return await _start(call, conversation_id, origin)


async def _start(
    call: Call[StartConversation, None], conversation_id: ConversationId, origin: _From
) -> Reply:
    body = call.body
    known = await _known(call, conversation_id)
    may_see = known is None or await _check_known(call, known, origin.contact_id)
    started = ConversationStarted(
        account_id=call.account_id,
        conversation_id=conversation_id,
        inbox_id=origin.inbox.inbox_id,
        contact_id=origin.contact_id,
        by=call.who.author,
        channel=body.channel or origin.inbox.channel,
        language=body.language,
        priority=body.priority,
    )
    if known is not None:
        position = await _commit(call, started, is_new=False)
        position = position or known.version
        if may_see:
            view = call.parts.views.conversation(known, call.who)
        else:
            view = _fresh(call, started, position)
        return Reply(body=view, status=200, position=position)
    # Whoever changes the contact meanwhile must find this conversation, or be known here.
    async with call.door.turns.of(origin.contact_id):
        started, revision = await _judged(call, started)
        position = await _commit(call, started, is_new=True)
        if revision is not None:
            await _judge_again(call, started, revision, position)
    call.parts.access.learn_started(
        call.account_id,
        conversation_id,
        contact_id=origin.contact_id,
        inbox_id=origin.inbox.inbox_id,
        position=position,
    )
    return Reply(body=_fresh(call, started, position), position=position)


async def _judged(
    call: Call[StartConversation, None], started: ConversationStarted
) -> tuple[ConversationStarted, int | None]:
    """With its page, and with what of the policy's conditions it meets: nobody behind the gateway can tell. And the
    revision of the contact by which it was judged, if it was."""
    conditions, account = call.parts.conditions, call.parts.directory.account(call.account_id)
    page = call.body.page
    if page:
        await call.parts.keys.ensure(call.account_id)
        started = msgspec.structs.replace(started, page=conditions.seal_page(started, page))
    policy, version = account.policy_of(started.inbox_id)
    if not any(rule.condition for rule in policy.skill_rules):
        return started, None
    await conditions.cover(policy)
    attributes: dict[str, str] = {}
    revision = None
    if conditions.asks_for_attributes(account, started.inbox_id):
        row = await _contact(call, started, at_least=await call.parts.asking.end_of_log())
        attributes, revision = call.parts.views.profile(row).attributes, row.profile_revision
    met = conditions.met(account, started.inbox_id, page, attributes)
    return msgspec.structs.replace(started, met=met, judged=version), revision


async def _judge_again(
    call: Call[StartConversation, None],
    started: ConversationStarted,
    revision: int,
    position: Position,
) -> None:
    """The contact may have been changed at another gateway, which could not know of this conversation yet. What this
    one can't find out now is no reason to say that the conversation was not started."""
    try:
        row = await _contact(call, started, at_least=position)
        if row.profile_revision == revision:
            return
        account = call.parts.directory.account(call.account_id)
        attributes = call.parts.views.profile(row).attributes
        judged = call.parts.conditions.judge(account, started, attributes)
        await call.parts.admission.append(started.conversation_id, "conversation", [judged])
    except (Unavailable, OutcomeUnknown):
        log.warning("start_not_judged_again", conversation_id=started.conversation_id)


async def _contact(
    call: Call[StartConversation, None], started: ConversationStarted, *, at_least: Position
) -> ContactRow:
    row = await call.parts.asking.contact(
        GetContact(account_id=started.account_id, contact_id=started.contact_id, at_least=at_least)
    )
    await call.parts.views.cover(started.account_id, [row])
    return row


async def _origin(call: Call[StartConversation, None]) -> _From:
    """A visitor's token names contact and inbox; the others name the contact, whose inbox it is."""
    inboxes = call.parts.directory.account(call.account_id).inboxes
    if call.who.kind == "visitor":
        if call.body.contact_id not in (None, call.who.id):
            raise not_found()
        contact_id, inbox_id = ContactId(call.who.id), call.who.inbox_id
    else:
        if call.body.contact_id is None:
            raise Rejected("invalid", "say whose conversation it is", pointer="/contact_id")
        row = await call.parts.asking.contact(
            GetContact(
                account_id=call.account_id,
                contact_id=ContactId(
                    canonical(call.body.contact_id, what="contact_id", pointer="/contact_id")
                ),
                at_least=call.given.at_least,
            )
        )
        contact_id, inbox_id = row.merged_into or row.contact_id, row.inbox_id
    inbox = inboxes.get(inbox_id or InboxId(""))
    if inbox is None:
        raise not_found()
    return _From(contact_id=contact_id, inbox=inbox)


async def _known(
    call: Call[StartConversation, None], conversation_id: ConversationId
) -> ConversationRow | None:
    """The conversation if it exists; the store says "no" only at the end of the log as of now."""
    try:
        row = await call.parts.asking.conversation(
            GetConversation(
                account_id=call.account_id,
                conversation_id=conversation_id,
                viewer_id=call.who.id,
                at_least=call.given.at_least,
            )
        )
    except Rejected as err:
        if err.code != "not_found":
            raise
        return None
    await call.parts.views.cover(call.account_id, [row])
    return row


async def _check_known(
    call: Call[StartConversation, None], known: ConversationRow, contact_id: ContactId
) -> bool:
    """A repeat shows the conversation and posts to it: whoever may not see it is told what is told of none. False: a
    contact that was merged meanwhile, who may still post what their outbox holds and is shown only that."""
    access, at_least = call.parts.access, call.given.at_least
    access.learn(known)
    if known.contact_id == contact_id:
        await access.may_see(call.who, known.conversation_id, at_least=at_least)
        return True
    if call.who.kind != "visitor":
        raise not_found()
    await access.may_post(call.who, known.conversation_id, at_least=at_least)
    return False


async def _commit(
    call: Call[StartConversation, None], started: ConversationStarted, *, is_new: bool
) -> Position:
    """Append what is missing; the position of the last of it, 0 when nothing is."""
    before = [started] if is_new else []
    message = call.body.message
    if message is None:
        if not before:
            return 0
        key = started.conversation_id
        return (await call.parts.admission.append(key, "conversation", before))[-1]
    draft = Draft(
        account_id=call.account_id,
        conversation_id=started.conversation_id,
        message_id=MessageId(
            canonical(message.message_id, what="message_id", pointer="/message/message_id")
        ),
        author=call.who.author,
        text=message.text,
        resend=not is_new,
    )
    return (await call.parts.admission.post(draft, before=before)).position


def _fresh(
    call: Call[StartConversation, None], started: ConversationStarted, position: Position
) -> ConversationView:
    """The new conversation as far as it is known before the store has it; nothing in it is guessed but `at`."""
    now = at(clock.now_ns())
    waits = call.body.message is not None and call.who.kind == "visitor"
    return ConversationView(
        conversation_id=started.conversation_id,
        inbox_id=started.inbox_id,
        contact_id=started.contact_id,
        channel=started.channel,
        language=started.language,
        priority=started.priority,
        status="queued" if waits else _STARTED_BY_US,
        labels=[],
        team_id=None,
        agent_id=None,
        previous_agent_id=None,
        waiting_since=position if waits else 0,
        waiting_since_at=now if waits else None,
        snoozed_until=None,
        last_seq=1 if call.body.message is not None else 0,
        last_position=position,
        version=position,
        created_at=now,
        updated_at=now,
        rating=0,
        unread=0,
    )


ROUTES = (
    Route(
        method="GET",
        path="/conversations",
        handler=show_list,
        summary="Conversations that the asker may see, a page at a time",
        roles=EVERYONE,
        tag="conversations",
        query=ConversationsQuery,
        gives=Conversations,
    ),
    Route(
        method="POST",
        path="/conversations",
        key="id",
        handler=start,
        summary="Start a conversation, with its first message if you like; a repeat answers 200",
        roles=EVERYONE,
        tag="conversations",
        takes=StartConversation,
        gives=ConversationView,
        status=201,
        also=(200,),
        errors=("not_found", "id_conflict", "idempotency_mismatch"),
    ),
    Route(
        method="GET",
        path="/conversations/{conversation_id}",
        handler=show,
        summary="One conversation",
        roles=EVERYONE,
        tag="conversations",
        gives=ConversationView,
    ),
)
