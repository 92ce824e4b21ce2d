"""REST without a live connection, for tools and integrations: by password or by API key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from nightdesk_client.api.account import AccountApi
from nightdesk_client.api.conversations import ConversationsApi
from nightdesk_client.api.routing import RoutingApi
from nightdesk_client.client import Options, http_session
from nightdesk_client.rest import API, Rest
from nightdesk_client.tokens import AgentTokens, FixedToken, TokenSource


class Staff:
    """`account`, `routing` and `conversations` of one identity that is not on duty."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str, tokens: TokenSource) -> None:
        rest = Rest(http, base_url, tokens=tokens)
        self.account = AccountApi(rest)
        self.routing = RoutingApi(rest)
        self.conversations = ConversationsApi(rest)

    @staticmethod
    @asynccontextmanager
    async def sign_in(
        base_url: str, email: str, password: str, *, options: Options | None = None
    ) -> AsyncIterator[Staff]:
        """By password. Raises `SignedOut` when it is refused."""
        async with http_session(options or Options()) as http:
            tokens = AgentTokens(http, base_url.rstrip("/") + API, email=email, password=password)
            await tokens.sign_in()
            yield Staff(http, base_url, tokens)
            await tokens.sign_out()

    @staticmethod
    @asynccontextmanager
    async def with_key(
        base_url: str, api_key: str, *, options: Options | None = None
    ) -> AsyncIterator[Staff]:
        """By API key."""
        async with http_session(options or Options()) as http:
            yield Staff(http, base_url, FixedToken(api_key))
