"""Drained messages go out as the same JSON, byte for byte, that a view of them is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.lines import Rights, Shown, Writing
from services.gateway.tokens import Principal
from services.gateway.views import Views
from shared import crypto
from shared.codec import to_json
from shared.directory import Directory
from shared.ids import AccountId
from shared.packed import Line, entry_of, id_bytes

_ACCOUNT = AccountId("0190163d-8694-739b-aea5-966c26f8ad90")
_ANN = "0190163d-8694-739b-aea5-966c26f8ad91"
_VISITOR = "0190163d-8694-739b-aea5-966c26f8ad92"
_TALK = "0190163d-8694-739b-aea5-966c26f8ad93"
_MESSAGE = "0190163d-8694-739b-aea5-966c26f8ad94"
_DEVICE = "0190163d-8694-739b-aea5-966c26f8ad95"
_NOON_NS = 1_750_000_000_000_000_000
_MASTER = crypto.MasterKey(bytes(32))
_RING = crypto.KeyRing(_MASTER)
_RING.add(crypto.new_stored_key(_MASTER, _ACCOUNT, "data"))
_KEYS: Any = SimpleNamespace(ring=_RING)
_DIRECTORY: Any = SimpleNamespace(state=Directory())
_VIEWS = Views(_KEYS, _DIRECTORY)
_QUIET = Rights(floor_ns=2**62, floor_position=0, until=None)


def _line(
    text: str = "hello", *, position: int = 9, who: str = f"message visitor {_VISITOR} text"
) -> Line:
    body = _RING.seal(_ACCOUNT, text.encode(), of=_MESSAGE, part="body")
    return _line_of(body, position=position, who=who)


def _line_of(body: bytes, *, position: int = 9, who: str) -> Line:
    talk, message, size = id_bytes(_TALK), id_bytes(_MESSAGE), len(body)
    at_ns, name = _NOON_NS + position * 1_000_000, _MESSAGE.encode()
    return (position, 4, at_ns, 3, 77, talk, message, name, size, who.encode(), body)


def _viewer(kind: Any) -> Principal:
    person = _ANN if kind == "agent" else _VISITOR
    return Principal(kind=kind, id=person, account_id=_ACCOUNT, role=kind)


def _written(line: Line, viewer: Principal, *, held: bool = True) -> bytes:
    writing = Writing(_VIEWS, viewer, {id_bytes(_TALK)} if held else set(), _QUIET)
    return dict(writing.write([line]))[line[0]]


def _viewed(line: Line, viewer: Principal, *, held: bool = True) -> bytes:
    ids = {id_bytes(_TALK)} if held else set()
    entry = entry_of(line, owner_id=viewer.id, account_id=_ACCOUNT, held=ids)
    return to_json(_VIEWS.entry(entry, viewer))


@pytest.mark.parametrize("kind", ["agent", "visitor"])
@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize(
    "who",
    [
        f"message visitor {_VISITOR} text",
        f"message agent {_ANN} text",
        f"message agent {_ANN} text\t  0 {_DEVICE}  ",
        f"message visitor {_VISITOR} text\t  0 {_DEVICE}  ",
        "message system  \t  0   u",
        f"message visitor {_VISITOR} text\t  0  {_DEVICE} i",
        f"message agent {_ANN} text\t  0   ac",
        f"message_edited visitor {_VISITOR} text\t5 {_NOON_NS} 2   ",
        f"message_retracted visitor {_VISITOR} text\t5 {_NOON_NS} 0   r",
    ],
)
def test_a_line_is_written_as_its_view(kind: str, held: bool, who: str) -> None:
    """Whoever reads, whoever wrote, edited, retracted or doubted: the client sees no difference from live delivery."""
    line, viewer = _line(who=who), _viewer(kind)
    assert _written(line, viewer, held=held) == _viewed(line, viewer, held=held)


@given(text=st.text(max_size=60))
def test_any_text_is_written_as_in_its_view(text: str) -> None:
    """Quotes, line breaks, control characters, other scripts."""
    line, viewer = _line(text), _viewer("agent")
    assert _written(line, viewer) == _viewed(line, viewer)


@pytest.mark.parametrize("body", [b"", b"\x01" + bytes(60), b"\x07" + bytes(60), b"\x01short"])
def test_what_no_key_opens_is_null(body: bytes) -> None:
    """A shredded key, an unknown version, a cut ciphertext: the entry comes without its text, the inbox goes on."""
    line, viewer = _line_of(body, who=f"message visitor {_VISITOR} text"), _viewer("agent")
    assert b'"text":null' in _written(line, viewer)
    assert _written(line, viewer) == _viewed(line, viewer)


def test_a_text_opens_only_where_it_was_sealed() -> None:
    """A body that lies under another message's id is not shown."""
    line = _line("secret")
    moved: Line = (*line[:6], id_bytes(_DEVICE), _DEVICE.encode(), *line[8:])
    assert b'"text":null' in _written(moved, _viewer("agent"))


def test_alerts_are_for_what_is_new_and_of_others() -> None:
    """Too old, heard already, or one's own: no alert; what the reader wrote is told apart for the book."""
    own = f"message agent {_ANN} text"
    edited = f"message_edited visitor {_VISITOR} text\t5 {_NOON_NS} 2   "
    lines = [
        _line(position=1),
        _line(position=5),
        _line(position=8),
        _line(position=9, who=own),
        _line(position=10, who=edited),
    ]
    rights = Rights(floor_ns=_NOON_NS + 3_000_000, floor_position=6, until="2026-01-01T00:00:05Z")
    writing = Writing(_VIEWS, _viewer("agent"), {id_bytes(_TALK)}, rights)
    loud = b'"alert":true,"alert_until":"2026-01-01T00:00:05Z"'
    assert [p for p, encoded in writing.write(lines) if loud in encoded] == [8]
    shown: list[Shown] = writing.shown
    assert [(x.position, x.is_own) for x in shown] == [(8, False), (9, True)]
    left = Writing(_VIEWS, _viewer("agent"), set(), rights)
    assert not [p for p, encoded in left.write(lines) if loud in encoded]
    unheard = msgspec.structs.replace(rights, floor_ns=_NOON_NS + 8_000_001, floor_position=0)
    late = Writing(_VIEWS, _viewer("agent"), {id_bytes(_TALK)}, unheard)
    assert not [p for p, encoded in late.write(lines) if loud in encoded]
