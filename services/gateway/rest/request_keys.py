"""The memory of Idempotency-Keys: what a key was first used for, at whichever gateway, for a day, and who carries it
out just now. Of equal requests at the same moment one is carried out; the others wait for it.

Only routes that bear being carried out twice keep keys here: when nobody knows where a request was done, because its
gateway died or the log did not answer, a repeat of it is carried out again."""

from __future__ import annotations

import asyncio

import msgspec

from shared.clock import monotonic_s, new_id
from shared.crashpoints import crashpoint
from shared.crypto import KeyRing
from shared.database import Pool, borrow
from shared.errors import Rejected, Unavailable
from shared.ids import AccountId, Position

_CLEAN_EVERY = 1_000
_HELD_S = 30
"""Longer than any request takes: all its time-outs together. After it, whoever held the key is taken for dead."""
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What a key is to who took it: to be carried out under `holder`, or done at `position`."""

    holder: str
    position: Position | None = None


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
    """`take` before a request is carried out, then `keep`, `give_back` or `let_go`."""

    def __init__(self, pool: Pool, *, wait_s: float) -> None:
        self._pool = pool
        self._wait_s = wait_s
        self._taken = 0

    async def take(self, name: KeyName, digest: bytes) -> Taken:
        """The right to carry the request out, or where it was done before; waits for whoever does it now. Raises
        `Rejected("idempotency_conflict")` when the key was used for another one, `Unavailable` ("in_progress" when
        it is still being carried out)."""
        end_s = monotonic_s() + self._wait_s
        pause_s = _FIRST_PAUSE_S
        while True:
            taken = await self._try_take(name, digest)
            if taken is not None:
                return taken
            if monotonic_s() + pause_s > end_s:
                raise Unavailable("the same request is being carried out", code="in_progress")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _try_take(self, name: KeyName, digest: bytes) -> Taken | None:
        self._taken += 1
        holder = new_id()
        async with borrow(self._pool) as connection:
            if self._taken % _CLEAN_EVERY == 1:
                crashpoint("gateway.request_keys.clean")
                await connection.execute(
                    "DELETE FROM folded.request_keys WHERE made_at < now() - interval '1 day'"
                )
            crashpoint("gateway.request_keys.take")
            rows = await connection.execute(
                _TAKE,
                [name.account_id, name.asker_id, name.key, digest, holder, _HELD_S],
            )
            row = await rows.fetchone()
        assert row is not None
        known, position, held_by = row
        if bytes(known) != digest:
            raise Rejected("idempotency_conflict", "this Idempotency-Key made another request")
        if position is None and held_by != holder:
            return None
        return Taken(holder=holder, position=position)

    async def keep(self, name: KeyName, position: Position) -> None:
        """Done is done: that the memory of it can't be kept now is no reason to say otherwise."""
        await self._try(
            "UPDATE folded.request_keys SET position = %s"
            " WHERE account_id = %s AND asker_id = %s AND key = %s",
            [position, name.account_id, name.asker_id, name.key],
        )

    async def give_back(self, name: KeyName, taken: Taken) -> None:
        """Nothing was done, so the key is free for another request."""
        await self._try(
            "DELETE FROM folded.request_keys WHERE account_id = %s AND asker_id = %s AND key = %s"
            " AND holder = %s AND position IS NULL",
            [name.account_id, name.asker_id, name.key, taken.holder],
        )

    async def let_go(self, name: KeyName, taken: Taken) -> None:
        """Nobody knows whether it was done: only a repeat of the same request can tell, and may at once."""
        await self._try(
            "UPDATE folded.request_keys SET held_until = '-infinity'"
            " WHERE account_id = %s AND asker_id = %s AND key = %s AND holder = %s",
            [name.account_id, name.asker_id, name.key, taken.holder],
        )

    async def _try(self, statement: str, values: list[object]) -> None:
        try:
            async with borrow(self._pool) as connection:
                crashpoint("gateway.request_keys.done")
                await connection.execute(statement.encode(), values)
        except Unavailable:
            return


# The row is touched in any case, because one that is merely in the way is not returned. It changes hands when it is for
# the same request, not done, and held by nobody who lives; two that come at once are put in a row by its lock.
_TAKE = (
    b"INSERT INTO folded.request_keys AS k (account_id, asker_id, key, digest, holder, held_until)"
    b" VALUES (%s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))"
    b" ON CONFLICT (account_id, asker_id, key) DO UPDATE SET (holder, held_until) = (SELECT"
    b"  CASE WHEN free.is_so THEN excluded.holder ELSE k.holder END,"
    b"  CASE WHEN free.is_so THEN excluded.held_until ELSE k.held_until END"
    b"  FROM (SELECT k.digest = excluded.digest AND k.position IS NULL"
    b"   AND k.held_until < clock_timestamp() AS is_so) free)"
    b" RETURNING digest, position, holder"
)
