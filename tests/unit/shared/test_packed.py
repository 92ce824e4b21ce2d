"""Pages of an inbox as bytes: read as they were written, or not at all."""

from __future__ import annotations

import struct

import pytest

from shared.errors import Malformed
from shared.packed import entry_of, id_bytes, ids_in, sizes, split, told, until

_TALK = "0190163d-8694-739b-aea5-966c26f8ad93"
_MESSAGE = "0190163d-8694-739b-aea5-966c26f8ad94"
_DEVICE = "0190163d-8694-739b-aea5-966c26f8ad95"


def _line(position: int, body: bytes, who: bytes = b"message visitor v text") -> bytes:
    """As PostgreSQL's send functions write it: big-endian, sizes before the body."""
    numbers = struct.pack(">qqqqq", position, position - 1, 1000 + position, 3, 0)
    ids = id_bytes(_TALK) + id_bytes(_MESSAGE) + _MESSAGE.encode()
    return numbers + ids + struct.pack(">i", len(body)) + who + b"\n" + body


def test_lines_come_in_order_with_their_bodies() -> None:
    """Whatever is in a ciphertext, line breaks too, and in whatever order the rows were joined."""
    lines = split(_line(9, b"\n\nx\n") + _line(4, b"") + _line(7, bytes(300)))
    assert [(line[0], line[10]) for line in lines] == [(4, b""), (7, bytes(300)), (9, b"\n\nx\n")]


@pytest.mark.parametrize("cut", [1, 60, 118, -1])
def test_a_page_that_is_cut_off_is_refused(cut: int) -> None:
    """Never fewer messages than there were, nor half of one."""
    with pytest.raises(Malformed):
        split((_line(4, b"abc") + _line(5, b"defg"))[:cut])


def test_a_page_is_shortened_by_whole_lines() -> None:
    """What does not fit an answer is left out from the end; the sizes say what does."""
    packed = _line(4, b"abc") + _line(5, b"defg") + _line(6, b"")
    assert until(packed, 5) == _line(4, b"abc") + _line(5, b"defg")
    assert sizes(packed) == {
        4: len(_line(4, b"abc")),
        5: len(_line(5, b"defg")),
        6: len(_line(6, b"")),
    }


def test_what_is_special_about_a_message_is_read() -> None:
    """An edit keeps the place of its message, and who may see the device is told which."""
    who = b"message_edited agent a text\t3 99 2 %b  ac" % _DEVICE.encode()
    entry = entry_of(split(_line(9, b"x", who))[0], owner_id="o", account_id="a", held=set())  # type: ignore[arg-type]
    row = entry.message
    assert row is not None
    assert (entry.position, row.position, row.at_ns, row.revision) == (9, 3, 99, 2)
    assert (row.device_id, row.automatic, row.crossed, row.retracted) == (
        _DEVICE,
        True,
        True,
        False,
    )
    assert not entry.held
    assert ids_in(id_bytes(_TALK) + id_bytes(_DEVICE)) == {id_bytes(_TALK), id_bytes(_DEVICE)}


@pytest.mark.parametrize("who", [b"message", b"message a b c\t1", b"message a b c\tx y z 1 2 3"])
def test_an_author_that_is_none_is_refused(who: bytes) -> None:
    """Bytes of another release are no message of nobody."""
    with pytest.raises(Malformed):
        told(who)
