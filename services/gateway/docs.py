"""OpenAPI 3.1 and AsyncAPI 3, made from the table of routes, the frames and their types: what is described is what
runs. `docs/reference/` holds the same documents; a test compares."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any, get_args

import msgspec

from services.gateway.problem import MEDIA_TYPE, STATUSES
from services.gateway.rest.route import Route
from shared.wire.bodies import Problem
from shared.wire.frames import (
    CLOSE_CODES,
    MAX_FRAME_BYTES,
    SUBPROTOCOL,
    ClientFrame,
    ServerFrame,
)

PREFIX = "/api/v1"
_VERSION = "1"
_REF = "#/components/schemas/{name}"
_ALWAYS = ("invalid", "rate_limited", "internal", "unavailable")
_WITH_TOKEN = ("unauthorized", "forbidden")
_WITH_BODY = ("malformed", "too_large", "unsupported_media_type", "timeout")
_WITH_PATH = ("bad_id", "not_found")

_ABOUT_REST = """Times are RFC 3339 in UTC with milliseconds, ids are UUIDs that clients make (version 7) where they
send something new. Errors are RFC 9457 problems; decide on `code`. After `unavailable` nothing was done; after
`unknown` nobody knows yet: send the same request with the same ids again. Answers to writes carry
`Nightdesk-Position`; sent back on a read, the answer includes that position."""
_ABOUT_SOCKET = """One JSON object a text frame. The first frame is `hello`, within 5 s, with the token in it. An empty
object is a ping either way. Close codes from 3000 to 3499 mean: come back; from 3500: don't."""


