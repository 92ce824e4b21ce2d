"""The routing document over REST: all that decides who is asked, read and replaced in one piece."""

from __future__ import annotations

from typing import Any

import msgspec

from nightdesk_client.rest import Call, Rest

RoutingDocument = dict[str, Any]
"""As the API gives and takes it: agents, teams, policies, inboxes, and the version that it was read at."""


class RoutingPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the document, as a JSON pointer, and what is to be said of it."""

    pointer: str
    detail: str


class RoutingChange(msgspec.Struct, frozen=True, kw_only=True):
    """A part that changed: an event's name, such as team_saved, and what it is about."""

    what: str
    id: str
    name: str | None = None


class RoutingResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a document did, or would do. `warnings`: what can be obeyed and is hardly meant."""

    version: int
    is_dry_run: bool = False
    changes: list[RoutingChange] = []
    warnings: list[RoutingPlace] = []


class RoutingVersion(msgspec.Struct, frozen=True, kw_only=True):
    """When a version came, who wanted it, and what it changed."""

    version: int
    at: str
    by: str | None = None
    by_name: str | None = None
    changes: list[RoutingChange] = []


class _Versions(msgspec.Struct):
    data: list[RoutingVersion]


class RoutingApi:
    """To read it any of the staff will do; to change it takes the role admin. A refusal is an `ApiError` that has every
    place in `places`; 412 when the document's `version` is not the newest any more."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def show(self, *, version: int | None = None) -> RoutingDocument:
        """The document of now, or an older one."""
        query = {"version": str(version)} if version is not None else {}
        return await self._rest.get("/routing", RoutingDocument, query=query)

    async def check(self, document: RoutingDocument) -> RoutingResult:
        """What it would change; nothing is saved."""
        return await self._rest.call(
            Call(method="POST", path="/routing/check", body=document), RoutingResult
        )

    async def apply(self, document: RoutingDocument) -> RoutingResult:
        """All of it or nothing. Sending the same again is harmless."""
        return await self._rest.put("/routing", document, RoutingResult)

    async def versions(self, *, before: int | None = None) -> list[RoutingVersion]:
        """Newest first, fifty at a time."""
        query = {"before": str(before)} if before is not None else {}
        return (await self._rest.get("/routing/versions", _Versions, query=query)).data
