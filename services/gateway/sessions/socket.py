"""Frames as they are written to a transport (RFC 6455, 5.2): whole and unmasked.

Writing them here, and not through a library that waits when a client reads slowly, lets one task serve thousands of
sessions."""

from __future__ import annotations

from shared.wire.frames import CLOSE_CODES


def text_frame(payload: bytes) -> bytes:
    """A whole unmasked text frame (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return b"\x81" + size.to_bytes(1, "big") + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def pong_frame(payload: bytes) -> bytes:
    """The answer to a ping of the protocol, at most 125 bytes like it."""
    return b"\x8a" + len(payload).to_bytes(1, "big") + payload


def close_frame(code: int) -> bytes:
    """A close frame with one of our codes and its name."""
    body = code.to_bytes(2, "big") + CLOSE_CODES[code][0].encode()
    return b"\x88" + len(body).to_bytes(1, "big") + body
