"""Questions about conversations: one, a list, and what somebody has not read of them."""

from __future__ import annotations

from typing import Any

import msgspec

from services.store.fold.late import ESCALATED, OVERDUE
from services.store.tables.paging import cut, decode_next, encode_next
from services.store.tables.read import (
    CONTACT,
    CONVERSATION,
    MESSAGE,
    RECEIPT,
    Row,
    contact,
    conversation,
    message,
    receipt,
)
from shared.database import Connection
from shared.errors import Rejected
from shared.ids import AccountId, canonical
from shared.queries import (
    ConversationPage,
    ConversationRow,
    GetConversation,
    ListConversations,
)

_MOST_ROWS = 200

# What the viewer has not read: the other side's messages behind the viewer's own "read", and behind what the viewer has
# answered, which no client need report as read. Conversations that are neither theirs as a contact nor held by them have
# nothing unread for them. The first unread `seq` is looked for from the end, so that the count costs as much as there
# is unread and not as much as the conversation is long.
UNREAD = """
    SELECT count(*) FROM (SELECT greatest(
        (SELECT r.read FROM receipts r WHERE r.account_id = c.account_id
         AND r.conversation_id = c.conversation_id AND r.recipient_id = %(viewer)s),
        CASE WHEN c.last_answer_agent_id = %(viewer)s
             THEN least(c.last_answer, c.unanswered[1] - 1) END, 0) AS position
         OFFSET 0) read
    CROSS JOIN LATERAL (SELECT FROM messages m
        WHERE m.account_id = c.account_id AND m.conversation_id = c.conversation_id
        AND m.seq > coalesce(
            (SELECT b.seq FROM messages b WHERE read.position > 0 AND b.account_id = c.account_id
             AND b.conversation_id = c.conversation_id AND b.position <= read.position
             ORDER BY b.seq DESC LIMIT 1), 0)
        AND CASE WHEN c.contact_id = %(holder)s::uuid THEN m.author_kind IN ('agent', 'integration')
                 WHEN c.agent_id = %(holder)s::uuid THEN m.author_kind = 'visitor' END
        ORDER BY m.seq OFFSET 0) theirs
    WHERE c.last_message > read.position
"""

# Somebody waits, and nobody of the desk has read the newest of it: as the fold counts it. The first test is the index.
TEAM_UNREAD = (
    "(c.waiting_since > 0 AND c.phase = 'active'"
    " AND c.unanswered[cardinality(c.unanswered)] > c.desk_read)"
)


def holder(viewer_id: str) -> str | None:
    """Whose conversations and inbox they may be: people have UUIDs, an API key has none and holds nothing."""
    try:
        return canonical(viewer_id)
    except Rejected:
        return None


async def get_conversation(
    connection: Connection, question: GetConversation
) -> ConversationRow | None:
    """One conversation with its last message and everybody's receipts."""
    rows = await _rows(
        connection,
        "c.conversation_id = %(conversation)s",
        {
            "account": question.account_id,
            "viewer": question.viewer_id,
            "holder": holder(question.viewer_id),
            "conversation": question.conversation_id,
        },
        how=_How(wants_contact=question.wants_contact),
    )
    if not rows:
        return None
    found = await connection.execute(
        f"SELECT {RECEIPT} FROM receipts WHERE account_id = %s AND conversation_id = %s"
        " ORDER BY recipient_id".encode(),
        [question.account_id, question.conversation_id],
    )
    receipts = tuple([receipt(row) for row in await found.fetchall()])
    return msgspec.structs.replace(rows[0], receipts=receipts)


