"""What of the counts an asker may see, and how it is put together."""

from __future__ import annotations

from services.gateway.rest.counts import counted
from shared.conversation import Status
from shared.directory import Directory, evolve
from shared.events import AccountEvent, InboxSaved, TeamSaved
from shared.ids import TeamId
from shared.queries import CountRow, Counts
from tests.support.desk import ACCOUNT, INBOX, TEAM, identifier

_OTHER = TeamId(identifier("other team"))
_GONE = TeamId(identifier("removed team"))


def _row(team_id: TeamId | None, status: Status = "queued", **numbers: int) -> CountRow:
    return CountRow(
        inbox_id=INBOX,
        team_id=team_id,
        status=status,
        is_held=status == "open",
        conversations=numbers.get("conversations", 1),
        team_unread=numbers.get("team_unread", 0),
        unread=numbers.get("unread", 0),
    )


def _office(*, inbox_team: TeamId | None) -> Directory:
    directory = Directory()
    events: list[AccountEvent] = [
        TeamSaved(account_id=ACCOUNT, writer="test", team_id=team_id, name="t", members={})
        for team_id in (TEAM, _OTHER)
    ]
    events.append(
        InboxSaved(
            account_id=ACCOUNT,
            writer="test",
            inbox_id=INBOX,
            inbox_key="key",
            name="i",
            team_id=inbox_team,
        )
    )
    for position, event in enumerate(events, start=1):
        evolve(directory, event, position)
    return directory


def test_an_agent_counts_what_the_list_shows() -> None:
    """What their teams have, what no team has in an inbox that is open to them, and what they hold elsewhere; not what
    another team has. Unread and unassigned are of the same, and nobody's own unread is taken for the team's."""
    account = _office(inbox_team=None).accounts[ACCOUNT]
    counts = Counts(
        rows=(
            _row(TEAM, conversations=3, team_unread=2),
            _row(TEAM, "open", conversations=2, team_unread=1),
            _row(None, conversations=4, team_unread=4),
            _row(_OTHER, conversations=50, team_unread=50),
        ),
        mine=(_row(TEAM, "open", unread=1), _row(_OTHER, "open", team_unread=1, unread=1)),
    )
    found = counted(account, counts, [TEAM])
    assert (found.all.conversations, found.all.team_unread) == (10, 8)
    assert (found.unassigned.conversations, found.unassigned.team_unread) == (7, 6)
    assert found.mine is not None
    assert (found.mine.conversations, found.mine.unread) == (2, 2)
    assert {x.team_id: x.conversations for x in found.teams} == {TEAM: 5, _OTHER: 1, None: 4}
    assert found.all.by_status == {
        "queued": 7,
        "open": 3,
        "replied": 0,
        "snoozed": 0,
        "resolved": 0,
    }
    assert counted(account, counts, None).all.conversations == 59


def test_what_no_team_has_counts_as_the_teams_of_its_inbox() -> None:
    """Also what a team has that was removed: the dispatcher asks the inbox's team for it."""
    account = _office(inbox_team=_OTHER).accounts[ACCOUNT]
    counts = Counts(rows=(_row(None), _row(_GONE), _row(TEAM)))
    assert counted(account, counts, [TEAM]).all.conversations == 1
    assert [(x.team_id, x.conversations) for x in counted(account, counts, None).teams] == sorted(
        [(TEAM, 1), (_OTHER, 2)]
    )
