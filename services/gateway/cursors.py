"""Opaque cursors: where a device stands in an inbox. Signed, so that a made-up one is told from ours; pure.

A cursor names its inbox and the epoch of the numbers; one of another inbox or epoch is of no use."""

from __future__ import annotations

import base64
import binascii
import hmac

import msgspec

from shared.crypto import Keyed
from shared.ids import Position

_TAG_BYTES = 10
_MOST_CHARS = 512


class Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """`owner_id`: the contact or agent whose inbox it is."""

    owner_id: str
    epoch: str
    position: Position


class Cursors:
    """Writes and reads cursors with one key."""

    def __init__(self, key: bytes) -> None:
        self._keyed = Keyed(key)

    def encode(self, owner_id: str, epoch: str, position: Position) -> str:
        """The cursor as clients keep it."""
        body = msgspec.msgpack.encode(Cursor(owner_id, epoch, position))
        return base64.urlsafe_b64encode(body + self._tag(body)).rstrip(b"=").decode()

    def decode(self, text: str) -> Cursor | None:
        """The cursor, or None for anything that this installation did not write."""
        if len(text) > _MOST_CHARS:
            return None
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            body, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
            if not hmac.compare_digest(tag, self._tag(body)):
                return None
            return msgspec.msgpack.decode(body, type=Cursor)
        except (binascii.Error, ValueError, msgspec.DecodeError):
            return None

    def _tag(self, body: bytes) -> bytes:
        return self._keyed.tag(body)[:_TAG_BYTES]
