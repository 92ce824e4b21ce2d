"""Keys and credentials: committed before use, found by kind and name only, revoked for good."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from shared.crypto import MasterKey, new_stored_key
from shared.database import Connection, connect
from shared.errors import Rejected
from shared.ids import AccountId
from shared.keys import (
    Credential,
    find_credential,
    insert_credential,
    load_keys,
    replace_credential,
    revoke_all_of,
    revoke_credential,
    rotate_refresh,
    save_keys,
)

_MASTER = MasterKey(b"m" * 32)
_A = AccountId("11111111-1111-4111-8111-111111111111")
_B = AccountId("22222222-2222-4222-8222-222222222222")


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    """One to a migrated database."""
    opened = await connect(database_url, name="test")
    yield opened
    await opened.close()


def _credential(secret: bytes = b"s", *, account: AccountId = _A, expires_s: int = 0) -> Credential:
    return Credential(
        kind="refresh",
        lookup="family",
        account_id=account,
        subject_id="agent",
        secret=secret,
        expires_s=expires_s,
    )


async def test_keys_come_back_in_the_order_of_their_making(connection: Connection) -> None:
    """The newest data key is the last; of two first fingerprint keys one stays."""
    data = [new_stored_key(_MASTER, _A, "data") for _ in range(3)]
    prints = [new_stored_key(_MASTER, _A, "fingerprint") for _ in range(2)]
    other = new_stored_key(_MASTER, _B, "data")
    await save_keys(connection, data[0], prints[0], other, data[1])
    await save_keys(connection, data[2], prints[1], data[0])
    assert await load_keys(connection, _A) == [data[0], prints[0], data[1], data[2]]
    assert len(await load_keys(connection)) == 5


async def test_a_credential_name_is_taken_once_over_all_accounts(connection: Connection) -> None:
    """A second insert is refused; only the same account may replace its own."""
    await insert_credential(connection, _credential())
    with pytest.raises(Rejected):
        await insert_credential(connection, _credential(account=_B))
    with pytest.raises(Rejected):
        await replace_credential(connection, _credential(account=_B))
    await replace_credential(connection, _credential(b"new"))
    found = await find_credential(connection, "refresh", "family")
    assert found is not None
    assert found.secret == b"new"
    assert await find_credential(connection, "password", "family") is None


async def test_expired_and_revoked_credentials_are_not_found(connection: Connection) -> None:
    """Neither opens anything; another account can't revoke."""
    await insert_credential(connection, _credential(expires_s=int(time.time()) - 5))
    assert await find_credential(connection, "refresh", "family") is None
    await replace_credential(connection, _credential())
    assert not await revoke_credential(connection, _B, "refresh", "family")
    assert await revoke_credential(connection, _A, "refresh", "family")
    assert await find_credential(connection, "refresh", "family") is None
    await replace_credential(connection, _credential())
    assert await revoke_all_of(connection, _A, "agent", "refresh") == 1
    assert await find_credential(connection, "refresh", "family") is None


async def test_a_refresh_token_used_twice_ends_its_family(connection: Connection) -> None:
    """The old token, shown again by whoever stole it or lost it, revokes what came of it."""
    later = int(time.time()) + 60
    await insert_credential(connection, _credential(b"one", expires_s=later))
    turned = await rotate_refresh(
        connection, "family", secret=b"one", next_secret=b"two", expires_s=later
    )
    assert turned is not None
    assert (turned.secret, turned.generation) == (b"two", 1)
    again = rotate_refresh(
        connection, "family", secret=b"one", next_secret=b"three", expires_s=later
    )
    assert await again is None
    last = rotate_refresh(connection, "family", secret=b"two", next_secret=b"four", expires_s=later)
    assert await last is None


async def test_of_two_rotations_at_once_one_wins(database_url: str, connection: Connection) -> None:
    """Compare-and-set: never two valid tokens of one family."""
    later = int(time.time()) + 60
    await insert_credential(connection, _credential(b"one", expires_s=later))
    other = await connect(database_url, name="test")
    try:
        turned = await asyncio.gather(
            *(
                rotate_refresh(each, "family", secret=b"one", next_secret=new, expires_s=later)
                for each, new in ((connection, b"two"), (other, b"three"))
            )
        )
    finally:
        await other.close()
    assert sum(found is not None for found in turned) == 1
