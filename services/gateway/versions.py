"""The versions of every account's routing document, as far as they are kept at hand: who wanted each, when, what it
changed, and how the account was then. Folded from the account family like everything here, so a restart forgets none.

Of each account so many and so much are kept; what is older is folded into the first that can be shown."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator

import msgspec

from shared.codec import decode_event
from shared.directory import Account, Directory, evolve
from shared.events import AccountEvent, AccountPart, parts_of
from shared.ids import AccountId, Position

_MOST = 500
_MOST_BYTES = 4 * 1024 * 1024


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version: `payload` is the event that made it."""

    position: Position
    at_ns: int
    by: str
    payload: bytes


class _Shelf:
    """One account's. `base`: the account as it was before the first version kept."""

    def __init__(self, account_id: AccountId) -> None:
        self.base = Directory(accounts={account_id: Account(account_id=account_id)})
        self.kept: deque[Version] = deque()
        self.held_bytes = 0


class Versions:
    """See the module."""

    def __init__(self) -> None:
        self._shelves: dict[AccountId, _Shelf] = {}

    def note(self, event: AccountEvent, position: Position, *, at_ns: int, payload: bytes) -> None:
        """An event moved the version of its account's routing document."""
        shelf = self._shelves.get(event.account_id)
        if shelf is None:
            shelf = self._shelves[event.account_id] = _Shelf(event.account_id)
        by = getattr(event, "by", "")
        shelf.kept.append(Version(position=position, at_ns=at_ns, by=by, payload=payload))
        shelf.held_bytes += len(payload)
        while len(shelf.kept) > _MOST or (shelf.held_bytes > _MOST_BYTES and len(shelf.kept) > 1):
            oldest = shelf.kept.popleft()
            shelf.held_bytes -= len(oldest.payload)
            _fold(shelf.base, oldest)

    def newest(self, account_id: AccountId, *, before: Position | None) -> Iterator[Version]:
        """Those that are kept, newest first; `before`: older than that one."""
        shelf = self._shelves.get(account_id)
        for version in reversed(shelf.kept) if shelf is not None else ():
            if before is None or version.position < before:
                yield version

    def as_of(self, account_id: AccountId, position: Position) -> Position | None:
        """The version that was in force at a position of the log; None where that is not known any more."""
        shelf = self._shelves.get(account_id)
        if shelf is None:
            return None
        positions = [version.position for version in shelf.kept]
        number = bisect_right(positions, position)
        if number:
            return positions[number - 1]
        base = shelf.base.accounts[account_id].routing
        return base if 0 < base <= position else None

    def account(self, account_id: AccountId, version: Position) -> Account | None:
        """The account as it was at a version, as far as the routing document shows it; None for one not kept."""
        shelf = self._shelves.get(account_id)
        if shelf is None:
            return None
        state = _copy(shelf.base.accounts[account_id])
        for each in shelf.kept:
            if each.position > version:
                break
            _fold(state, each)
        found = state.accounts[account_id]
        return found if version and found.routing == version else None


def changed(version: Version) -> tuple[AccountPart, ...]:
    """What a version changed."""
    event = decode_event(version.payload)
    assert isinstance(event, AccountEvent)
    return parts_of(event)


def _fold(state: Directory, version: Version) -> None:
    event = decode_event(version.payload)
    assert isinstance(event, AccountEvent)
    evolve(state, event, version.position)


def _copy(account: Account) -> Directory:
    """Its documents are never changed, only replaced, so they need no copies of their own."""
    copied = msgspec.structs.replace(
        account,
        agents=dict(account.agents),
        teams=dict(account.teams),
        inboxes=dict(account.inboxes),
        policies=dict(account.policies),
        versions=dict(account.versions),
    )
    return Directory(accounts={account.account_id: copied})
