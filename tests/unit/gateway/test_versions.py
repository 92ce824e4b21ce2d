"""Old versions of the routing document: kept so far back, and told as they were."""

from __future__ import annotations

from typing import cast

from services.gateway import versions
from services.gateway.versions import Versions, changed
from shared import directory
from shared.codec import encode_event
from shared.directory import Directory
from shared.events import AccountEvent, Event, RoutingSaved, TeamSaved
from shared.ids import TeamId
from tests.support import desk

_NIGHT = TeamId(desk.identifier("night"))


class _Log:
    """An account family as a gateway folds it."""

    def __init__(self) -> None:
        self.state = Directory()
        self.versions = Versions()

    def fold(self, event: Event, position: int) -> None:
        event = cast("AccountEvent", event)
        directory.evolve(self.state, event, position)
        if self.state.accounts[desk.ACCOUNT].routing == position:
            payload = encode_event(event)
            self.versions.note(event, position, at_ns=position * 10, payload=payload)

    def teams(self, version: int) -> set[str] | None:
        account = self.versions.account(desk.ACCOUNT, version)
        return None if account is None else set(account.teams)


def _log() -> _Log:
    log = _Log()
    log.fold(desk.agent("ann"), 3)
    log.fold(desk.agent("ann"), 5)
    log.fold(desk.team("ann"), 7)
    parts = (cast("TeamSaved", desk.team("ann", team_id=_NIGHT)),)
    log.fold(RoutingSaved(account_id=desk.ACCOUNT, writer="w", parts=parts, by="ann"), 9)
    log.fold(desk.team_removed(desk.TEAM), 12)
    return log


def test_a_version_is_shown_as_it_was() -> None:
    """Whatever came later; a position that changed nothing is no version."""
    log = _log()
    assert [log.teams(version) for version in (3, 5, 7, 9, 12, 13)] == [
        set(),
        None,
        {desk.TEAM},
        {desk.TEAM, _NIGHT},
        {_NIGHT},
        None,
    ]
    kept = list(log.versions.newest(desk.ACCOUNT, before=None))
    assert [each.position for each in kept] == [12, 9, 7, 3]
    assert (kept[1].by, kept[1].at_ns) == ("ann", 90)
    assert [type(part) for part in changed(kept[1])] == [TeamSaved]
    assert [v.position for v in log.versions.newest(desk.ACCOUNT, before=9)] == [7, 3]


def test_a_decision_names_the_version_of_its_state() -> None:
    """The last one at or before the position."""
    log = _log()
    assert [log.versions.as_of(desk.ACCOUNT, at) for at in (2, 3, 8, 9, 99)] == [None, 3, 7, 9, 12]


def test_only_so_many_are_kept() -> None:
    """What is older is part of the first that can be shown, not lost from it."""
    log = _log()
    for number in range(versions._MOST - 1):
        log.fold(desk.team("ann", priorities={"ann": number + 1}), 20 + number)
    assert len(list(log.versions.newest(desk.ACCOUNT, before=None))) == versions._MOST
    assert log.teams(7) is None
    assert log.teams(12) == {_NIGHT}
    assert log.versions.as_of(desk.ACCOUNT, 11) == 9
    assert log.versions.as_of(desk.ACCOUNT, 8) is None
