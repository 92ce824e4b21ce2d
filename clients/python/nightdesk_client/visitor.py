"""A visitor: arrives at an inbox, or comes back with the token of an earlier arrival."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from nightdesk_client.client import Client, Options, Who, http_session
from nightdesk_client.rest import Rest
from nightdesk_client.tokens import FixedToken


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """Who the visitor is from now on. Keep the token: with it they come back as the same person."""

    contact_id: str
    visitor_token: str
    expires_in_s: int = 0


class Visitor:
    """Makes clients for visitors."""

    @staticmethod
    @asynccontextmanager
    async def arrive(
        base_url: str,
        inbox_key: str,
        *,
        identity_token: str | None = None,
        profile: dict[str, object] | None = None,
        options: Options | None = None,
    ) -> AsyncIterator[Client]:
        """A new visitor, anonymous or identified by a token that the site's back end signed.

        `profile`: name, email, attributes, as far as the visitor told them.
        """
        options = options or Options()
        body = dict(profile or {})
        if identity_token is not None:
            body["identity_token"] = identity_token
        async with http_session(options) as http:
            rest = Rest(http, base_url, tokens=None)
            arrived = await rest.post(f"/inboxes/{inbox_key}/contacts", body, Arrived)
            options = msgspec.structs.replace(options, http=http)
            returning = Visitor.returning(
                base_url, arrived.visitor_token, contact_id=arrived.contact_id, options=options
            )
            async with returning as client:
                yield client

    @staticmethod
    @asynccontextmanager
    async def returning(
        base_url: str, token: str, *, contact_id: str = "", options: Options | None = None
    ) -> AsyncIterator[Client]:
        """A visitor who was here before. With `options.bookmark` the device goes on where it stood."""
        options = options or Options()
        async with http_session(options) as http:
            who = Who(id=contact_id, tokens=FixedToken(token), view="")
            async with Client(http, base_url, who=who, options=options).running() as client:
                yield client
