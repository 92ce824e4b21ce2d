"""Who is connected: sessions by inbox, by device, by account, and the end of those whose right ended."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from services.gateway import metrics
from services.gateway.sessions.session import Session
from shared.events import AccountEvent, AgentRemoved, AgentSaved, InboxRemoved
from shared.ids import AccountId, Position
from shared.labelled import labelled
from shared.subjects import HINT_BUCKETS, bucket_of

_NONE: tuple[Session, ...] = ()


class Registry:
    """Every session of this process; a device has one at most."""

    def __init__(self) -> None:
        self._all: set[Session] = set()
        self._by_owner: dict[str, tuple[Session, ...]] = {}
        self._by_device: dict[tuple[str, str], Session] = {}
        self._agents: dict[AccountId, set[Session]] = {}
        self.in_buckets = [0] * HINT_BUCKETS

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._all))

    def add(self, session: Session) -> None:
        """A connection that has not said who it is."""
        self._all.add(session)

    def attach(self, session: Session) -> Session | None:
        """The session's principal is known; gives back an older session of the same device."""
        principal = session.principal
        assert principal is not None
        key = (principal.id, session.device_id)
        older = self._by_device.get(key)
        if older is session:
            return None
        if older is not None:
            self._forget(older)
        self._by_device[key] = session
        self._by_owner[principal.id] = (*self._by_owner.get(principal.id, _NONE), session)
        if principal.kind == "agent":
            self._agents.setdefault(principal.account_id, set()).add(session)
        self.in_buckets[bucket_of(principal.account_id)] += 1
        labelled(metrics.SESSIONS, principal.kind).inc()
        return older

    def remove(self, session: Session) -> None:
        """The connection ended."""
        self._all.discard(session)
        if session.principal is not None:
            self._forget(session)

    def of_owner(self, owner_id: str) -> tuple[Session, ...]:
        """The devices of a contact or an agent."""
        return self._by_owner.get(owner_id, _NONE)

    def of_device(self, owner_id: str, device_id: str) -> Session | None:
        """The session of one device."""
        return self._by_device.get((owner_id, device_id))

    def accounts(self) -> tuple[AccountId, ...]:
        """Accounts of which an agent is connected."""
        return tuple(self._agents)

    def agents_of(self, account_id: AccountId) -> tuple[Session, ...]:
        """The agents' sessions of an account."""
        return tuple(self._agents.get(account_id, ()))

    def on_account_event(self, event: AccountEvent, _position: Position) -> None:
        """Send away whose right has ended; take over a changed role."""
        match event:
            case AgentRemoved():
                for session in self.of_owner(event.agent_id):
                    session.close(3501)
            case AgentSaved():
                for session in self.of_owner(event.agent_id):
                    if session.principal is not None:
                        session.principal = msgspec.structs.replace(
                            session.principal, role=event.role
                        )
            case InboxRemoved():
                for session in self:
                    if session.principal and session.principal.inbox_id == event.inbox_id:
                        session.close(3501)
            case _:
                pass

    def _forget(self, session: Session) -> None:
        principal = session.principal
        assert principal is not None
        key = (principal.id, session.device_id)
        owned = self._by_owner.get(principal.id, _NONE)
        if session not in owned:
            return
        left = tuple(other for other in owned if other is not session)
        if left:
            self._by_owner[principal.id] = left
        else:
            self._by_owner.pop(principal.id, None)
        if self._by_device.get(key) is session:
            del self._by_device[key]
        self.in_buckets[bucket_of(principal.account_id)] -= 1
        agents = self._agents.get(principal.account_id)
        if agents is not None:
            agents.discard(session)
            if not agents:
                del self._agents[principal.account_id]
        labelled(metrics.SESSIONS, principal.kind).dec()
