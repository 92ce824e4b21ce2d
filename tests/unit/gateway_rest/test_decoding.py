"""From what a client sent to checked values."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import MultiDict

from services.gateway import problem
from services.gateway.rest import decoding
from services.gateway.rest.moments import ns_of
from shared.errors import Rejected
from shared.wire.bodies import Problem


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    more: dict[str, list[str]] = {}


class _Day(msgspec.Struct):
    day: Literal["monday", "friday"]


class _Choice(msgspec.Struct):
    status: Literal["open", "snoozed"] | None = None
    days: list[_Day] = []
    levels: dict[str, Literal["high", "low"]] = {}


class _Chosen(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    status: list[Literal["open", "snoozed"]] = []
    view: Literal["mine", "all"] | None = None


class _Query(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    limit: Annotated[int, msgspec.Meta(ge=1)] = 5
    unread: bool = False
    label: list[str] = []
    since: str | None = None


_DECODER = msgspec.json.Decoder(_Body)


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        (b'{"text":"a\\u0000"}', "/text"),
        (b'{"text":"a\\b"}', "/text"),
        (b'{"text":"a\x7f"}', "/text"),
        (b'{"text":"","more":{"k":["fine","\\u001b[2J"]}}', "/more/k/1"),
        (b'{"text":"","more":{"k\\u0001":[]}}', "/more"),
    ],
)
def test_control_characters_are_found_wherever_they_are(raw: bytes, pointer: str) -> None:
    """NUL breaks databases, escape sequences break terminals; the pointer names the place."""
    with pytest.raises(Rejected) as refused:
        decoding.decode_body(raw, _DECODER)
    assert (refused.value.code, refused.value.pointer) == ("invalid", pointer)


@pytest.mark.parametrize(
    ("raw", "words", "pointer"),
    [
        (b'{"status":"closed"}', "open, snoozed", "/status"),
        (b'{"days":[{"day":"friday"},{"day":"sun"}]}', "friday, monday", "/days/1/day"),
        (b'{"levels":{"tea":"middle"}}', "high, low", "/levels"),
    ],
)
def test_a_word_that_is_no_choice_is_answered_with_the_choices(
    raw: bytes, words: str, pointer: str
) -> None:
    """Wherever it stands; who sees the answer need not look into the documents."""
    with pytest.raises(Rejected) as refused:
        decoding.decode_body(raw, msgspec.json.Decoder(_Choice))
    body = msgspec.json.decode(str(problem.response(refused.value, "r").text), type=Problem)
    assert body.detail.endswith(f"it is one of {words}")
    assert [each["pointer"] for each in body.errors] == [pointer]


@pytest.mark.parametrize(
    ("name", "text", "words"), [("status", "shut", "open, snoozed"), ("view", "his", "all, mine")]
)
def test_so_are_parameters(name: str, text: str, words: str) -> None:
    """In the query, too, also of a list."""
    with pytest.raises(Rejected) as refused:
        decoding.decode_query(MultiDict([(name, text)]), _Chosen)
    assert refused.value.message.endswith(f"it is one of {words}")
    assert refused.value.pointer == f"?{name}"


def test_what_people_write_passes() -> None:
    """Line breaks, tabs, quotes, emoji given as surrogate pairs, every script."""
    raw = b'{"text":"\\u4f60\\u597d \\"\\n\\t\\ud83d\\ude00 \\\\ \xd7\xa9"}'
    assert decoding.decode_body(raw, _DECODER).text == '你好 "\n\t😀 \\ ש'


def test_parameters_become_their_types() -> None:
    """Numbers, truth, lists; what is left out has its default."""
    given = MultiDict([("limit", "7"), ("unread", "true"), ("label", "a"), ("label", "b")])
    query = decoding.decode_query(given, _Query)
    assert (query.limit, query.unread, query.label, query.since) == (7, True, ["a", "b"], None)


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"limit": "0"}, "?limit"),
        ({"limit": "7 "}, "?limit"),
        ({"nope": "1"}, "?nope"),
        ({"since": "\x00"}, "?since"),
        ({"label": "\ud800"}, "?label/0"),
    ],
)
def test_a_bad_parameter_is_named(given: dict[str, str], pointer: str) -> None:
    """With the code "invalid"."""
    with pytest.raises(Rejected) as refused:
        decoding.decode_query(MultiDict(given), _Query)
    assert (refused.value.code, refused.value.pointer) == ("invalid", pointer)


@pytest.mark.parametrize("text", ["-1", "1.5", "x", "", " 1", "²", "9" * 20, "9223372036854775808"])
def test_a_position_is_a_whole_number(text: str) -> None:
    """Anything else in the header is refused, also digits of other scripts and what no log can reach."""
    request = make_mocked_request("GET", "/", headers={"Nightdesk-Position": text})
    with pytest.raises(Rejected):
        decoding.position_header(request)


@pytest.mark.parametrize(
    ("text", "version"), [('"17"', 17), ('W/"17"', 17), ("*", None), (None, None)]
)
def test_if_match_is_an_etag_of_ours(text: str | None, version: int | None) -> None:
    """Or none, or any."""
    headers = {} if text is None else {"If-Match": text}
    assert decoding.if_match(make_mocked_request("PATCH", "/", headers=headers)) == version


@pytest.mark.parametrize("text", ["17", '"x"', '"1", "2"', "", "yesterday"])
def test_another_etag_never_matches(text: str) -> None:
    """What is no version of ours is a version that the document does not have."""
    request = make_mocked_request("PATCH", "/", headers={"If-Match": text})
    with pytest.raises(Rejected) as refused:
        decoding.if_match(request)
    assert refused.value.code == "version_mismatch"


@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer", "Bearer  ", "bearer"])
def test_a_bearer_token_is_needed(header: str) -> None:
    """Whatever else stands there."""
    request = make_mocked_request("GET", "/", headers={"Authorization": header})
    with pytest.raises(Rejected) as refused:
        decoding.bearer(request)
    assert refused.value.code == "unauthorized"


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        (None, 0),
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2026-03-01T03:00:00.123Z", 1_772_334_000_123_000_000),
    ],
)
def test_times_have_an_offset(text: str | None, ns: int) -> None:
    """RFC 3339 to nanoseconds."""
    assert ns_of(text, pointer="/until") == ns


@pytest.mark.parametrize("text", ["", "now", "2026-03-01T03:00:00", "1969-01-01T00:00:00Z", "0"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Also a time without its offset: nobody knows when that is."""
    with pytest.raises(Rejected):
        ns_of(text, pointer="/until")
