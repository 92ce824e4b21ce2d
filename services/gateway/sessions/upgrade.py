"""The beginning of a WebSocket: a request head read, its answer made (RFC 6455, section 4). Pure.

Only a head that is exactly an upgrade is taken; whatever else asks for something is aiohttp's to answer."""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec

from shared.wire.frames import SUBPROTOCOL

MOST_HEAD_BYTES = 16_384
_PATHS = (b"GET /ws HTTP/1.1", b"GET /ws?")
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
AWAY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
"""What a stopping gateway says to whoever comes."""


class Upgrade(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody wants a WebSocket. `origin`: which site's page it is, if a browser says so."""

    key: bytes
    origin: str | None
    knows_us: bool

    @property
    def answer(self) -> bytes:
        """The head that turns the connection into a WebSocket."""
        proof = base64.b64encode(hashlib.sha1(self.key + _MAGIC, usedforsecurity=False).digest())
        named = b"Sec-WebSocket-Protocol: %b\r\n" % SUBPROTOCOL.encode() if self.knows_us else b""
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (proof, named)
        )


def may_become_upgrade(start: bytes) -> bool:
    """Whether what came so far may be the beginning of a head for us."""
    return any(start.startswith(path) or path.startswith(start) for path in _PATHS)


def read_upgrade(head: bytes) -> Upgrade | None:
    """The upgrade in a whole head (without its empty line); None if it is anything else."""
    line, *rest = head.split(b"\r\n")
    if not line.startswith(_PATHS) or not line.endswith(b" HTTP/1.1") or line.count(b" ") != 2:
        return None
    fields: dict[bytes, bytes] = {}
    for each in rest:
        name, colon, text = each.partition(b":")
        lowered = name.lower()
        if not colon or name != name.strip() or (lowered in fields and lowered in _SINGLE):
            return None
        fields[lowered] = (
            fields[lowered] + b"," + text.strip() if lowered in fields else text.strip()
        )
    wants = (
        fields.get(b"upgrade", b"").lower() == b"websocket"
        and b"upgrade" in _words(fields.get(b"connection", b"").lower())
        and fields.get(b"sec-websocket-version") == b"13"
        and b"content-length" not in fields
        and b"transfer-encoding" not in fields
    )
    key = fields.get(b"sec-websocket-key", b"")
    if not wants or not _is_key(key):
        return None
    origin = fields.get(b"origin")
    return Upgrade(
        key=key,
        origin=None if origin is None else origin.decode("latin-1"),
        knows_us=SUBPROTOCOL.encode() in _words(fields.get(b"sec-websocket-protocol", b"")),
    )


_SINGLE = frozenset(
    {b"host", b"upgrade", b"sec-websocket-key", b"sec-websocket-version", b"origin"}
)


def _words(field: bytes) -> list[bytes]:
    return [word.strip() for word in field.split(b",")]


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
