"""Bytes of clients into frames and heads, however they are cut."""

from __future__ import annotations

import itertools
import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.sessions.incoming import CLOSE, PING, TEXT, Fault, Incoming
from services.gateway.sessions.upgrade import may_become_upgrade, read_upgrade

HEAD = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: other, nightdesk.v1\r\nOrigin: https://shop.example"
)


def frame(payload: bytes, *, first: int = 0x81, is_masked: bool = True) -> bytes:
    """As a client writes it."""
    size = len(payload)
    bit = 0x80 if is_masked else 0
    if size < 126:
        head = bytes([first, bit | size])
    elif size < 65_536:
        head = bytes([first, bit | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, bit | 127]) + size.to_bytes(8, "big")
    if not is_masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))


def fed(incoming: Incoming, data: bytes, cuts: list[int]) -> list[tuple[int, bytes]]:
    """What comes of data that arrive in pieces."""
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(bounds)]
    return [found for piece in pieces if piece for found in incoming.feed(piece)]


@given(
    texts=st.lists(st.binary(max_size=300), max_size=6),
    cuts=st.lists(st.integers(min_value=0, max_value=10_000), max_size=8),
    parts=st.integers(min_value=1, max_value=4),
)
def test_texts_come_whole_however_they_are_cut(
    texts: list[bytes], cuts: list[int], parts: int
) -> None:
    """TCP cuts where it likes, clients may send a text in parts with pings between: each text comes once, whole, in
    order."""
    sent = b""
    for text in texts:
        step = len(text) // parts + 1
        pieces = [text[at : at + step] for at in range(0, max(1, len(text)), step)]
        for number, piece in enumerate(pieces):
            first = (0x01 if number == 0 else 0x00) | (0x80 if number == len(pieces) - 1 else 0)
            sent += frame(piece, first=first) + frame(b"p", first=0x89)
    found = fed(Incoming(), sent, cuts)
    assert [payload for opcode, payload in found if opcode == TEXT] == texts
    assert all(payload == b"p" for opcode, payload in found if opcode == PING)


def test_large_frames_are_unmasked() -> None:
    """The longer forms of a length, at their limits."""
    for size in (125, 126, 65_535, 65_536):
        payload = random.randbytes(size)
        assert list(Incoming().feed(frame(payload))) == [(TEXT, payload)]
    assert list(Incoming().feed(frame(b"\x03\xe8", first=0x88))) == [(CLOSE, b"\x03\xe8")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(b"x", is_masked=False), 3500),
        (frame(b"x", first=0xC1), 3500),
        (frame(b"x", first=0x82), 3500),
        (frame(b"x", first=0x83), 3500),
        (frame(b"x", first=0x80), 3500),
        (frame(b"x", first=0x01) + frame(b"y", first=0x81), 3500),
        (frame(b"x" * 126, first=0x89), 3500),
        (frame(b"x", first=0x09), 3500),
        (frame(b"x" * 65_537)[:14], 3503),
        (frame(b"x" * 40_000, first=0x01) + frame(b"x" * 40_000, first=0x80), 3503),
    ],
    # Masks are random, and processes that share the tests must agree on their names.
    ids=[
        "unmasked",
        "compressed",
        "binary",
        "reserved",
        "nothing to continue",
        "text in a text",
        "control frame too large",
        "control frame in parts",
        "frame too large",
        "message too large",
    ],
)
def test_bytes_that_are_no_frames_of_ours_end_the_connection(data: bytes, code: int) -> None:
    """Unmasked, compressed, binary, reserved, out of turn, too large a control frame, too large (before the payload
    came): the code says which, and nothing is taken."""
    with pytest.raises(Fault) as caught:
        list(Incoming().feed(data))
    assert caught.value.code == code


def test_an_upgrade_is_read() -> None:
    """As browsers and libraries write it, with the answer of RFC 6455, 1.3."""
    upgrade = read_upgrade(HEAD)
    assert upgrade is not None
    assert upgrade.origin == "https://shop.example"
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in upgrade.answer
    assert b"Sec-WebSocket-Protocol: nightdesk.v1\r\n" in upgrade.answer
    assert upgrade.answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"GET /ws ", b"GET /wsx "),
        (b"GET /ws ", b"POST /ws "),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"WebSocket\r\n", b"h2c\r\n"),
        (b"keep-alive, Upgrade", b"keep-alive"),
        (b"Version: 13", b"Version: 8"),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"c2hvcnQ="),
        (b"Host: x", b"Host: x\r\nContent-Length: 5"),
        (b"Host: x", b"Host: x\r\nTransfer-Encoding: chunked"),
        (b"Host: x", b"Host: x\r\nOrigin: https://other.example"),
    ],
)
def test_what_is_no_upgrade_is_left_to_others(old: bytes, new: bytes) -> None:
    """A head that says something else, or two things at once, is never taken for a WebSocket."""
    assert old in HEAD
    assert read_upgrade(HEAD.replace(old, new, 1)) is None


def test_heads_are_told_apart_early() -> None:
    """Other requests go on at once; what may still become an upgrade is waited for."""
    assert may_become_upgrade(b"GET /w")
    assert may_become_upgrade(b"GET /ws?x=1 HTTP")
    assert not may_become_upgrade(b"GET /api/v1/me")
    assert not may_become_upgrade(b"POST")
