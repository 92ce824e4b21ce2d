"""API keys of integrations. Only a hash is kept; the key in full is shown when it is made."""

from __future__ import annotations

import base64
import hashlib
import hmac

from services.gateway.rest.route import ADMIN, Call, Reply, Route, not_found
from services.gateway.tokens import NewApiKey, new_api_key
from services.gateway.views import at
from shared.clock import now_ns
from shared.crashpoints import crashpoint
from shared.database import borrow
from shared.errors import Rejected
from shared.keys import (
    Credential,
    find_credential,
    insert_credential,
    list_credentials,
    revoke_credential,
)
from shared.wire.bodies import ApiKey, ApiKeys, MakeApiKey


def _view(credential: Credential, *, text: str | None = None) -> ApiKey:
    return ApiKey(
        api_key_id=credential.lookup,
        name=str(credential.detail.get("name", "")),
        api_key=text,
        created_at=credential.detail.get("created_at"),
    )


async def show_list(call: Call[None, None]) -> Reply:
    """The keys that are good."""
    async with borrow(call.parts.pool) as connection:
        crashpoint("gateway.api_key.list")
        found = await list_credentials(connection, call.account_id, "api_key")
    return Reply(body=ApiKeys(data=[_view(c) for c in found if not c.revoked_s]))


async def make(call: Call[MakeApiKey, None]) -> Reply:
    """A new key. The same Idempotency-Key makes the same key, so a lost answer is no lost key."""
    made = _derived(call) if call.given.key is not None else new_api_key()
    credential = Credential(
        kind="api_key",
        lookup=made.lookup,
        account_id=call.account_id,
        subject_id=made.lookup,
        secret=made.secret_hash,
        detail={"name": call.body.name, "role": call.body.role, "created_at": at(now_ns())},
    )
    try:
        async with borrow(call.parts.pool) as connection:
            crashpoint("gateway.api_key.insert")
            await insert_credential(connection, credential)
    except Rejected as err:
        if err.code != "credential_exists":
            raise
        credential = await _made_before(call, made)
    return Reply(body=_view(credential, text=made.text))


def _derived(call: Call[MakeApiKey, None]) -> NewApiKey:
    """Known only to who knows the master key, whatever the Idempotency-Key is."""
    key = call.parts.master.derive("api key")
    about = f"{call.account_id}\n{call.given.key}".encode()
    lookup = hmac.digest(key, b"id\n" + about, "sha256").hex()[:16]
    raw = hmac.digest(key, b"secret\n" + about, "sha256")
    secret = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return NewApiKey(
        text=f"ndk_{lookup}_{secret}",
        lookup=lookup,
        secret_hash=hashlib.sha256(secret.encode()).digest(),
    )


async def _made_before(call: Call[MakeApiKey, None], made: NewApiKey) -> Credential:
    async with borrow(call.parts.pool) as connection:
        crashpoint("gateway.api_key.made")
        found = await find_credential(connection, "api_key", made.lookup)
    if found is None or found.detail.get("name") != call.body.name:
        raise Rejected("idempotency_conflict", "this Idempotency-Key made another key")
    return found


async def revoke(call: Call[None, None]) -> Reply:
    """Good no longer, here and, once they have heard of it, at the other gateways; within a minute whatever happens."""
    lookup = call.given.path["api_key_id"]
    async with borrow(call.parts.pool) as connection:
        crashpoint("gateway.api_key.revoke")
        was_good = "\0" not in lookup and await revoke_credential(
            connection, call.account_id, "api_key", lookup
        )
    call.parts.tokens.forget_api_key(lookup)
    await call.parts.notes.revoked(call.account_id, lookup)
    if not was_good:
        raise not_found()
    return Reply(status=204)


ROUTES = (
    Route(
        method="GET",
        path="/api_keys",
        handler=show_list,
        summary="The API keys that are good",
        roles=ADMIN,
        tag="api_keys",
        gives=ApiKeys,
    ),
    Route(
        method="POST",
        path="/api_keys",
        key="id",
        handler=make,
        summary="Make an API key; it is shown in full this once",
        roles=ADMIN,
        tag="api_keys",
        takes=MakeApiKey,
        gives=ApiKey,
        status=201,
        errors=("idempotency_conflict",),
    ),
    Route(
        method="DELETE",
        path="/api_keys/{api_key_id}",
        handler=revoke,
        summary="Revoke an API key",
        roles=ADMIN,
        tag="api_keys",
        status=204,
    ),
)
