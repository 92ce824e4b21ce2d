"""Errors as RFC 9457 problems: the one mapping from our kinds of failure to HTTP statuses.

`code` is what clients decide on and is stable; `detail` is for people. Every code that REST can answer stands in
`STATUSES`; the API reference is made from it.
"""

from __future__ import annotations

import re

from aiohttp import web

from shared.codec import to_json
from shared.errors import Malformed, NightdeskError, OutcomeUnknown, Rejected, Unavailable
from shared.wire.bodies import Problem

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:nightdesk:problem:"

STATUSES: dict[str, tuple[int, str]] = {
    "malformed": (400, "The body is not JSON in UTF-8"),
    "invalid": (400, "The request does not fit its description"),
    "bad_id": (400, "An id is not a UUID in canonical text form"),
    "idempotency_mismatch": (400, "Idempotency-Key and the id in the body differ"),
    "unauthorized": (401, "The token or key is missing, wrong or expired"),
    "invalid_credentials": (401, "The address or the password is wrong"),
    "refresh_reused": (401, "The refresh token was used before or is not valid"),
    "identity_invalid": (401, "The identity token is not valid for this inbox"),
    "forbidden": (403, "Not allowed for this role"),
    "origin_not_allowed": (403, "The inbox does not list this web origin"),
    "not_found": (404, "There is no such thing here"),
    "method_not_allowed": (405, "The resource does not know this method"),
    "timeout": (408, "The body did not arrive in time"),
    "conflict": (409, "It does not fit the present state"),
    "id_conflict": (409, "The id belongs to something else already"),
    "idempotency_conflict": (409, "The Idempotency-Key was used with another body"),
    "in_progress": (409, "The same request is being carried out; ask again after Retry-After"),
    "duplicate_email": (409, "The address belongs to an agent already"),
    "duplicate_name": (409, "The name is taken"),
    "last_admin": (409, "The last administrator has to stay"),
    "in_use": (409, "Something else still needs it"),
    "crossed": (409, "Something newer stands in the conversation"),
    "stale_revision": (412, "The message has this revision already"),
    "version_mismatch": (412, "It was changed since it was read"),
    "too_large": (413, "Too large"),
    "unsupported_media_type": (415, "The body must be application/json"),
    "rate_limited": (429, "Too many requests"),
    "internal": (500, "A fault of ours"),
    "unavailable": (503, "Not possible now; try again later"),
    "unknown": (503, "Nobody knows yet whether it was done; send it again with the same id"),
}
"""Code to status and title."""

_ALIASES = {"undecryptable": "internal", "credential_exists": "duplicate_email"}
_AT = re.compile(r" - at `\$([^`]*)`$")
_FIELD = re.compile(r"(?:unknown|missing required) field `([^`]*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[([^\]]*)\]")


def known(code: str, otherwise: str) -> str:
    """The documented code for an error's own."""
    code = _ALIASES.get(code, code)
    return code if code in STATUSES else otherwise


def code_of(error: NightdeskError) -> str:
    """The documented code of a failure."""
    match error:
        case Rejected():
            return known(error.code, "conflict")
        case OutcomeUnknown():
            return "unknown"
        case Unavailable():
            return error.code if error.code in ("rate_limited", "in_progress") else "unavailable"
        case Malformed():
            return "too_large" if error.code == "too_large" else "internal"
        case _:
            return "internal"


def response(error: NightdeskError, request_id: str) -> web.Response:
    """The answer to a request that failed."""
    code = code_of(error)
    detail, errors = error.message, []
    if code == "internal":
        detail = "The request can't be answered; the log of the gateway has this request id."
    elif code == "not_found":
        # One text for all: another would tell what exists and is somebody else's.
        detail = STATUSES[code][1]
    elif isinstance(error, Rejected):
        detail, pointer = _pointer(error)
        faults = error.faults or (((pointer, detail),) if pointer else ())
        errors = [{"pointer": at, "detail": text} for at, text in faults]
    made = of_code(code, detail, request_id, errors=errors)
    match error:
        case Unavailable():
            made.headers["Retry-After"] = str(max(1, round(error.retry_after_s + 0.49)))
        case OutcomeUnknown():
            made.headers["Retry-After"] = "1"
        case Rejected() if made.status == 401:
            made.headers["WWW-Authenticate"] = 'Bearer realm="nightdesk"'
    return made


def of_code(
    code: str, detail: str, request_id: str, *, errors: list[dict[str, str]] | None = None
) -> web.Response:
    """A problem by its code."""
    status, title = STATUSES[code]
    body = Problem(
        type=TYPE_PREFIX + code,
        title=title,
        status=status,
        detail=detail,
        code=code,
        request_id=request_id,
        errors=errors or [],
    )
    return web.Response(status=status, body=to_json(body), content_type=MEDIA_TYPE)


def _pointer(error: Rejected) -> tuple[str, str]:
    """The text without its path, and the path as a JSON pointer (RFC 6901)."""
    if error.pointer:
        return error.message, error.pointer
    found = _AT.search(error.message)
    text = error.message if found is None else error.message[: found.start()]
    # "..." is some key of an object; the pointer then ends at the object.
    steps: list[str] = [a or b for a, b in _STEP.findall(found[1] if found else "") if b != "..."]
    field = _FIELD.search(text)
    if field is not None:
        steps.append(field[1])
    elif found is None:
        return text, ""
    escaped = [s.replace("~", "~0").replace("/", "~1") for s in steps]
    return text, "/" + "/".join(escaped)
