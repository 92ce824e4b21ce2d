"""Rows of the projections as the structs that questions are answered with: a column list and its function."""

from __future__ import annotations

from typing import Any

from services.store.fold.late import flags
from shared.events import Author
from shared.queries import ContactRow, ConversationRow, MessageRow, NoteRow, ReceiptRow

Row = tuple[Any, ...]

# Ids as text, so that pages of messages can be read in PostgreSQL's binary format: bodies come as they are.
MESSAGE = (
    "account_id::text, conversation_id::text, message_id::text, seq, position, at_ns, author_kind,"
    " author_id, content_type, body, revision, device_id::text, seen_up_to, automatic, crossed,"
    " retracted, unreadable, id_clash, clash_of::text"
)


def message(row: Row) -> MessageRow:
    return MessageRow(
        account_id=row[0],
        conversation_id=row[1],
        message_id=row[2],
        seq=row[3],
        position=row[4],
        at_ns=row[5],
        author=Author(kind=row[6], id=row[7]),
        content_type=row[8],
        body=row[9],
        revision=row[10],
        device_id=row[11],
        seen_up_to=row[12],
        automatic=row[13],
        crossed=row[14],
        retracted=row[15],
        unreadable=row[16],
        id_clash=row[17],
        clash_of=row[18],
    )


NOTE = "account_id, conversation_id, note_id, position, at_ns, author_kind, author_id, body"


def note(row: Row) -> NoteRow:
    return NoteRow(
        account_id=row[0],
        conversation_id=row[1],
        note_id=row[2],
        position=row[3],
        at_ns=row[4],
        author=Author(kind=row[5], id=row[6]),
        body=row[7],
    )


RECEIPT = "account_id, conversation_id, recipient_kind, recipient_id, received, read, position"


def receipt(row: Row) -> ReceiptRow:
    return ReceiptRow(
        account_id=row[0],
        conversation_id=row[1],
        recipient=Author(kind=row[2], id=row[3]),
        received=row[4],
        read=row[5],
        position=row[6],
    )


CONTACT = (
    "account_id, contact_id, inbox_id, is_identified, profile, profile_revision, merged_into,"
    " created_ns"
)


def contact(row: Row) -> ContactRow:
    return ContactRow(
        account_id=row[0],
        contact_id=row[1],
        inbox_id=row[2],
        is_identified=row[3],
        profile=row[4],
        profile_revision=row[5],
        merged_into=row[6],
        created_ns=row[7],
    )


CONVERSATION = (
    "account_id, conversation_id, inbox_id, contact_id, channel, language, priority, status,"
    " labels, team_id, agent_id, previous_agent_id, assigned, waiting_since,"
    " unanswered_ns, snoozed_until_ns, last_seq, last_entry, version, created_ns,"
    " updated_ns, rating, late, phase"
)


def conversation(row: Row) -> ConversationRow:
    overdue, escalated = flags(row[22], row[23])
    return ConversationRow(
        account_id=row[0],
        conversation_id=row[1],
        inbox_id=row[2],
        contact_id=row[3],
        channel=row[4],
        language=row[5],
        priority=row[6],
        status=row[7],
        labels=tuple(row[8]),
        team_id=row[9],
        agent_id=row[10],
        previous_agent_id=row[11],
        assigned=row[12],
        waiting_since=row[13],
        waiting_since_ns=row[14][0] if row[14] else 0,
        snoozed_until_ns=row[15],
        last_seq=row[16],
        last_entry=row[17],
        version=row[18],
        created_ns=row[19],
        updated_ns=row[20],
        rating=row[21],
        overdue=overdue,
        escalated=escalated,
    )
