"""Wrapped data keys and credentials: truth in PostgreSQL, never in an event.

A key is committed before its first use (`save_keys` returns after the commit). Secrets are hashes or ciphertext;
this module never sees a password, a token or an API key itself.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

import msgspec
from psycopg.types.json import Jsonb

from shared.crypto import StoredKey
from shared.database import Connection, lost_as_unavailable
from shared.errors import Rejected
from shared.ids import AccountId

CredentialKind = Literal["password", "refresh", "api_key", "identity"]


async def load_keys(connection: Connection, account_id: AccountId | None = None) -> list[StoredKey]:
    """Every wrapped key of an account (None: of all), in the order of creation, as `KeyRing.add` wants them."""
    with lost_as_unavailable("reading keys"):
        rows = await connection.execute(
            "SELECT account_id, key_id, purpose, wrapped FROM truth.keys"
            " WHERE account_id = coalesce(%s::uuid, account_id) ORDER BY created",
            [account_id],
        )
        found = await rows.fetchall()
    return [
        StoredKey(account_id=AccountId(a), key_id=k, purpose=p, wrapped=bytes(w))
        for a, k, p, w in found
    ]


async def save_keys(connection: Connection, *keys: StoredKey) -> None:
    """Commit keys; only then may they be used. A key id that is there already stays as it is, and of two first
    fingerprint keys of an account only one is kept: read the keys again after this."""
    with lost_as_unavailable("saving keys"):
        async with connection.transaction():
            for key in keys:
                await connection.execute(
                    "INSERT INTO truth.keys (account_id, key_id, purpose, wrapped)"
                    " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                    [key.account_id, key.key_id, key.purpose, key.wrapped],
                )


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `credentials`. Times are seconds since 1970, 0: none.

    password: lookup = keyed hash of the lower-cased address, subject = agent id, secret = argon2id hash.
    refresh: lookup = family id, subject = agent id, secret = hash of the one valid token, `generation` counts
    rotations. api_key: lookup = key id, secret = hash, detail = role and name. identity: lookup = inbox id,
    secret = the site's secret, encrypted.
    """

    kind: CredentialKind
    lookup: str
    account_id: AccountId
    subject_id: str
    secret: bytes
    detail: dict[str, Any] = {}
    generation: int = 0
    expires_s: int = 0
    revoked_s: int = 0


_COLUMNS = (
    "kind, lookup, account_id, subject_id, secret, detail, generation,"
    " coalesce(extract(epoch FROM expires_at), 0)::bigint,"
    " coalesce(extract(epoch FROM revoked_at), 0)::bigint"
)


def _credential(row: tuple[Any, ...]) -> Credential:
    kind, lookup, account_id, subject_id, secret, detail, generation, expires_s, revoked_s = row
    return Credential(
        kind=kind,
        lookup=lookup,
        account_id=account_id,
        subject_id=subject_id,
        secret=bytes(secret),
        detail=detail,
        generation=generation,
        expires_s=expires_s,
        revoked_s=revoked_s,
    )


async def find_credential(
    connection: Connection, kind: CredentialKind, lookup: str
) -> Credential | None:
    """The live row: neither revoked nor expired by the database's clock."""
    with lost_as_unavailable("looking up a credential"):
        rows = await connection.execute(
            f"SELECT {_COLUMNS} FROM truth.credentials WHERE kind = %s AND lookup = %s"
            " AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())",
            [kind, lookup],
        )
        row = await rows.fetchone()
    return _credential(row) if row else None


async def list_credentials(
    connection: Connection, account_id: AccountId, kind: CredentialKind
) -> list[Credential]:
    """Every row of a kind in an account, oldest first, revoked ones too."""
    with lost_as_unavailable("listing credentials"):
        rows = await connection.execute(
            f"SELECT {_COLUMNS} FROM truth.credentials WHERE account_id = %s AND kind = %s"
            " ORDER BY created_at, lookup",
            [account_id, kind],
        )
        return [_credential(row) for row in await rows.fetchall()]


