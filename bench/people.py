"""Whom a measurement plays: an account with its keys, agents and visitors, made in the log as the services would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import jwt
import psycopg

from bench.site import SHARD, Site
from shared import clock, crypto, events
from shared.bus import (
    Bus,
    BusSettings,
    CommitSettings,
    Entry,
    GroupCommit,
    connect,
    stream_state,
)
from shared.codec import encode_event
from shared.database import connect as connect_database
from shared.events import Author, Event
from shared.ids import AccountId, AgentId, ContactId, ConversationId, InboxId, TeamId
from shared.keys import save_keys
from shared.subjects import Family, event_subject

_AT_ONCE = 500
_TOKEN_S = 86_400
_PAUSE_S = 0.02


class People:
    """One account on a site, and the log as an operator writes and watches it."""

    def __init__(self, site: Site, bus: Bus, commit: GroupCommit) -> None:
        self.site = site
        self.bus = bus
        self.account_id = AccountId(clock.new_id())
        self.team_id = TeamId(clock.new_id())
        self.inbox_id = InboxId(clock.new_id())
        self.ring = crypto.KeyRing(site.master)
        self._commit = commit
        self._token_key = site.master.derive("token")

    async def found(self, agents: int, *, capacity: int = 1000) -> list[AgentId]:
        """The account with its keys, a team of so many agents, an inbox."""
        connection = await connect_database(self.site.database_url, name="bench")
        keys = [
            crypto.new_stored_key(self.site.master, self.account_id, purpose)
            for purpose in ("data", "fingerprint")
        ]
        await save_keys(connection, *keys)
        await connection.close()
        for key in keys:
            self.ring.add(key)
        own: dict[str, Any] = {"account_id": self.account_id, "writer": "bench"}
        ids = [AgentId(clock.new_id()) for _ in range(agents)]
        saved: list[Event] = [events.AccountCreated(**own, name=b"")]
        for number, agent_id in enumerate(ids):
            name = self.ring.seal(self.account_id, b"Agent %d" % number, of=agent_id, part="name")
            saved.append(
                events.AgentSaved(**own, agent_id=agent_id, name=name, email=b"", capacity=capacity)
            )
        members = dict.fromkeys(ids, 0)
        saved.append(events.TeamSaved(**own, team_id=self.team_id, name="desk", members=members))
        saved.append(
            events.InboxSaved(
                **own,
                inbox_id=self.inbox_id,
                inbox_key=f"key-{self.inbox_id}",
                name="web",
                team_id=self.team_id,
            )
        )
        await self.append("account", saved)
        return ids

    async def start_conversations(self, count: int) -> list[tuple[ContactId, ConversationId]]:
        """Visitors with a conversation each, known to the store."""
        pairs = [(ContactId(clock.new_id()), ConversationId(clock.new_id())) for _ in range(count)]
        made: list[Event] = []
        for contact_id, conversation_id in pairs:
            own: dict[str, Any] = {
                "account_id": self.account_id,
                "contact_id": contact_id,
                "inbox_id": self.inbox_id,
            }
            made.append(events.ContactCreated(**own))
            made.append(
                events.ConversationStarted(
                    **own,
                    conversation_id=conversation_id,
                    by=Author(kind="visitor", id=contact_id),
                )
            )
        await self.append("conversation", made)
        return pairs

    async def append(self, family: Family, facts: Sequence[Event]) -> int:
        """Facts in order, with many in one commit; the last position."""
        subject = event_subject(SHARD, family)
        last = 0
        for first in range(0, len(facts), _AT_ONCE):
            entries = [
                Entry(subject=subject, payload=encode_event(fact), key="bench")
                for fact in facts[first : first + _AT_ONCE]
            ]
            last = (await self._commit.append(entries, timeout_s=30))[-1]
        return last

    def visitor_token(self, contact_id: str) -> str:
        """As the gateway gives it."""
        return self._token(sub=contact_id, kind="visitor", ibx=self.inbox_id)

    def agent_token(self, agent_id: str) -> str:
        """As the gateway gives it."""
        return self._token(sub=agent_id, kind="agent")

    def _token(self, **claims: str) -> str:
        now_s = clock.now_ns() // 1_000_000_000
        standard = {"aud": "nightdesk", "acc": self.account_id, "shard": SHARD}
        times = {"iat": now_s - 1, "exp": now_s + _TOKEN_S}
        return jwt.encode(standard | times | claims, self._token_key, algorithm="HS256")

    async def end_of_log(self) -> int:
        """The last position."""
        return (await stream_state(self.bus, SHARD)).last

    async def stored(self, *, upto: int | None = None, timeout_s: float = 300) -> int:
        """Wait until the store has everything up to there (the end of the log); its checkpoint."""
        target = await self.end_of_log() if upto is None else upto
        async with await psycopg.AsyncConnection.connect(
            self.site.database_url, autocommit=True
        ) as connection:
            async with asyncio.timeout(timeout_s):
                while True:
                    if (reached := await _checkpoint(connection)) >= target:
                        return reached
                    await asyncio.sleep(_PAUSE_S)

    async def checkpoint(self) -> int:
        """How far the store is now."""
        async with await psycopg.AsyncConnection.connect(
            self.site.database_url, autocommit=True
        ) as connection:
            return await _checkpoint(connection)


async def _checkpoint(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> int:
    cursor = await connection.execute(
        "SELECT position FROM projection.checkpoint WHERE shard = %s", [SHARD]
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


@asynccontextmanager
async def open_people(site: Site) -> AsyncIterator[People]:
    """Connect to a site's log; nothing is made yet."""
    bus = await connect(BusSettings(url=site.nats_url, name="bench"))
    commit = GroupCommit(bus, SHARD, CommitSettings())
    running = asyncio.create_task(commit.run())
    try:
        yield People(site, bus, commit)
        await commit.drain(10)
    finally:
        running.cancel()
        await asyncio.wait({running}, timeout=5)
        await bus.close()
