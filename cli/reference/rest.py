"""`rest.md`: the routes with what they take and give, from the table that the gateway itself is made from."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import msgspec

from cli.reference.markdown import code, document, fields, prose, table
from services.gateway.docs import PREFIX
from services.gateway.rest.route import EVERYONE, Route
from services.gateway.rest.routes import ROUTES
from shared import wire
from shared.wire import frames, views

_INTRO = f"""All paths begin with `{PREFIX}`; the running gateway serves the same as OpenAPI at `{PREFIX}/openapi.json`.
A token or an API key goes into `Authorization: Bearer …`.
Ids are UUIDs in canonical text form, made by the caller where a request names them (UUIDv7); so any request may be repeated.
`Nightdesk-Position` in an answer is the position of what was done; send the newest one you know with a question, and the answer includes it.
An `Idempotency-Key` belongs to one request: its repeat is done once, also when both come at the same moment and at two gateways (the second waits for the first, at most some seconds, then it is told 409 `in_progress`); another request under it is refused (409). Keys are remembered for a day; for a message the key is the `message_id`, for a conversation the `conversation_id`; arrivals and sign-ins take none.
A `PATCH` takes `If-Match` with the version from `ETag`.
202 says that a wish is durable; what comes of it is an event that follows.
Errors are listed in [errors](errors.md)."""

_ALL_ROLES = "everyone"


def page() -> str:
    """The whole page."""
    tags = dict.fromkeys(route.tag for route in ROUTES)
    sections = [_routes(tag, [each for each in ROUTES if each.tag == tag]) for tag in tags]
    sections += ["## Bodies", *(_struct(kind) for kind in _bodies())]
    sections += ["## Objects", *(_struct(kind) for kind in structs_of(views))]
    return document("REST", _INTRO, sections)


def _bodies() -> list[type[msgspec.Struct]]:
    """What requests and answers are made of, in whichever module of the wire it stands."""
    names = [f"{wire.__name__}.{each.name}" for each in pkgutil.iter_modules(wire.__path__)]
    modules = [importlib.import_module(name) for name in names]
    return [kind for each in modules if each not in (views, frames) for kind in structs_of(each)]


def structs_of(module: object) -> list[type[msgspec.Struct]]:
    """The public structs that a module defines, in its order."""
    return [
        each
        for name, each in vars(module).items()
        if inspect.isclass(each)
        and issubclass(each, msgspec.Struct)
        and each.__module__ == getattr(module, "__name__", "")
        and not name.startswith("_")
    ]


def _routes(tag: str, routes: list[Route]) -> str:
    rows = [
        (code(f"{r.method} {r.path}"), r.summary, _roles(r), _name(r.takes), _answer(r))
        for r in routes
    ]
    head = ("route", "what it does", "who", "takes", "gives")
    parts = [f"## {tag}", table(head, rows), *(_query(r) for r in routes if r.query is not None)]
    return "\n\n".join(parts)


def _query(route: Route) -> str:
    """The parameters that stand behind the question mark."""
    assert route.query is not None
    about = f"Query of {code(f'{route.method} {route.path}')}."
    return f"{about}\n{prose(route.query)}\n\n{fields(route.query, what='parameter')}"


def _roles(route: Route) -> str:
    if not route.roles:
        return "no token"
    return _ALL_ROLES if set(route.roles) == set(EVERYONE) else ", ".join(route.roles)


def _name(kind: type | None) -> str:
    return "" if kind is None else kind.__name__


def _answer(route: Route) -> str:
    return f"{route.status} {_name(route.gives)}".strip()


def _struct(kind: type[msgspec.Struct]) -> str:
    return f"### {kind.__name__}\n\n{prose(kind)}\n\n{fields(kind)}"
