"""Accounts from outside the gateway: the operator's way to make the first one. Folds the account family to its end
and appends to it, fenced like every writer, so it is safe beside running gateways."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from cli import installation
from shared.bus import (
    Bus,
    BusSettings,
    FenceBusy,
    FencedWriter,
    FenceLost,
    Reader,
    ReaderSettings,
    Start,
    connect,
    last_of,
)
from shared.clock import new_id
from shared.codec import decode_event, encode_event
from shared.crypto import KeyRing, MasterKey, new_stored_key, read_master_key
from shared.database import Connection
from shared.database import connect as connect_database
from shared.directory import Directory, evolve
from shared.errors import OutcomeUnknown, Rejected, Unavailable
from shared.events import AccountCreated, AccountEvent, AgentSaved, WriterStarted
from shared.ids import AccountId, AgentId, Position
from shared.keys import Credential, find_credential, load_keys, replace_credential, save_keys
from shared.passwords import hash_password, login_lookup
from shared.subjects import event_subject

_ATTEMPTS = 5


class Administrator(msgspec.Struct, frozen=True, kw_only=True):
    """The administrator of an account, as the operator gives them."""

    agent_id: AgentId
    name: str
    email: str
    password: str
    skills: dict[str, int] = {}


class AccountLog:
    """The servers of an installation, for one command."""

    def __init__(self, bus: Bus, database: Connection, master: MasterKey, *, shard: str) -> None:
        self._bus = bus
        self._database = database
        self._master = master
        self._shard = shard
        self._subject = event_subject(shard, "account")
        self._writer = f"nightdesk {new_id()}"

    async def fold(self) -> Directory:
        """The configuration as of now."""
        state = Directory()
        if await last_of(self._bus, self._shard, self._subject) is None:
            return state
        settings = ReaderSettings(idle_s=0.05)
        start = Start(position=0)
        reader = Reader(self._bus, self._shard, start, settings, subjects=[self._subject])
        async for batch in reader.batches():
            for delivery in batch.deliveries:
                event = decode_event(delivery.payload)
                if isinstance(event, AccountEvent | WriterStarted):
                    evolve(state, event, delivery.position)
                state.position = delivery.position
            if batch.at_end:
                break
        return state

    async def create_account(
        self, account_id: AccountId, name: str, administrator: Administrator
    ) -> None:
        """The account and its first administrator in one step; what is there already stays. The keys are committed
        before anything is sealed with them."""
        await self._check_email(account_id, administrator)
        ring = await self._keys(account_id)

        def build(state: Directory) -> Sequence[AccountEvent]:
            account = state.accounts.get(account_id)
            events: list[AccountEvent] = []
            if account is None:
                sealed = ring.seal(account_id, name.encode(), of=account_id, part="name")
                events.append(
                    AccountCreated(account_id=account_id, writer=self._writer, name=sealed)
                )
            if account is None or administrator.agent_id not in account.agents:
                events.append(self._administrator(ring, account_id, administrator))
            return events

        await self._append(build)
        await self._keep_password(account_id, administrator)

    async def create_administrator(
        self, account_id: AccountId, administrator: Administrator
    ) -> None:
        """One more administrator. Raises `Rejected("not_found")` for an unknown account."""
        await self._check_email(account_id, administrator)
        ring = await self._keys(account_id)

        def build(state: Directory) -> Sequence[AccountEvent]:
            if account_id not in state.accounts:
                raise Rejected("not_found", "there is no such account")
            return [self._administrator(ring, account_id, administrator)]

        await self._append(build)
        await self._keep_password(account_id, administrator)

    def _administrator(
        self, ring: KeyRing, account_id: AccountId, given: Administrator
    ) -> AgentSaved:
        agent_id = given.agent_id
        return AgentSaved(
            account_id=account_id,
            writer=self._writer,
            agent_id=agent_id,
            name=ring.seal(account_id, given.name.encode(), of=agent_id, part="name"),
            email=ring.seal(account_id, given.email.encode(), of=agent_id, part="email"),
            role="admin",
            skills=given.skills,
        )

    async def _check_email(self, account_id: AccountId, given: Administrator) -> None:
        lookup = login_lookup(self._master, given.email)
        found = await find_credential(self._database, "password", lookup)
        if found and (found.account_id, found.subject_id) != (account_id, given.agent_id):
            raise Rejected("duplicate_email", "this address signs in somebody else already")

    async def _keep_password(self, account_id: AccountId, given: Administrator) -> None:
        lookup = login_lookup(self._master, given.email)
        if await find_credential(self._database, "password", lookup) is not None:
            return
        credential = Credential(
            kind="password",
            lookup=lookup,
            account_id=account_id,
            subject_id=given.agent_id,
            secret=hash_password(given.password),
        )
        await replace_credential(self._database, credential)

    async def _keys(self, account_id: AccountId) -> KeyRing:
        stored = await load_keys(self._database, account_id)
        missing = {"data", "fingerprint"} - {key.purpose for key in stored}
        fresh = [new_stored_key(self._master, account_id, purpose) for purpose in sorted(missing)]
        if fresh:
            await save_keys(self._database, *fresh)
        ring = KeyRing(self._master)
        for key in await load_keys(self._database, account_id):
            ring.add(key)
        return ring

    async def _append(self, build: Callable[[Directory], Sequence[AccountEvent]]) -> None:
        """Build against the family's end and append; again when somebody else was first or the outcome is unknown:
        what did arrive is then folded and not built again."""
        writer = FencedWriter(self._bus, self._shard, self._subject)
        try:
            for _ in range(_ATTEMPTS):
                state = await self.fold()
                events = build(state)
                if not events:
                    return
                if await self._try(writer, events, state.position):
                    return
        finally:
            await writer.close()
        raise Unavailable("others kept changing the configuration")

    async def _try(
        self, writer: FencedWriter, events: Sequence[AccountEvent], expected: Position
    ) -> bool:
        try:
            await writer.append([encode_event(event) for event in events], expected=expected)
        except (FenceLost, FenceBusy, OutcomeUnknown):
            return False
        return True


@contextlib.asynccontextmanager
async def open_account_log() -> AsyncIterator[AccountLog]:
    """Connect to the installation's servers. Raises `Refused`, `Unavailable`."""
    known = installation.find("nats_url", "database_url", "master_key_file")
    master = read_master_key(known.master_key_file)
    database = await connect_database(known.database_url, name="account")
    try:
        bus = await connect(BusSettings(url=known.nats_url, name="nightdesk account"))
        try:
            shard = os.environ.get("NIGHTDESK_SHARD", "0")
            yield AccountLog(bus, database, master, shard=shard)
        finally:
            await bus.close()
    finally:
        await database.close()
