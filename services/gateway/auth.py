"""Sign-in of agents: passwords, refresh families, API keys and the secrets with which sites sign identities.

Passwords are argon2id in threads, two at a time, so that a flood of guesses can't take the loop or the memory.
A wrong password and an unknown address cost the same. A refresh token is valid once: used twice, somebody has a
copy, and the whole family ends.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets

import msgspec

from services.gateway.limits import Limiter
from shared.clock import monotonic_s, new_id, now_ns
from shared.crashpoints import crashpoint
from shared.crypto import MasterKey
from shared.database import Pool, borrow
from shared.errors import Rejected
from shared.ids import AccountId, AgentId, InboxId
from shared.keys import (
    Credential,
    find_credential,
    insert_credential,
    replace_credential,
    revoke_all_of,
    revoke_credential,
    rotate_refresh,
)
from shared.passwords import hash_password, is_password, login_lookup

_REFRESH_PREFIX = "ndr_"
_THREADS = 2


class Passwords:
    """Hashes and checks passwords in threads, two at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(_THREADS)

    async def hash(self, password: str) -> bytes:
        """What is kept instead of the password."""
        async with self._turn:
            return await asyncio.to_thread(hash_password, password)

    async def fits(self, password: str, kept: bytes | None) -> bool:
        """Whether it is the password. Takes as long when there is none to compare with."""
        async with self._turn:
            return await asyncio.to_thread(is_password, password, kept)


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """An agent who proved who they are, with the refresh token that continues it."""

    account_id: AccountId
    agent_id: AgentId
    refresh_token: str


class SignIn:
    """Passwords and refresh families of agents."""

    def __init__(
        self, *, pool: Pool, master: MasterKey, limiter: Limiter, refresh_token_s: int
    ) -> None:
        self._pool = pool
        self._master = master
        self._limiter = limiter
        self._refresh_token_s = refresh_token_s
        self.passwords = Passwords()

    async def check_password(self, email: str, password: str, *, address: str) -> Credential:
        """The agent's credential. Raises `Rejected("invalid_credentials")`, or 429 before the password is looked at."""
        lookup = login_lookup(self._master, email)
        self._limiter.charge("sign_ins", address, monotonic_s())
        self._limiter.charge("failures", lookup, monotonic_s())
        async with borrow(self._pool) as connection:
            crashpoint("gateway.sign_in.find")
            found = await find_credential(connection, "password", lookup)
        if not await self.passwords.fits(password, found.secret if found else None) or not found:
            raise wrong()
        self._limiter.give_back("failures", lookup)
        return found

    async def open_family(self, account_id: AccountId, agent_id: AgentId) -> Session:
        """A new refresh family for an agent who just proved who they are."""
        family, secret = new_id(), secrets.token_urlsafe(32)
        credential = Credential(
            kind="refresh",
            lookup=family,
            account_id=account_id,
            subject_id=agent_id,
            secret=hash_of(secret),
            expires_s=_in_s(self._refresh_token_s),
        )
        async with borrow(self._pool) as connection:
            crashpoint("gateway.family.insert")
            await insert_credential(connection, credential)
        token = f"{_REFRESH_PREFIX}{family}.{secret}"
        return Session(account_id=account_id, agent_id=agent_id, refresh_token=token)

    async def rotate(self, refresh_token: str) -> Session:
        """Exchange a refresh token. Raises `Rejected("refresh_reused")` when it is not the valid one."""
        family, secret = _parts(refresh_token)
        fresh = secrets.token_urlsafe(32)
        async with borrow(self._pool) as connection:
            crashpoint("gateway.family.rotate")
            found = await rotate_refresh(
                connection,
                family,
                secret=hash_of(secret),
                next_secret=hash_of(fresh),
                expires_s=_in_s(self._refresh_token_s),
            )
        if found is None:
            raise Rejected("refresh_reused", "sign in again with the password")
        return Session(
            account_id=found.account_id,
            agent_id=AgentId(found.subject_id),
            refresh_token=f"{_REFRESH_PREFIX}{family}.{fresh}",
        )

    async def close_family(self, refresh_token: str) -> None:
        """Sign out: the family ends. Anybody who holds the token may do so; a wrong one changes nothing."""
        family, secret = _parts(refresh_token)
        async with borrow(self._pool) as connection:
            crashpoint("gateway.family.find")
            found = await find_credential(connection, "refresh", family)
            if found and hmac.compare_digest(found.secret, hash_of(secret)):
                crashpoint("gateway.family.revoke")
                await revoke_credential(connection, found.account_id, "refresh", family)

    async def is_taken(self, email: str, *, by_other_than: AgentId) -> Credential | None:
        """The live password credential of this address when it is another agent's."""
        async with borrow(self._pool) as connection:
            crashpoint("gateway.address.find")
            found = await find_credential(connection, "password", login_lookup(self._master, email))
        return found if found and found.subject_id != by_other_than else None

    async def keep_password(
        self, account_id: AccountId, agent_id: AgentId, *, email: str, kept: bytes
    ) -> None:
        """Store the hash under the address. Raises `Rejected("duplicate_email")` for another account's address."""
        credential = Credential(
            kind="password",
            lookup=login_lookup(self._master, email),
            account_id=account_id,
            subject_id=agent_id,
            secret=kept,
        )
        async with borrow(self._pool) as connection:
            crashpoint("gateway.password.replace")
            await replace_credential(connection, credential)

    async def kept_password(self, email: str) -> bytes | None:
        """The hash under an address."""
        async with borrow(self._pool) as connection:
            crashpoint("gateway.password.find")
            found = await find_credential(connection, "password", login_lookup(self._master, email))
        return found.secret if found else None

    async def forget_address(self, account_id: AccountId, email: str) -> None:
        """The address no longer signs in."""
        async with borrow(self._pool) as connection:
            crashpoint("gateway.address.forget")
            await revoke_credential(
                connection, account_id, "password", login_lookup(self._master, email)
            )

    async def end_sessions(self, account_id: AccountId, agent_id: AgentId) -> None:
        """End every refresh family of an agent: the password changed or the agent is gone."""
        async with borrow(self._pool) as connection:
            crashpoint("gateway.sessions.end")
            await revoke_all_of(connection, account_id, agent_id, "refresh")


