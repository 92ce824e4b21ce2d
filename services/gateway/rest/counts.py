"""How many conversations there are and how many are unread: what a console shows beside its lists."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Annotated, get_args

import msgspec

from services.gateway.rest.conversations import NO_TEAM, id_of, team_of
from services.gateway.rest.moments import ns_of
from services.gateway.rest.route import DESK, Call, Reply, Route
from shared.conversation import Status
from shared.directory import Account
from shared.ids import AgentId, InboxId, TeamId
from shared.queries import CountRow, Counts, GetCounts, ListConversations
from shared.wire.bodies import ConversationCounts, Count, MyCount, TeamCount

_STATUSES: tuple[Status, ...] = get_args(Status)


class CountsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters are and-ed, as those of the list. `team` (or "none") and `inbox` alone cost nothing."""

    team: str | None = None
    inbox: str | None = None
    agent: str | None = None
    contact: str | None = None
    label: Annotated[list[str], msgspec.Meta(max_length=20)] = []
    channel: Annotated[str, msgspec.Meta(max_length=16)] = ""
    since: str | None = None
    until: str | None = None


async def show(call: Call[None, CountsQuery]) -> Reply:
    """Counted over what the list shows to the asker."""
    account = call.parts.directory.account(call.account_id)
    team, inbox = team_of(call.query.team), id_of(call.query.inbox, "?inbox")
    counts = await call.parts.asking.counts(
        GetCounts(
            account_id=call.account_id,
            at_least=call.given.at_least,
            viewer_id=call.who.id,
            among=_among(call),
        )
    )
    teams = None
    if not call.who.is_staff:
        teams = account.teams_of(AgentId(call.who.id))
    counts = msgspec.structs.replace(
        counts,
        rows=_of(account, counts.rows, team=team, inbox=inbox),
        mine=_of(account, counts.mine, team=team, inbox=inbox),
    )
    found = counted(account, counts, teams)
    if call.who.kind != "agent":
        found = msgspec.structs.replace(found, mine=None)
    return Reply(body=found)


def _among(call: Call[None, CountsQuery]) -> ListConversations | None:
    """The filters that need looking at conversations; None when inbox and team are enough."""
    query = call.query
    asked = (query.agent, query.contact, query.label, query.channel, query.since, query.until)
    if not any(asked):
        return None
    return ListConversations(
        account_id=call.account_id,
        viewer_id=call.who.id,
        agent_id=id_of(query.agent, "?agent"),
        contact_id=id_of(query.contact, "?contact"),
        labels=tuple(query.label),
        channel=query.channel,
        since_ns=ns_of(query.since, pointer="?since"),
        until_ns=ns_of(query.until, pointer="?until"),
    )


def _of(
    account: Account, rows: Iterable[CountRow], *, team: str | None, inbox: InboxId | None
) -> tuple[CountRow, ...]:
    return tuple(
        row
        for row in rows
        if (team is None or (_team_of(account, row) or NO_TEAM) == team)
        and (inbox is None or row.inbox_id == inbox)
    )


def counted(
    account: Account, counts: Counts, teams: Collection[TeamId] | None
) -> ConversationCounts:
    """What an agent of these teams sees (None: everything): their teams', what no team has yet in the inboxes that are
    open to them, and what they hold elsewhere."""
    seen, mine = counts.rows, counts.mine
    if teams is not None:
        seen = tuple(row for row in counts.rows if _is_open(account, row, teams))
        seen += tuple(row for row in mine if not _is_open(account, row, teams))
    owners = sorted({_team_of(account, row) or "" for row in seen})
    return ConversationCounts(
        all=_sum(seen),
        mine=_mine(mine),
        unassigned=_sum(row for row in seen if row.status == "queued"),
        teams=[_of_team(account, seen, TeamId(owner) if owner else None) for owner in owners],
        is_cut=counts.is_cut,
    )


def _is_open(account: Account, row: CountRow, teams: Collection[TeamId]) -> bool:
    team_id = _team_of(account, row)
    return team_id is None or team_id in teams


def _team_of(account: Account, row: CountRow) -> TeamId | None:
    """Of no team, or of one that was removed: the inbox's, as the dispatcher has it."""
    if row.team_id in account.teams:
        return row.team_id
    inbox = account.inboxes.get(row.inbox_id)
    return inbox.team_id if inbox is not None else None


def _of_team(account: Account, rows: Iterable[CountRow], team_id: TeamId | None) -> TeamCount:
    count = _sum(row for row in rows if _team_of(account, row) == team_id)
    return TeamCount(
        conversations=count.conversations,
        by_status=count.by_status,
        team_unread=count.team_unread,
        overdue=count.overdue,
        escalated=count.escalated,
        team_id=team_id,
    )


def _mine(rows: Collection[CountRow]) -> MyCount:
    count = _sum(rows)
    return MyCount(
        conversations=count.conversations,
        by_status=count.by_status,
        team_unread=count.team_unread,
        overdue=count.overdue,
        escalated=count.escalated,
        unread=sum(row.unread for row in rows),
    )


def _sum(rows: Iterable[CountRow]) -> Count:
    rows = tuple(rows)
    by_status: dict[Status, int] = dict.fromkeys(_STATUSES, 0)
    for row in rows:
        by_status[row.status] += row.conversations
    return Count(
        conversations=sum(by_status.values()),
        by_status=by_status,
        team_unread=sum(row.team_unread for row in rows),
        overdue=sum(row.overdue for row in rows),
        escalated=sum(row.escalated for row in rows),
    )


ROUTES = (
    Route(
        method="GET",
        path="/conversations/counts",
        handler=show,
        summary="How many conversations the asker may see, by status and team, and how many are unread",
        roles=DESK,
        tag="conversations",
        query=CountsQuery,
        gives=ConversationCounts,
    ),
)
