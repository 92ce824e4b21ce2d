"""A contact changed: what of their conversations' policies they meet now."""

from __future__ import annotations

from collections.abc import Mapping

from services.gateway.parts import Parts
from shared.codec import decode_event
from shared.errors import Malformed
from shared.events import ConditionsJudged, ConversationStarted
from shared.ids import AccountId, ContactId, ConversationId, Position
from shared.queries import GetHistory, ListConversations

_MOST = 50


async def rejudged(
    parts: Parts,
    account_id: AccountId,
    contact_id: ContactId,
    attributes: Mapping[str, str],
    *,
    at_least: Position | None = None,
) -> list[ConditionsJudged]:
    """A judgement for each conversation of the contact that is not resolved and whose policy has conditions (the 50
    that changed last), as of a position or of now. Raises `Unavailable`."""
    account = parts.directory.account(account_id)
    with_conditions = {
        inbox_id
        for inbox_id in account.inboxes
        if any(rule.condition for rule in account.policy_of(inbox_id)[0].skill_rules)
    }
    if not with_conditions:
        return []
    page = await parts.asking.conversations(
        ListConversations(
            account_id=account_id,
            contact_id=contact_id,
            statuses=("queued", "open", "replied", "snoozed"),
            limit=_MOST,
            at_least=at_least or await parts.asking.end_of_log(),
        )
    )
    found = []
    for row in page.rows:
        if row.inbox_id not in with_conditions:
            continue
        conversation_id = row.conversation_id
        started = await started_of(parts, account_id, conversation_id, at_least=row.version)
        if started is not None:
            await parts.conditions.cover(account.policy_of(row.inbox_id)[0])
            await parts.keys.cover(account_id, [started.page])
            found.append(parts.conditions.judge(account, started, attributes))
    return found


async def started_of(
    parts: Parts, account_id: AccountId, conversation_id: ConversationId, *, at_least: Position
) -> ConversationStarted | None:
    """The beginning of the conversation: its page lies there."""
    history = await parts.asking.history(
        GetHistory(
            account_id=account_id,
            conversation_id=conversation_id,
            limit=1,
            at_least=at_least,
        )
    )
    for each in history.rows:
        try:
            event = decode_event(each.payload)
        except Malformed:
            continue
        if isinstance(event, ConversationStarted):
            return event
    return None