async def list_conversations(
    connection: Connection, question: ListConversations
) -> ConversationPage:
    """A page of conversations by filters, last change first or longest wait first."""
    limit = min(max(question.limit, 1), _MOST_ROWS)
    where, parameters = await filters(connection, question)
    column = "c.version" if question.order == "updated" else "c.waiting_since"
    is_falling = question.order == "updated"
    if question.after:
        order, number, last_id = decode_next(question.after, (str, int, str))
        if order != question.order:
            raise Rejected("invalid", "the cursor belongs to another order")
        sign = "<" if is_falling else ">"
        where.append(
            f"({column} {sign} %(number)s OR {column} = %(number)s AND c.conversation_id > %(last_id)s)"
        )
        # Says the same as the line above for the index, which can't use an OR.
        where.append(f"{column} {sign}= %(number)s")
        parameters |= {"number": number, "last_id": last_id}
    order_by = f"{column} {'DESC' if is_falling else ''}, c.conversation_id LIMIT {limit + 1}"
    # Of an inbox or a channel there may be few conversations or nearly all: planned for the one that is asked for.
    is_planned_anew = question.inbox_id is not None or question.channel != ""
    rows = await _rows(
        connection,
        " AND ".join(where),
        parameters,
        how=_How(
            order_by=order_by,
            prepare=False if is_planned_anew else None,
            wants_contact=question.wants_contact,
        ),
    )
    page, is_cut = cut(
        rows,
        limit,
        lambda x: (
            1400
            + len(x.last_message.body if x.last_message else b"")
            + len(x.contact.profile if x.contact else b"")
        ),
    )
    if not is_cut:
        return ConversationPage(rows=page)
    last = page[-1]
    number = last.version if is_falling else last.waiting_since
    return ConversationPage(
        rows=page, next=encode_next((question.order, number, last.conversation_id))
    )


# As the gateway decides it for one conversation, but for what the viewer held last, which is a list of its own: what
# is listed here is what is counted. What a team had that was removed is of no team. (Compared with null, when nobody
# said which teams there are, it is not.)
_OF_NO_TEAM = "(c.team_id IS NULL OR c.team_id <> ALL(%(present_teams)s::uuid[]))"
_OPEN_TO_VIEWER = (
    "(c.team_id = ANY(%(teams)s::uuid[])"
    f" OR ({_OF_NO_TEAM} AND c.inbox_id <> ALL(%(foreign_inboxes)s::uuid[]))"
    " OR c.agent_id = %(holder)s::uuid)"
)


async def filters(
    connection: Connection, question: ListConversations
) -> tuple[list[str], dict[str, Any]]:
    """The conditions on `conversations c` and their parameters."""
    contact_id = question.contact_id
    if contact_id is not None:
        contact_id = await root_contact(connection, question.account_id, contact_id)
    values: dict[str, Any] = {
        "contact": contact_id,
        "agent": question.agent_id,
        "team": question.team_id,
        "inbox": question.inbox_id,
        "statuses": list(question.statuses) or None,
        "labels": list(question.labels) or None,
        "channel": question.channel or None,
        "since": question.since_ns or None,
        "until": question.until_ns or None,
        "previous": question.previous_agent_id,
    }
    tests = {
        "contact": "c.contact_id = %(contact)s",
        "agent": "c.agent_id = %(agent)s",
        "team": f"(c.team_id = %(team)s OR ({_OF_NO_TEAM} AND c.inbox_id = ANY(%(team_inboxes)s::uuid[])))",
        "inbox": "c.inbox_id = %(inbox)s",
        "statuses": "c.status = ANY(%(statuses)s)",
        # The second test is what the index says; it holds for every conversation that has these labels.
        "labels": "c.labels @> %(labels)s AND c.labels <> '{}'",
        "channel": "c.channel = %(channel)s",
        "since": "c.updated_ns >= %(since)s",
        "until": "c.updated_ns < %(until)s",
        "previous": "c.previous_agent_id = %(previous)s AND c.agent_id IS DISTINCT FROM %(previous)s",
    }
    where = ["true", *[test for name, test in tests.items() if values[name] is not None]]
    where += _of_teams(question)
    if question.is_unassigned:
        where.append("c.agent_id IS NULL AND c.waiting_since > 0 AND c.phase = 'active'")
    if question.teams is not None:
        where.append(_OPEN_TO_VIEWER)
    if question.is_unread:
        where.append(f"({UNREAD}) > 0")
    if question.is_team_unread:
        where.append(TEAM_UNREAD)
    if question.is_overdue:
        where.append(OVERDUE)
    if question.is_escalated:
        where.append(ESCALATED)
    if question.order == "waiting":
        where.append("c.waiting_since > 0")
    parameters = {
        **values,
        "account": question.account_id,
        "viewer": question.viewer_id,
        "holder": holder(question.viewer_id),
        "teams": list(question.teams or ()),
        "foreign_inboxes": list(question.foreign_inboxes),
        "team_inboxes": list(question.team_inboxes),
        "present_teams": None if question.present_teams is None else list(question.present_teams),
    }
    return where, parameters


