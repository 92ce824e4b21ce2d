"""The WebSocket itself: aiohttp reads, frames are written straight to the transport.

aiohttp's own `send_str` waits when a client reads slowly; delivery serves thousands of sessions from one task and
must never wait for one of them."""

from __future__ import annotations

from aiohttp import web

from shared.wire.frames import CLOSE_CODES, MAX_FRAME_BYTES, SUBPROTOCOL

_OUR_CODES = {1002: 3500, 1003: 3500, 1007: 3500, 1009: 3503}
_CLOSING_S = 2.0


class Socket(web.WebSocketResponse):
    """Tells clients our close codes where the protocol's parser would send its own (too large, not UTF-8, …)."""

    def __init__(self) -> None:
        super().__init__(
            timeout=_CLOSING_S,
            autoclose=False,
            autoping=False,
            protocols=(SUBPROTOCOL,),
            compress=False,
            max_msg_size=MAX_FRAME_BYTES,
            decode_text=False,
        )

    async def close(self, *, code: int = 1000, message: bytes = b"", drain: bool = True) -> bool:
        """Close with the code that our documents name."""
        code = _OUR_CODES.get(code, code)
        if code in CLOSE_CODES:
            message = CLOSE_CODES[code][0].encode()
        return await super().close(code=code, message=message, drain=drain)


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
