"""Who is asking. Signs and checks access tokens (agents), visitor tokens, identity tokens (signed by a site's back
end) and API keys. Role and existence of an agent come from the directory, never from the token, so a removed agent
is out at once. JWTs are HS256 with the algorithm pinned; the key is derived from the master key."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from typing import Any, Literal

import jwt
import msgspec

from services.gateway.admission import NO_TEXT
from services.gateway.directory import LiveDirectory
from shared import clock
from shared.crashpoints import crashpoint
from shared.crypto import MasterKey
from shared.database import Pool, borrow
from shared.errors import Rejected
from shared.events import Author
from shared.ids import AccountId, AgentId, ContactId, InboxId
from shared.keys import Credential, find_credential

PrincipalRole = Literal["visitor", "agent", "supervisor", "admin", "integration"]

_ALGORITHM = "HS256"
_AUDIENCE = "nightdesk"
_MOST_TOKEN_CHARS = 4_096
_API_KEY_FRESH_S = 60.0
_SIGNED_KEPT = 20_000
_API_KEYS_KEPT = 10_000
_IDENTITY_MOST_S = 86_400
_CLOCK_SKEW_S = 60
_MOST_NAME_CHARS = 120
_MOST_EMAIL_CHARS = 254


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking: a contact, an agent or an API key of one account. `expires_s`: seconds since 1970, 0 never."""

    kind: Literal["visitor", "agent", "integration"]
    id: str
    account_id: AccountId
    role: PrincipalRole
    inbox_id: InboxId | None = None
    expires_s: int = 0

    @property
    def author(self) -> Author:
        """As events name them."""
        return Author(kind=self.kind, id=self.id)

    @property
    def is_staff(self) -> bool:
        """Sees every conversation of the account."""
        return self.role in ("supervisor", "admin", "integration")


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a site's back end says of a visitor."""

    external_id: str
    name: str | None = None
    email: str | None = None


class _Claims(msgspec.Struct, frozen=True, kw_only=True):
    sub: str
    acc: str
    kind: Literal["visitor", "agent"]
    shard: str
    exp: int
    ibx: str | None = None


class _IdentityClaims(msgspec.Struct, frozen=True, kw_only=True):
    sub: str
    exp: int
    iat: int
    name: str | None = None
    email: str | None = None


class NewApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A fresh API key: `text` is shown once, `lookup` and `secret_hash` are stored (kind "api_key")."""

    text: str
    lookup: str
    secret_hash: bytes


def new_api_key() -> NewApiKey:
    """Make an API key, `ndk_<id>_<secret>`."""
    lookup, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    return NewApiKey(
        text=f"ndk_{lookup}_{secret}",
        lookup=lookup,
        secret_hash=hashlib.sha256(secret.encode()).digest(),
    )


class Tokens:
    """Signs and checks. Every check raises `Rejected("unauthorized")` with one and the same message."""

    def __init__(
        self, *, master: MasterKey, shard: str, directory: LiveDirectory, pool: Pool
    ) -> None:
        self._key = master.derive("token")
        self._shard = shard
        self._directory = directory
        self._pool = pool
        self._api_keys: dict[str, tuple[float, Credential | None]] = {}
        self._signed: OrderedDict[bytes, _Claims] = OrderedDict()

    def issue_access(self, account_id: AccountId, agent_id: AgentId, *, life_s: int) -> str:
        """An agent's access token."""
        return self._issue({"sub": agent_id, "acc": account_id, "kind": "agent"}, life_s)

    def issue_visitor(
        self, account_id: AccountId, contact_id: ContactId, inbox_id: InboxId, *, life_s: int
    ) -> str:
        """A visitor's token."""
        claims = {"sub": contact_id, "acc": account_id, "kind": "visitor", "ibx": inbox_id}
        return self._issue(claims, life_s)

    def _issue(self, claims: dict[str, Any], life_s: int) -> str:
        now_s = clock.now_ns() // 1_000_000_000
        fixed = {"aud": _AUDIENCE, "shard": self._shard, "iat": now_s, "exp": now_s + life_s}
        token = claims | fixed | {"jti": secrets.token_hex(8)}
        return jwt.encode(token, self._key, algorithm=_ALGORITHM)

    async def authenticate(self, token: str) -> Principal:
        """The principal of an access token, visitor token or API key. Also raises `Unavailable` (API keys only)."""
        if token.startswith("ndk_"):
            return await self._check_api_key(token)
        return self.check(token)

    def check(self, token: str) -> Principal:
        """The principal of an access or visitor token."""
        claims = self._claims(token)
        account = self._directory.state.accounts.get(AccountId(claims.acc))
        if account is None or claims.shard != self._shard:
            raise unauthorized()
        if claims.kind == "visitor":
            if claims.ibx is None or claims.ibx not in account.inboxes:
                raise unauthorized()
            return Principal(
                kind="visitor",
                id=claims.sub,
                account_id=account.account_id,
                role="visitor",
                inbox_id=InboxId(claims.ibx),
                expires_s=claims.exp,
            )
        agent = account.agents.get(AgentId(claims.sub))
        if agent is None:
            raise unauthorized()
        return Principal(
            kind="agent",
            id=agent.agent_id,
            account_id=account.account_id,
            role=agent.role,
            expires_s=claims.exp,
        )

    def _claims(self, token: str) -> _Claims:
        if len(token) > _MOST_TOKEN_CHARS:
            raise unauthorized()
        # What is signed stays signed: checking it again was a fifth of a request. Nothing else is taken from memory.
        name = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        found = self._signed.get(name) or self._decode(token)
        if found.exp <= clock.now_ns() // 1_000_000_000:
            raise unauthorized()
        self._signed[name] = found
        if len(self._signed) > _SIGNED_KEPT:
            self._signed.popitem(last=False)
        return found

    def _decode(self, token: str) -> _Claims:
        """What our signature stands under."""
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                # By our clock, below. A gateway whose clock is ahead must not make tokens that others refuse.
                options={
                    "require": ["exp", "iat", "sub", "aud"],
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
            return msgspec.convert(claims, _Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError, ValueError, RecursionError) as err:
            raise unauthorized() from err

    async def _check_api_key(self, token: str) -> Principal:
        lookup, _, secret = token.removeprefix("ndk_").partition("_")
        if not secret or len(token) > _MOST_TOKEN_CHARS or not lookup.isalnum():
            raise unauthorized()
        found = await self._find_api_key(lookup)
        hashed = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
        if found is None or not hmac.compare_digest(hashed, found.secret):
            raise unauthorized()
        if found.account_id not in self._directory.state.accounts:
            raise unauthorized()
        return Principal(
            kind="integration", id=lookup, account_id=found.account_id, role="integration"
        )

    async def _find_api_key(self, lookup: str) -> Credential | None:
        """The stored key; kept for a minute, unless another gateway tells that it was revoked."""
        now_s = clock.monotonic_s()
        until_s, found = self._api_keys.get(lookup, (0.0, None))
        if now_s < until_s:
            return found
        async with borrow(self._pool) as connection:
            crashpoint("gateway.api_key.find")
            found = await find_credential(connection, "api_key", lookup)
        if found is not None:
            if len(self._api_keys) >= _API_KEYS_KEPT:
                self._api_keys.clear()
            self._api_keys[lookup] = (now_s + _API_KEY_FRESH_S, found)
        return found

    def forget_api_key(self, lookup: str) -> None:
        """Have the next use of a key looked up again; call it when one was revoked."""
        self._api_keys.pop(lookup, None)


def check_identity(token: str, secret: bytes) -> Identity:
    """What an identity token says. It must be HS256 by this inbox's secret and live a day at most.

    Raises `Rejected("unauthorized")`."""
    try:
        raw = jwt.decode(
            token,
            secret,
            algorithms=[_ALGORITHM],
            leeway=_CLOCK_SKEW_S,
            options={"require": ["exp", "iat", "sub"], "verify_aud": False},
        )
        claims = msgspec.convert(raw, _IdentityClaims)
    except (jwt.InvalidTokenError, msgspec.ValidationError, ValueError, RecursionError) as err:
        raise unauthorized() from err
    if not 0 < len(claims.sub) <= 255 or claims.exp - claims.iat > _IDENTITY_MOST_S:
        raise unauthorized()
    # A signed half of a surrogate pair has no UTF-8, so the id that is made from `sub` could not be computed.
    if any(NO_TEXT.search(told or "") for told in (claims.sub, claims.name, claims.email)):
        raise unauthorized()
    if len(claims.name or "") > _MOST_NAME_CHARS or len(claims.email or "") > _MOST_EMAIL_CHARS:
        raise unauthorized()
    return Identity(external_id=claims.sub, name=claims.name, email=claims.email)


def unauthorized() -> Rejected:
    """One answer for every fault of a token: which one it was helps only forgers."""
    return Rejected("unauthorized", "the token is missing, wrong, expired or revoked")
