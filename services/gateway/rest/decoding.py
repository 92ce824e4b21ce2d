"""From what a client sent to checked values: body, query, headers. Everything that does not fit is `Rejected` with
a pointer; nothing that a client sent is logged."""

from __future__ import annotations

import asyncio
import re
import typing
from typing import Any

import msgspec
from aiohttp import web
from multidict import MultiMapping

from services.gateway.choices import with_choices
from services.gateway.misfits import misfits
from shared.codec import from_json
from shared.errors import Rejected
from shared.ids import Position

POSITION_HEADER = "Nightdesk-Position"
_BODY_TIMEOUT_S = 15.0
_MOST_POSITION = 2**63 - 1
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_VERSION = re.compile(r'(?:W/)?"([0-9]{1,19})"')
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


async def read_body(request: web.Request, *, limit_bytes: int) -> bytes:
    """The body, at most `limit_bytes` of it in memory. Raises `Rejected`: "unsupported_media_type", "too_large",
    "timeout"."""
    if request.content_type != "application/json":
        raise Rejected("unsupported_media_type", "the body must be application/json")
    if (request.content_length or 0) > limit_bytes:
        raise _too_large(limit_bytes)
    try:
        # Nearly always all of it is here, and nothing is waited for.
        is_here = request.content.is_eof()
        async with asyncio.timeout(None if is_here else _BODY_TIMEOUT_S):
            return await _read(request, limit_bytes)
    except TimeoutError as err:
        raise Rejected(
            "timeout", f"the body did not arrive within {_BODY_TIMEOUT_S:.0f} s"
        ) from err
    except (web.HTTPException, ConnectionError) as err:
        # The latter: whoever sent it has gone in the middle of it.
        raise Rejected("malformed", "the body can't be read") from err


async def _read(request: web.Request, limit_bytes: int) -> bytes:
    read = bytearray()
    while chunk := await request.content.readany():
        read += chunk
        if len(read) > limit_bytes:
            raise _too_large(limit_bytes)
    return bytes(read)


def decode_body(raw: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """The body as its type. Raises `Rejected`: "malformed", "invalid"."""
    try:
        value = from_json(raw, decoder)
    except Rejected as err:
        raise _told(err, raw, decoder.type) from err
    # Only escapes (and DEL) can bring control characters into a JSON string.
    if b"\\" in raw or b"\x7f" in raw:
        _refuse_control(msgspec.to_builtins(value), "")
    return value


def _told(refusal: Rejected, raw: bytes, kind: Any) -> Rejected:
    """The refusal with the choices, and with every place that is wrong where there are more than one."""
    told = with_choices(refusal, kind)
    try:
        found = misfits(raw, kind) if refusal.code == "invalid" else []
    except (msgspec.DecodeError, RecursionError):
        # What follows the first place is no JSON.
        found = []
    if len(found) < 2:
        return told
    return Rejected(told.code, told.message, faults=found)


def _refuse_control(value: Any, path: str) -> None:
    match value:
        case str() if _CONTROL.search(value):
            raise Rejected("invalid", "holds characters that are no text", pointer=path or "/")
        case dict():
            for key, inner in value.items():
                _refuse_control(key, path)
                _refuse_control(inner, f"{path}/{key}")
        case list() | tuple():
            for number, inner in enumerate(value):
                _refuse_control(inner, f"{path}/{number}")
        case _:
            pass


def decode_query(given: MultiMapping[str], kind: type[msgspec.Struct]) -> Any:
    """The query parameters as their type; a list field takes a parameter that comes several times. Raises
    `Rejected("invalid")`."""
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for name in given:
        if name not in hints:
            raise Rejected("invalid", "there is no such parameter", pointer=f"?{name[:64]}")
        found = given.getall(name)
        is_list = typing.get_origin(hints[name]) in (list, tuple)
        if len(found) > 1 and not is_list:
            raise Rejected("invalid", "given more than once", pointer=f"?{name}")
        values[name] = found if is_list else found[0]
        _refuse_control(values[name], f"?{name}")
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as err:
        text, _, at = str(err).partition(" - at `$.")
        name = at.rstrip("`")
        plain = text if not at else f"{text} - at `$.{name}`"
        told = with_choices(Rejected("invalid", plain), kind)
        text = told.message.partition(" - at `$.")[0]
        raise Rejected("invalid", text, pointer=f"?{name.partition('[')[0]}") from err


def position_header(request: web.Request) -> Position:
    """The position that the client has been given and that the answer must include; 0 without one."""
    text = request.headers.get(POSITION_HEADER, "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 19) or int(text) > _MOST_POSITION:
        raise Rejected("invalid", f"{POSITION_HEADER} must be a position", pointer=POSITION_HEADER)
    return int(text)


def idempotency_key(request: web.Request) -> str | None:
    """The Idempotency-Key, 1 to 255 printable ASCII characters."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise Rejected(
            "invalid",
            "must be 1 to 255 printable ASCII characters without spaces",
            pointer="Idempotency-Key",
        )
    return key


def if_match(request: web.Request) -> Position | None:
    """The version in If-Match; None without one or for `*`."""
    text = request.headers.get("If-Match", "*").strip()
    if text == "*":
        return None
    found = _VERSION.fullmatch(text)
    if found is None:
        raise Rejected("version_mismatch", "If-Match holds no version of ours")
    return int(found[1])


def request_id(request: web.Request, otherwise: str) -> str:
    """The client's X-Request-Id when it is a sane one."""
    given = request.headers.get("X-Request-Id", "")
    return given if _REQUEST_ID.fullmatch(given) else otherwise


def bearer(request: web.Request) -> str:
    """The token. Raises `Rejected("unauthorized")`."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Rejected("unauthorized", "a bearer token is needed")
    return token.strip()


def _too_large(limit_bytes: int) -> Rejected:
    return Rejected("too_large", f"the body has more than {limit_bytes} bytes")
