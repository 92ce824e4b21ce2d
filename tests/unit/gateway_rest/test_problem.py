"""Every failure has one documented status, and tells nothing that it should not."""

from __future__ import annotations

import msgspec
import pytest
from aiohttp import web

from services.gateway import problem
from shared.errors import Malformed, NightdeskError, OutcomeUnknown, Rejected, Unavailable
from shared.wire.bodies import Problem


def _body(response: web.Response) -> Problem:
    assert isinstance(response.body, bytes)
    return msgspec.json.decode(response.body, type=Problem)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Rejected("not_found", "x"), 404, "not_found"),
        (Rejected("bad_id", "x"), 400, "bad_id"),
        (Rejected("invalid", "x"), 400, "invalid"),
        (Rejected("id_conflict", "x"), 409, "id_conflict"),
        (Rejected("credential_exists", "x"), 409, "duplicate_email"),
        (Rejected("never heard of", "x"), 409, "conflict"),
        (Unavailable("x"), 503, "unavailable"),
        (Unavailable("x", code="log_full"), 503, "unavailable"),
        (Unavailable("x", code="rate_limited"), 429, "rate_limited"),
        (OutcomeUnknown("x"), 503, "unknown"),
        (Malformed("x", code="too_large"), 413, "too_large"),
        (Malformed("x"), 500, "internal"),
    ],
)
def test_each_failure_has_its_status(error: NightdeskError, status: int, code: str) -> None:
    """And the body says the same as the head."""
    made = problem.response(error, "r1")
    body = _body(made)
    assert (made.status, made.content_type) == (status, problem.MEDIA_TYPE)
    assert (body.status, body.code, body.request_id) == (status, code, "r1")


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.4, "1"), (1.2, "2"), (59.5, "60")])
def test_retry_after_is_never_too_early(seconds: float, header: str) -> None:
    """Whole seconds, rounded up, at least one."""
    made = problem.response(Unavailable("x", retry_after_s=seconds), "r1")
    assert made.headers["Retry-After"] == header


def test_an_unknown_outcome_is_never_called_a_failure() -> None:
    """It says when to send the same again."""
    made = problem.response(OutcomeUnknown("x"), "r1")
    assert made.headers["Retry-After"] == "1"
    assert _body(made).code == "unknown"


def test_a_fault_of_ours_tells_nothing_of_the_inside() -> None:
    """The text of the error stays in the log."""
    body = _body(problem.response(Malformed("row 17 of table x"), "r1"))
    assert "row 17" not in body.detail


def test_not_found_has_one_text() -> None:
    """Two texts would tell what exists and is somebody else's."""
    texts = {
        _body(problem.response(Rejected("not_found", text), "r1")).detail
        for text in ("no such thing", "that is not yours")
    }
    assert len(texts) == 1


class _Inner(msgspec.Struct, forbid_unknown_fields=True):
    numbers: list[int]


class _Outer(msgspec.Struct):
    x: _Inner
    y: dict[str, int]


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        (b'{"x":{"numbers":[1,"2"]},"y":{}}', "/x/numbers/1"),
        (b'{"x":{"numbers":[]},"y":{"k":"v"}}', "/y"),
        (b'{"x":{"numbers":[],"more":1},"y":{}}', "/x/more"),
        (b'{"x":{"numbers":[]}}', "/y"),
        (b'{"x":{},"y":{}}', "/x/numbers"),
        (b"[]", ""),
    ],
)
def test_the_pointer_names_the_place(raw: bytes, pointer: str) -> None:
    """A path of msgspec becomes a JSON pointer (RFC 6901); without a path there is none."""
    with pytest.raises(msgspec.ValidationError) as fault:
        msgspec.json.decode(raw, type=_Outer)
    body = _body(problem.response(Rejected("invalid", str(fault.value)), "r1"))
    assert [e["pointer"] for e in body.errors] == ([pointer] if pointer else [])
