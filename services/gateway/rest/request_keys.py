"""The memory of Idempotency-Keys: what a key was first used for, at whichever gateway, for a day.

Only routes that bear being carried out twice keep keys here: as long as nobody knows where a request was done, a
repeat of it is carried out again."""

from __future__ import annotations

import msgspec

from shared.crashpoints import crashpoint
from shared.crypto import KeyRing
from shared.database import Pool, borrow
from shared.errors import Rejected, Unavailable
from shared.ids import AccountId, Position

_CLEAN_EVERY = 1_000


class KeyName(msgspec.Struct, frozen=True, kw_only=True):
    """A key belongs to who uses it."""

    account_id: AccountId
    asker_id: str
    key: str


def digest_of(ring: KeyRing, account_id: AccountId, path: str, body: bytes) -> bytes:
    """What tells one request from another. Keyed, because bodies hold what people wrote: a plain hash in the database
    would tell everybody who guesses a short text that the guess is right."""
    return ring.fingerprint(account_id, b"request", path.encode(), body)


class RequestKeys:
    """`take` before a request is carried out, then `keep` or `give_back`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._taken = 0

    async def take(self, name: KeyName, digest: bytes) -> Position | None:
        """Where the request was done before, if that is known. Raises `Rejected("idempotency_conflict")` when the key
        was used for another one, `Unavailable`."""
        self._taken += 1
        async with borrow(self._pool) as connection:
            if self._taken % _CLEAN_EVERY == 1:
                crashpoint("gateway.request_keys.clean")
                await connection.execute(
                    "DELETE FROM folded.request_keys WHERE made_at < now() - interval '1 day'"
                )
            crashpoint("gateway.request_keys.take")
            rows = await connection.execute(
                "INSERT INTO folded.request_keys AS k (account_id, asker_id, key, digest)"
                " VALUES (%s, %s, %s, %s) ON CONFLICT (account_id, asker_id, key)"
                # Touched, because a row that is merely in the way is not returned.
                " DO UPDATE SET key = k.key RETURNING digest, position",
                [name.account_id, name.asker_id, name.key, digest],
            )
            row = await rows.fetchone()
        assert row is not None
        if bytes(row[0]) != digest:
            raise Rejected("idempotency_conflict", "this Idempotency-Key made another request")
        return None if row[1] is None else int(row[1])

    async def keep(self, name: KeyName, position: Position) -> None:
        """Done is done: that the memory of it can't be kept now is no reason to say otherwise."""
        await self._try(
            "UPDATE folded.request_keys SET position = %s"
            " WHERE account_id = %s AND asker_id = %s AND key = %s",
            [position, name.account_id, name.asker_id, name.key],
        )

    async def give_back(self, name: KeyName) -> None:
        """Nothing was done, so the key is free for another request."""
        await self._try(
            "DELETE FROM folded.request_keys"
            " WHERE account_id = %s AND asker_id = %s AND key = %s AND position IS NULL",
            [name.account_id, name.asker_id, name.key],
        )

    async def _try(self, statement: str, values: list[object]) -> None:
        try:
            async with borrow(self._pool) as connection:
                crashpoint("gateway.request_keys.done")
                await connection.execute(statement.encode(), values)
        except Unavailable:
            return
