"""Which web origins may call: visitors' browsers from the origins that their inbox lists, nobody else's. There are
no cookies, so a foreign page has no token to misuse; this keeps other sites from using the inbox as theirs."""

from __future__ import annotations

from aiohttp import web

from services.gateway.directory import LiveDirectory
from shared.errors import Rejected
from shared.events import InboxSaved
from shared.ids import Position

_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, Nightdesk-Position, X-Request-Id"
)
_EXPOSED = "ETag, Nightdesk-Position, Retry-After, X-Request-Id"
_ALLOWED = "cors_origin"


class Origins:
    """The origins of all inboxes together, for preflights, which name neither inbox nor token."""

    def __init__(self, directory: LiveDirectory) -> None:
        self._directory = directory
        self._as_of: Position = -1
        self._listed: frozenset[str] = frozenset()
        self._is_any = False

    def may_be_allowed(self, origin: str) -> bool:
        """Whether some inbox would take it."""
        state = self._directory.state
        if state.position != self._as_of:
            inboxes = [i for a in state.accounts.values() for i in a.inboxes.values()]
            self._listed = frozenset(o for i in inboxes for o in i.origins)
            self._is_any = any(not i.origins for i in inboxes)
            self._as_of = state.position
        return self._is_any or origin in self._listed

    def preflight(self, request: web.Request) -> web.Response:
        """The answer to OPTIONS."""
        response = web.Response(status=204)
        origin = request.headers.get("Origin")
        if origin and self.may_be_allowed(origin):
            response.headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, PATCH, DELETE"
            response.headers["Access-Control-Allow-Headers"] = _HEADERS
            response.headers["Access-Control-Max-Age"] = "600"
            _allow(response, origin)
        return response

    def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let the browser read the answer: of a visitor's route, or an error before the asker was known."""
        origin = request.headers.get("Origin")
        if origin is None:
            return
        is_known = request.get(_ALLOWED) == origin
        if is_known or (response.status >= 400 and self.may_be_allowed(origin)):
            _allow(response, origin)


def check_origin(request: web.Request, inbox: InboxSaved | None) -> None:
    """A visitor asks from a page: its origin must be on the inbox's list. Raises `Rejected("origin_not_allowed")`."""
    origin = request.headers.get("Origin")
    if origin is None:
        return
    if inbox is None or (inbox.origins and origin not in inbox.origins):
        raise Rejected("origin_not_allowed", "this web origin is not on the inbox's list")
    request[_ALLOWED] = origin


def _allow(response: web.StreamResponse, origin: str) -> None:
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = _EXPOSED
    response.headers["Vary"] = "Origin"