def openapi(routes: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI document of REST."""
    types = [t for r in routes for t in (r.takes, r.gives) if t is not None]
    _, schemas = msgspec.json.schema_components([*types, Problem], ref_template=_REF)
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Nightdesk REST",
            "version": _VERSION,
            "description": _text(_ABOUT_REST),
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(r.tag for r in routes)],
        "paths": paths,
        "components": {
            "schemas": _cleaned(schemas),
            "parameters": _headers(),
            "responses": _problems(routes),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token (agents), a visitor token, or an API key.",
                }
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    name = route.handler.__name__
    made: dict[str, Any] = {
        "operationId": f"{route.tag}_{name}_{route.path.strip('/').split('/')[-1].strip('{}')}",
        "summary": route.summary,
        "tags": [route.tag],
        "security": [{"token": []}] if route.roles else [],
        "parameters": _parameters(route),
        "responses": _responses(route),
    }
    if route.roles:
        made["description"] = f"For: {', '.join(route.roles)}."
    if route.takes is not None:
        made["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _schema(route.takes)}},
        }
    return made


def _parameters(route: Route) -> list[dict[str, Any]]:
    found = [
        {"name": name, "in": "path", "required": True, "schema": _path_schema(name)}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    if route.query is not None:
        found += _query_parameters(route.query)
    names = ["position"]
    names += ["idempotency_key"] if route.key != "none" else []
    names += ["if_match"] if "version_mismatch" in route.errors else []
    return [*found, *({"$ref": f"#/components/parameters/{name}"} for name in names)]


def _headers() -> dict[str, Any]:
    return {
        "position": _header(
            "Nightdesk-Position",
            {"type": "string", "pattern": "^[0-9]{1,19}$"},
            "The answer includes this position.",
        ),
        "idempotency_key": _header(
            "Idempotency-Key",
            {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
            "A repeat with the same key is done once, another request under it is refused; for a message it is the message_id, for a conversation the conversation_id.",
        ),
        "if_match": _header(
            "If-Match",
            {"type": "string"},
            "The version that you mean to change: the ETag it came with.",
        ),
    }


def _query_parameters(kind: type[msgspec.Struct]) -> list[dict[str, Any]]:
    schema = msgspec.json.schema_components([kind], ref_template=_REF)[1][kind.__name__]
    return [
        {"name": name, "in": "query", "required": False, "schema": inner, "explode": True}
        for name, inner in schema["properties"].items()
    ]


def _path_schema(name: str) -> dict[str, Any]:
    if name.endswith("_id") and name != "api_key_id":
        return {"type": "string", "format": "uuid"}
    return {"type": "string"}


def _header(name: str, schema: dict[str, Any], about: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "schema": schema,
        "description": about,
    }


def _responses(route: Route) -> dict[str, Any]:
    success: dict[str, Any] = {"description": route.summary}
    if route.gives is not None:
        success["content"] = {"application/json": {"schema": _schema(route.gives)}}
    made = {str(status): dict(success) for status in (route.status, *route.also)}
    for status, codes in _by_status(route).items():
        made[str(status)] = {"$ref": f"#/components/responses/{'.'.join(codes)}"}
    return made


def _by_status(route: Route) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for code in sorted(codes_of(route), key=lambda code: (STATUSES[code][0], code)):
        found.setdefault(STATUSES[code][0], []).append(code)
    return found


def _problems(routes: Sequence[Route]) -> dict[str, Any]:
    """Every combination of codes that some route can answer with one status."""
    groups = {".".join(codes): codes for r in routes for codes in _by_status(r).values()}
    return {
        name: {
            "description": "; ".join(f"`{code}`: {STATUSES[code][1]}" for code in codes),
            "content": {MEDIA_TYPE: {"schema": _schema(Problem)}},
        }
        for name, codes in sorted(groups.items())
    }


def codes_of(route: Route) -> list[str]:
    """Every error code that a route can answer."""
    codes = [*_ALWAYS, *route.errors]
    codes += _WITH_TOKEN if route.roles else ()
    codes += ("origin_not_allowed",) if "visitor" in route.roles else ()
    codes += _WITH_BODY if route.takes is not None else ()
    codes += _WITH_PATH if "{" in route.path else ()
    codes += ("unknown",) if route.method != "GET" else ()
    return list(dict.fromkeys(codes))


def _schema(kind: Any) -> dict[str, Any]:
    return {"$ref": _REF.format(name=kind.__name__)}


# ---------------------------------------------------------------- WebSocket


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI document of the WebSocket."""
    client, server = get_args(ClientFrame), get_args(ServerFrame)
    _, schemas = msgspec.json.schema_components([*client, *server], ref_template=_REF)
    messages = {kind.__name__: _message(kind) for kind in (*client, *server)}
    channel = {"$ref": "#/channels/session"}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Nightdesk WebSocket",
            "version": _VERSION,
            "description": _text(_ABOUT_SOCKET),
        },
        "servers": {"gateway": {"host": "localhost:8480", "protocol": "ws"}},
        "channels": {
            "session": {
                "address": "/ws",
                "description": f"Subprotocol {SUBPROTOCOL}, frames of at most {MAX_FRAME_BYTES} bytes.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "fromClient": {
                "action": "receive",
                "channel": channel,
                "messages": _messages_of(client),
            },
            "toClient": {"action": "send", "channel": channel, "messages": _messages_of(server)},
        },
        "components": {"messages": messages, "schemas": _cleaned(schemas)},
        "x-close-codes": {
            str(code): {"name": name, "meaning": meaning}
            for code, (name, meaning) in sorted(CLOSE_CODES.items())
        },
    }


def _message(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        "name": str(kind.__struct_config__.tag),
        "contentType": "application/json",
        "summary": _text(kind.__doc__ or "").split(". ")[0],
        "payload": _schema(kind),
    }


def _messages_of(kinds: Iterable[type[msgspec.Struct]]) -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/session/messages/{kind.__name__}"} for kind in kinds]


# ---------------------------------------------------------------- texts


def _text(text: str) -> str:
    return " ".join(inspect.cleandoc(text).split())


def _cleaned(schema: Any) -> Any:
    """Docstrings as one line each."""
    match schema:
        case {"description": str(text), **rest}:
            return {"description": _text(text)} | {k: _cleaned(v) for k, v in rest.items()}
        case dict():
            return {key: _cleaned(value) for key, value in schema.items()}
        case list() | tuple():
            return [_cleaned(each) for each in schema]
        case _:
            return schema


def pages(routes: Sequence[Route]) -> dict[str, str]:
    """File name to content, as they lie under docs/reference."""
    documents = {"openapi.json": openapi(routes), "asyncapi.json": asyncapi()}
    return {
        name: msgspec.json.format(msgspec.json.encode(made), indent=2).decode() + "\n"
        for name, made in documents.items()
    }
