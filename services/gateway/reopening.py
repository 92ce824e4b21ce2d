"""A conversation that was over begins again: the rules of now are judged by what is known of the visitor now, in the
same commit as what opens it, so that it never waits by what was true when it was new (ADR 0017)."""

from __future__ import annotations

import structlog

from services.gateway.access import Facts
from services.gateway.parts import Parts
from services.gateway.rejudging import started_of
from shared.errors import Malformed, Rejected, Unavailable
from shared.events import ConditionsJudged
from shared.ids import AccountId, ContactId
from shared.queries import ContactRow, GetContact

log = structlog.get_logger(__name__)


async def judged_anew(parts: Parts, facts: Facts) -> list[ConditionsJudged]:
    """What goes before the event that opens it; nothing for one that is not over, or whose policy has no conditions. While
    the store is away it is opened as it was: that somebody writes is worth more."""
    if facts.status != "resolved":
        return []
    account = parts.directory.account(facts.account_id)
    policy, _ = account.policy_of(facts.inbox_id)
    if not any(rule.condition for rule in policy.skill_rules):
        return []
    try:
        started = await started_of(
            parts, facts.account_id, facts.conversation_id, at_least=facts.as_of
        )
        if started is None:
            return []
        row = await _contact(parts, facts.account_id, facts.contact_id)
        await parts.conditions.cover(policy)
        await parts.keys.cover(facts.account_id, [started.page, row.profile])
        attributes = parts.views.profile(row).attributes
        return [parts.conditions.judge(account, started, attributes)]
    except (Unavailable, Rejected, Malformed) as err:
        log.warning("reopened_unjudged", conversation_id=facts.conversation_id, code=err.code)
        return []


def is_open_now(facts: Facts) -> None:
    """It was opened: what comes next opens nothing, although no row of the store has said so yet."""
    if facts.status == "resolved":
        facts.status = "queued"


async def _contact(parts: Parts, account_id: AccountId, contact_id: ContactId) -> ContactRow:
    """Whoever it is by now."""
    end = await parts.asking.end_of_log()
    question = GetContact(account_id=account_id, contact_id=contact_id, at_least=end)
    row = await parts.asking.contact(question)
    if row.merged_into is None:
        return row
    question = GetContact(account_id=account_id, contact_id=row.merged_into, at_least=end)
    return await parts.asking.contact(question)
