"""How many conversations there are, by what lists show: read from tallies, or counted among those that filters let
through."""

from __future__ import annotations

from typing import Any

from services.store.fold.late import ESCALATED, OVERDUE
from services.store.tables.conversations import TEAM_UNREAD, UNREAD, filters, holder
from services.store.tables.read import Row
from shared.database import Connection
from shared.queries import CountRow, Counts, GetCounts

MOST_COUNTED = 10_000
"""Of what filters let through. Twenty milliseconds; a badge that shows more than this says "more"."""

_TALLIES = (
    b"SELECT inbox_id, nullif(team_id, '00000000-0000-0000-0000-000000000000'), status, is_held,"
    b" conversations, unread, 0, overdue, escalated FROM conversation_tallies WHERE account_id = %s ORDER BY 1, 2, 3, 4"
)


async def get_counts(connection: Connection, question: GetCounts) -> Counts:
    """How many; no row of what no conversation is in."""
    where, parameters = ["true"], _viewer(question)
    if question.among is None:
        found = await connection.execute(_TALLIES, [question.account_id])
        rows = tuple([_row(row) for row in await found.fetchall()])
    else:
        where, among = await filters(connection, question.among)
        parameters = among | parameters
        rows = await _grouped(connection, where, parameters)
    where = [*where, "c.agent_id = %(holder)s::uuid"]
    # The very test of the list, so that the number is its length.
    mine = await _grouped(connection, where, parameters, unread=f"({UNREAD}) > 0")
    is_cut = any(
        sum(row.conversations for row in counted) > MOST_COUNTED
        for counted in ((rows, mine) if question.among is not None else (mine,))
    )
    return Counts(rows=rows, mine=mine, is_cut=is_cut)


def _viewer(question: GetCounts) -> dict[str, Any]:
    return {
        "account": question.account_id,
        "viewer": question.viewer_id,
        "holder": holder(question.viewer_id),
    }


async def _grouped(
    connection: Connection, where: list[str], parameters: dict[str, Any], *, unread: str = "false"
) -> tuple[CountRow, ...]:
    statement = (
        "SELECT c.inbox_id, c.team_id, c.status, c.agent_id IS NOT NULL, count(*),"
        f" count(*) FILTER (WHERE {TEAM_UNREAD}), count(*) FILTER (WHERE {unread}),"
        f" count(*) FILTER (WHERE {OVERDUE}), count(*) FILTER (WHERE {ESCALATED}) FROM (SELECT * FROM conversations c"
        f"  WHERE c.account_id = %(account)s AND {' AND '.join(where)} LIMIT {MOST_COUNTED + 1}) c"
        " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
    )
    found = await connection.execute(statement.encode(), parameters)
    return tuple([_row(row) for row in await found.fetchall()])


def _row(row: Row) -> CountRow:
    return CountRow(
        inbox_id=row[0],
        team_id=row[1],
        status=row[2],
        is_held=row[3],
        conversations=row[4],
        team_unread=row[5],
        unread=row[6],
        overdue=row[7],
        escalated=row[8],
    )
