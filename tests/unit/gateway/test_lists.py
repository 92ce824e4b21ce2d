"""When agents are told that lists and counts changed."""

from __future__ import annotations

from unittest import mock

from services.gateway.lists import Lists
from services.gateway.sessions.registry import Registry
from shared.ids import AccountId

_A, _B = AccountId("a"), AccountId("b")


class _Told:
    """Sessions of staff, who see every list, in both accounts."""

    def __init__(self, *, sessions: int) -> None:
        self.frames: list[tuple[str, bytes]] = []
        registry = mock.create_autospec(Registry, instance=True)
        registry.agents_of.side_effect = lambda account_id: (
            self._session(account_id),
            *[mock.Mock() for _ in range(sessions - 1)],
        )
        self.lists = Lists(registry, mock.Mock(), flush_s=1.0)

    def _session(self, account_id: str) -> mock.Mock:
        session = mock.Mock()
        session.principal.is_staff = True
        session.send.side_effect = lambda raw: self.frames.append((account_id, raw))
        return session


def test_the_first_change_is_told_at_once_and_a_storm_once_a_while() -> None:
    """An account that was quiet hears of a change at the next look; a hundred changes in a second make one frame more,
    with the last position; another account's storm delays nobody."""
    told = _Told(sessions=200)
    told.lists.changed(_A, "t", 1)
    told.lists.flush(10.0)
    assert told.frames == [("a", b'{"op":"changed","position":1,"team_ids":["t"]}')]
    for position in range(2, 102):
        told.lists.changed(_A, "", position)
    told.lists.changed(_B, "u", 50)
    told.lists.flush(10.1)
    assert [account for account, _ in told.frames] == ["a", "b"]
    told.lists.flush(10.9)
    assert len(told.frames) == 2
    told.lists.flush(11.1)
    assert told.frames[2:] == [("a", b'{"op":"changed","position":101,"team_ids":[]}')]
    told.lists.flush(20.0)
    assert len(told.frames) == 3


def test_a_small_desk_hears_ten_times_as_often() -> None:
    """Colleagues see within a tenth of the time that something was read; only a crowd has to wait."""
    told = _Told(sessions=4)
    for moment in (10.0, 10.11, 10.15, 10.22):
        told.lists.changed(_A, "t", int(moment * 100))
        told.lists.flush(moment)
    assert len(told.frames) == 3