async def insert_credential(connection: Connection, credential: Credential) -> None:
    """Commit a new row. Raises `Rejected("credential_exists")` when (kind, lookup) is taken, by any account."""
    with lost_as_unavailable("saving a credential"):
        done = await connection.execute(
            "INSERT INTO truth.credentials"
            " (kind, lookup, account_id, subject_id, secret, detail, generation, expires_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (kind, lookup) DO NOTHING",
            _values(credential),
        )
    if not done.rowcount:
        raise Rejected("credential_exists", "there is already a credential of this name")


async def replace_credential(connection: Connection, credential: Credential) -> None:
    """Insert or replace the row of the same account; a revoked one lives again. Raises `Rejected` when (kind,
    lookup) belongs to another account."""
    with lost_as_unavailable("saving a credential"):
        done = await connection.execute(
            "INSERT INTO truth.credentials AS c"
            " (kind, lookup, account_id, subject_id, secret, detail, generation, expires_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (kind, lookup) DO UPDATE SET"
            " subject_id = excluded.subject_id, secret = excluded.secret, detail = excluded.detail,"
            " generation = excluded.generation, expires_at = excluded.expires_at, revoked_at = NULL"
            " WHERE c.account_id = excluded.account_id",
            _values(credential),
        )
    if not done.rowcount:
        raise Rejected("credential_exists", "there is already a credential of this name")


def _values(credential: Credential) -> list[Any]:
    expires = credential.expires_s
    return [
        credential.kind,
        credential.lookup,
        credential.account_id,
        credential.subject_id,
        credential.secret,
        Jsonb(credential.detail),
        credential.generation,
        dt.datetime.fromtimestamp(expires, dt.UTC) if expires else None,
    ]


async def revoke_credential(
    connection: Connection, account_id: AccountId, kind: CredentialKind, lookup: str
) -> bool:
    """End one credential of an account; whether it lived."""
    with lost_as_unavailable("revoking a credential"):
        done = await connection.execute(
            "UPDATE truth.credentials SET revoked_at = now()"
            " WHERE kind = %s AND lookup = %s AND account_id = %s AND revoked_at IS NULL",
            [kind, lookup, account_id],
        )
    return done.rowcount == 1


async def revoke_all_of(
    connection: Connection, account_id: AccountId, subject_id: str, kind: CredentialKind
) -> int:
    """End every credential of a kind that a subject has (password changed, agent removed); how many lived."""
    with lost_as_unavailable("revoking credentials"):
        done = await connection.execute(
            "UPDATE truth.credentials SET revoked_at = now()"
            " WHERE account_id = %s AND subject_id = %s AND kind = %s AND revoked_at IS NULL",
            [account_id, subject_id, kind],
        )
    return done.rowcount


async def rotate_refresh(
    connection: Connection, family: str, *, secret: bytes, next_secret: bytes, expires_s: int
) -> Credential | None:
    """Exchange a family's one valid token for the next, by compare-and-set.

    None: unknown, expired or revoked, or `secret` is not the valid one: then it was used before, by its owner or
    by a thief, and the whole family is revoked.
    """
    with lost_as_unavailable("rotating a refresh token"):
        rows = await connection.execute(
            "UPDATE truth.credentials SET secret = %s, generation = generation + 1,"
            " expires_at = to_timestamp(%s) WHERE kind = 'refresh' AND lookup = %s AND secret = %s"
            f" AND revoked_at IS NULL AND expires_at > now() RETURNING {_COLUMNS}",
            [next_secret, expires_s, family, secret],
        )
        row = await rows.fetchone()
        if row is None:
            await connection.execute(
                "UPDATE truth.credentials SET revoked_at = now()"
                " WHERE kind = 'refresh' AND lookup = %s AND revoked_at IS NULL",
                [family],
            )
    return _credential(row) if row else None
