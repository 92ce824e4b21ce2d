"""An agent, signed in by e-mail and password."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nightdesk_client.client import Client, Options, Who, http_session
from nightdesk_client.rest import API
from nightdesk_client.tokens import AgentTokens


class Agent:
    """Makes clients for agents."""

    @staticmethod
    @asynccontextmanager
    async def sign_in(
        base_url: str, email: str, password: str, *, options: Options | None = None
    ) -> AsyncIterator[Client]:
        """On duty for the length of the block. Raises `SignedOut` when the password is refused."""
        options = options or Options()
        async with http_session(options) as http:
            tokens = AgentTokens(http, base_url.rstrip("/") + API, email=email, password=password)
            signed_in = await tokens.sign_in()
            who = Who(id=signed_in.agent_id, tokens=tokens, view="mine")
            async with Client(http, base_url, who=who, options=options).running() as client:
                yield client
