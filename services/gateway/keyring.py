"""The keys of the accounts, in memory: read from PostgreSQL at start and again when an unknown one turns up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from shared.crashpoints import crashpoint
from shared.crypto import KeyRing, MasterKey
from shared.database import Pool, borrow
from shared.errors import Unavailable
from shared.ids import AccountId
from shared.keys import load_keys


class Keys:
    """`ring` seals and opens; the methods see to it that it can."""

    def __init__(self, pool: Pool, master: MasterKey) -> None:
        self.ring = KeyRing(master)
        self._pool = pool
        self._loading: dict[AccountId | None, asyncio.Task[None]] = {}

    async def load_all(self) -> None:
        """Read every key. Raises `Unavailable`."""
        await self._load(None)

    async def ensure(self, account_id: AccountId) -> None:
        """See to it that texts of the account can be sealed. Raises `Unavailable`."""
        if not self.ring.has(account_id):
            await self._shared_load(account_id)
            if not self.ring.has(account_id):
                raise Unavailable(
                    "the account has no keys: they are not there yet, or were erased",
                    code="no_keys",
                )

    async def cover(self, account_id: AccountId, blobs: Iterable[bytes]) -> None:
        """Read keys again if one of these texts was sealed with an unknown one. Raises `Unavailable`."""
        if any(blob and not self.ring.knows(blob) for blob in blobs):
            await self._shared_load(account_id)

    async def _shared_load(self, account_id: AccountId) -> None:
        """Many sessions may ask for the same keys at the same moment; one of them reads."""
        task = self._loading.get(account_id)
        if task is None:
            task = self._loading[account_id] = asyncio.create_task(self._load(account_id))
            task.add_done_callback(lambda _: self._loading.pop(account_id, None))
        await asyncio.shield(task)

    async def _load(self, account_id: AccountId | None) -> None:
        async with borrow(self._pool) as connection:
            crashpoint("gateway.keys")
            for stored in await load_keys(connection, account_id):
                self.ring.add(stored)