def _of_teams(question: ListConversations) -> list[str]:
    if question.is_of_no_team:
        return [f"({_OF_NO_TEAM} AND c.inbox_id <> ALL(%(team_inboxes)s::uuid[]))"]
    present = question.present_teams
    is_gone = question.team_id is not None and present is not None
    return ["false"] if is_gone and question.team_id not in (present or ()) else []


class _How(msgspec.Struct, frozen=True, kw_only=True):
    """How rows are read. `prepare`: None as often as the driver likes."""

    order_by: str = "1"
    prepare: bool | None = None
    wants_contact: bool = False


async def _rows(
    connection: Connection,
    where: str,
    parameters: dict[str, Any],
    *,
    how: _How,
) -> list[ConversationRow]:
    columns = ", ".join(f"c.{x.strip()}" for x in _PLAIN)
    of_contact, contacts = (f", {_CONTACT}", _CONTACTS) if how.wants_contact else ("", "")
    statement = (
        f"SELECT {columns}, ({UNREAD}), m.*{of_contact} FROM conversations c{contacts} LEFT JOIN LATERAL"
        f" (SELECT {MESSAGE} FROM messages WHERE account_id = c.account_id"
        "  AND conversation_id = c.conversation_id AND seq = c.last_seq) m ON true"
        f" WHERE c.account_id = %(account)s AND {where} ORDER BY {how.order_by}"
    )
    found = await connection.execute(statement.encode(), parameters, prepare=how.prepare)
    return [_full(row) for row in await found.fetchall()]


_PLAIN = CONVERSATION.split(",")
_WIDTH = len(_PLAIN)
_MESSAGE_WIDTH = len(MESSAGE.split(","))
_CONTACT = ", ".join(f"k.{x.strip()}" for x in CONTACT.split(","))
# By its key: one look a row of the page, behind the limit.
_CONTACTS = " LEFT JOIN contacts k ON k.account_id = c.account_id AND k.contact_id = c.contact_id"


def _full(row: Row) -> ConversationRow:
    last = message(row[_WIDTH + 1 :]) if row[_WIDTH + 1] is not None else None
    behind = row[_WIDTH + 1 + _MESSAGE_WIDTH :]
    return msgspec.structs.replace(
        conversation(row[:_WIDTH]),
        unread=row[_WIDTH],
        last_message=last,
        contact=contact(behind) if behind and behind[1] is not None else None,
    )


async def root_contact(connection: Connection, account_id: AccountId, contact_id: str) -> Any:
    """What this contact was merged into in the end; itself if it was not."""
    found = await connection.execute(
        "WITH RECURSIVE step(contact_id, depth) AS (SELECT %(contact)s::uuid, 0 UNION ALL"
        " SELECT c.merged_into, step.depth + 1 FROM step JOIN contacts c USING (contact_id)"
        " WHERE c.account_id = %(account)s AND c.merged_into IS NOT NULL AND step.depth < 100)"
        " SELECT contact_id FROM step ORDER BY depth DESC LIMIT 1",
        {"account": account_id, "contact": contact_id},
    )
    return (await found.fetchall())[0][0]


# The messages that a contact has not read in their conversations, or an agent in those held.
UNREAD_OF_HOLDER = (
    f"SELECT coalesce(sum(({UNREAD})), 0)::bigint FROM conversations c"
    " WHERE c.account_id = %(account)s"
    " AND (c.contact_id = %(holder)s::uuid OR c.agent_id = %(holder)s::uuid)"
)
