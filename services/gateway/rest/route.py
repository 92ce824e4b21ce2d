"""What a route is: the row from which both the aiohttp route and its description in OpenAPI are made, and what its
handler gets and gives."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, Literal, TypeVar

import msgspec

from services.gateway.access import Facts
from services.gateway.parts import Parts
from services.gateway.rest.door import Door
from services.gateway.tokens import Principal
from shared.clock import new_id
from shared.errors import Rejected
from shared.ids import AccountId, ConversationId, Position, canonical

B_co = TypeVar("B_co", covariant=True)
Q_co = TypeVar("Q_co", covariant=True)

RoleName = Literal["visitor", "agent", "supervisor", "admin", "integration"]
STAFF: tuple[RoleName, ...] = ("agent", "supervisor", "admin")
DESK: tuple[RoleName, ...] = (*STAFF, "integration")
LEAD: tuple[RoleName, ...] = ("supervisor", "admin")
ADMIN: tuple[RoleName, ...] = ("admin",)
EVERYONE: tuple[RoleName, ...] = ("visitor", *DESK)
NO_TOKEN: tuple[RoleName, ...] = ()

MESSAGE_LIMIT_BYTES = 65_536
BODY_LIMIT_BYTES = 262_144

_REPEATS = uuid.UUID("b7e0f0c4-36c4-5e0e-8f0a-7d7d3f6f9b21")


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """A request apart from body, query and asker. `at_least`: the position that the answer must include; `key`: the
    Idempotency-Key; `if_match`: the version that the asker knows; `address`: the peer's, as the limits count it."""

    path: Mapping[str, str]
    at_least: Position = 0
    key: str | None = None
    if_match: Position | None = None
    address: str = ""
    origin: str | None = None


class Call(Generic[B_co, Q_co]):
    """One request, decoded and checked, with everything that its handler may use."""

    def __init__(
        self, *, door: Door, who: Principal | None, body: B_co, query: Q_co, given: Given
    ) -> None:
        self.door = door
        self.body = body
        self.query = query
        self.given = given
        self._who = who

    @property
    def parts(self) -> Parts:
        """The gateway's shared parts."""
        return self.door.parts

    @property
    def who(self) -> Principal:
        """Who asks; not on routes without a token."""
        assert self._who is not None
        return self._who

    @property
    def account_id(self) -> AccountId:
        """The asker's account."""
        return self.who.account_id

    def id(self, name: str) -> str:
        """An id of the path in canonical form. Raises `Rejected("bad_id")`."""
        return canonical(self.given.path[name], what=name)

    def made_id(self, kind: str) -> str:
        """The id of a document to be made: the same for the same Idempotency-Key, so that a repeat finds it."""
        if self.given.key is None:
            return new_id()
        return str(uuid.uuid5(_REPEATS, f"{self.account_id}\n{kind}\n{self.given.key}"))


async def may_write(call: Call[object, object], conversation_id: ConversationId) -> Facts:
    """What is known of a conversation that the asker may post to and change. Raises `Rejected("not_found")`.

    What is known in memory is enough for a yes, so that writing goes on while the store is away; a no is asked for
    again as of the position that the asker was given: they may have got the conversation a moment ago.
    """
    access, at_least = call.parts.access, call.given.at_least
    try:
        return await access.may_post(call.who, conversation_id)
    except Rejected:
        if not at_least:
            raise
        return await access.may_post(call.who, conversation_id, at_least=at_least)


def agrees_with_key(call: Call[object, object], made_id: str, *, pointer: str) -> None:
    """An Idempotency-Key beside an id that the client made is that id: another one would promise what only the id
    keeps. Raises `Rejected("idempotency_mismatch")`."""
    if call.given.key is not None and call.given.key.lower() != made_id:
        raise Rejected(
            "idempotency_mismatch",
            f"Idempotency-Key and {pointer.removeprefix('/')} must be the same",
            pointer=pointer,
        )


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler answers. `position` becomes the header `Nightdesk-Position`, `version` the `ETag`; `status` is
    the route's own unless given."""

    body: Any = None
    status: int | None = None
    position: Position | None = None
    version: Position | None = None


Handler = Callable[[Call[Any, Any]], Awaitable[Reply]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table. `roles`: those allowed, none: no token is asked for. `takes`, `query`, `gives`: the types
    of body, query and answer. `status`: of success; `also`: of a repeat. `errors`: codes beyond those that every route of its kind has.
    `key`: what an Idempotency-Key does: nothing; it is, or makes, the id of what is made; or it is kept."""

    method: str
    path: str
    handler: Handler
    summary: str
    roles: tuple[RoleName, ...]
    tag: str
    takes: Any = None
    query: type[msgspec.Struct] | None = None
    gives: Any = None
    status: int = 200
    also: tuple[int, ...] = ()
    errors: tuple[str, ...] = ()
    body_limit_bytes: int = BODY_LIMIT_BYTES
    key: Literal["none", "id", "kept"] = "none"


def not_found() -> Rejected:
    """The one answer for what does not exist and for what is somebody else's."""
    return Rejected("not_found", "there is no such thing here")


def forbidden(message: str = "not allowed for this role") -> Rejected:
    """The asker may see this but not do that."""
    return Rejected("forbidden", message)