def wrong() -> Rejected:
    """The one answer to a wrong address, a wrong password and a removed agent."""
    return Rejected("invalid_credentials", "the address or the password is wrong")


def hash_of(secret: str) -> bytes:
    """What is kept of a random secret; it has 256 bits, so one pass of SHA-256 is enough."""
    return hashlib.sha256(secret.encode()).digest()


class IdentitySecrets:
    """The secrets with which sites sign identity tokens, by inbox; kept encrypted with the master key."""

    def __init__(self, pool: Pool, master: MasterKey) -> None:
        self._pool = pool
        self._master = master

    async def replace(self, account_id: AccountId, inbox_id: InboxId) -> str:
        """A new secret for an inbox; the one before is worth nothing at once."""
        secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        await self.keep(account_id, inbox_id, secret)
        return secret

    async def keep(self, account_id: AccountId, inbox_id: InboxId, secret: str) -> None:
        """Store a secret."""
        wrapped = self._master.wrap(secret.encode(), key_id=inbox_id, account_id=account_id)
        credential = Credential(
            kind="identity",
            lookup=inbox_id,
            account_id=account_id,
            subject_id=inbox_id,
            secret=wrapped,
        )
        async with borrow(self._pool) as connection:
            crashpoint("gateway.identity.replace")
            await replace_credential(connection, credential)

    async def find(self, account_id: AccountId, inbox_id: InboxId) -> str | None:
        """The secret of an inbox."""
        async with borrow(self._pool) as connection:
            crashpoint("gateway.identity.find")
            found = await find_credential(connection, "identity", inbox_id)
        if found is None or found.account_id != account_id:
            return None
        return self._master.unwrap(found.secret, key_id=inbox_id, account_id=account_id).decode()


def _parts(refresh_token: str) -> tuple[str, str]:
    family, dot, secret = refresh_token.removeprefix(_REFRESH_PREFIX).partition(".")
    if not refresh_token.startswith(_REFRESH_PREFIX) or not dot or not family.isascii():
        raise Rejected("refresh_reused", "sign in again with the password")
    return family, secret


def _in_s(seconds: int) -> int:
    return now_ns() // 1_000_000_000 + seconds
