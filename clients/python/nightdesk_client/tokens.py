"""Where the token comes from. A visitor's is long-lived; an agent's is short and renewed, one renewal at a time."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

import aiohttp
import msgspec

from nightdesk_client.backoff import Backoff
from nightdesk_client.errors import SignedOut, Unreachable

ALLOWED_S = 60.0
RENEW_BEFORE_S = 30.0
_TIMEOUT = aiohttp.ClientTimeout(total=15)


class TokenSource(Protocol):
    """Hands out the token of one identity."""

    async def current(self) -> str:
        """A token that is good as far as this client knows."""

    async def renew(self, used: str) -> str:
        """Another token than `used`, which the server refused. Raises `SignedOut` when there is none."""


class FixedToken:
    """A visitor's token or an API key: there is only this one."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def current(self) -> str:
        return self._token

    async def renew(self, used: str) -> str:
        raise SignedOut(f"the token of {len(used)} characters is not accepted")


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a sign-in or a refresh."""

    access_token: str
    expires_in_s: int
    refresh_token: str
    agent_id: str
    account_id: str = ""
    role: str = ""


class AgentTokens:
    """Signs in with e-mail and password and keeps the access token fresh.

    Refresh tokens rotate: if the answer to a refresh is lost, the old one is spent and the server revokes the
    family when it sees it again. Then this signs in anew, which is why it keeps the password for its lifetime.
    """

    def __init__(
        self, http: aiohttp.ClientSession, api_url: str, *, email: str, password: str
    ) -> None:
        self._http = http
        self._api_url = api_url
        self._login = {"email": email, "password": password}
        self._tokens: Tokens | None = None
        self._good_until = 0.0
        self._lock = asyncio.Lock()

    async def sign_in(self) -> Tokens:
        """Fresh tokens by password. Raises `SignedOut` when they are refused, `Unreachable` otherwise."""
        return self._keep(await self._post("/auth/login", self._login))

    async def current(self) -> str:
        async with self._lock:
            if self._tokens is None:
                return (await self.sign_in()).access_token
            if time.monotonic() < self._good_until:
                return self._tokens.access_token
            return await self._refresh(self._tokens)

    async def renew(self, used: str) -> str:
        async with self._lock:
            if self._tokens is None:
                return (await self.sign_in()).access_token
            if self._tokens.access_token != used:
                return self._tokens.access_token
            return await self._refresh(self._tokens)

    async def sign_out(self) -> None:
        """Revoke the refresh family; the access token ends by itself."""
        if self._tokens is not None:
            await self._post("/auth/logout", {"refresh_token": self._tokens.refresh_token})
            self._tokens = None

    async def _refresh(self, tokens: Tokens) -> str:
        try:
            payload = await self._post("/auth/refresh", {"refresh_token": tokens.refresh_token})
        except SignedOut:
            return (await self.sign_in()).access_token
        return self._keep(payload).access_token

    def _keep(self, payload: bytes) -> Tokens:
        tokens = msgspec.json.decode(payload, type=Tokens)
        self._tokens = tokens
        self._good_until = time.monotonic() + max(tokens.expires_in_s - RENEW_BEFORE_S, 1.0)
        return tokens

    async def _post(self, path: str, body: dict[str, str]) -> bytes:
        """Tried again while the server can't be reached or has no time. Raises `SignedOut` or `Unreachable`."""
        deadline = time.monotonic() + ALLOWED_S
        backoff = Backoff()
        while True:
            try:
                return await self._try(path, body)
            except Unreachable:
                delay_s = backoff.next_s()
                if time.monotonic() + delay_s > deadline:
                    raise
                await asyncio.sleep(delay_s)

    async def _try(self, path: str, body: dict[str, str]) -> bytes:
        try:
            async with self._http.post(self._api_url + path, json=body, timeout=_TIMEOUT) as answer:
                payload = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as err:
            raise Unreachable(f"{path}: {type(err).__name__}") from err
        if answer.status in {400, 401, 403}:
            raise SignedOut(f"{path} was refused with {answer.status}")
        if answer.status >= 300:
            raise Unreachable(f"{path} answered {answer.status}")
        return payload
