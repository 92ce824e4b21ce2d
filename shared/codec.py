"""Bytes and back. Events are MessagePack in the log (ciphertext stays raw bytes); the wire to clients is JSON.

Reading events ignores unknown fields, so an old service reads a newer event; requests from outside forbid them.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from shared.errors import Malformed, Rejected
from shared.events import Envelope, Event

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_events: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)
_envelopes = msgspec.msgpack.Decoder(Envelope)
_json = msgspec.json.Encoder()

MAX_DEPTH = 32
"""Deepest nesting of JSON that is looked at; nothing that clients send needs more than a handful."""


def encode_event(event: Event) -> bytes:
    """The event as it lies in the log."""
    return _encoder.encode(event)


def decode_event(payload: bytes) -> Event:
    """The event in a delivery. Raises `Malformed` for bytes that are no event this release knows."""
    try:
        return _events.decode(payload)
    except (msgspec.DecodeError, RecursionError) as err:
        raise Malformed(f"not an event: {type(err).__name__}") from err


def decode_envelope(payload: bytes) -> Envelope:
    """The outside of an event whose inside may be unreadable. Raises `Malformed`."""
    try:
        return _envelopes.decode(payload)
    except (msgspec.DecodeError, RecursionError) as err:
        raise Malformed(f"no envelope: {type(err).__name__}") from err


def pack(value: Any) -> bytes:
    """MessagePack of a struct that passes between our own processes (queries, hints, commands)."""
    return _encoder.encode(value)


def unpack(payload: bytes, kind: type[T]) -> T:
    """The struct in a payload from one of our own processes. Raises `Malformed`."""
    try:
        return msgspec.msgpack.decode(payload, type=kind)
    except (msgspec.DecodeError, RecursionError) as err:
        raise Malformed(f"not a {kind!r}: {type(err).__name__}") from err


def to_json(value: Any) -> bytes:
    """JSON for clients."""
    return _json.encode(value)


def from_json(payload: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """What a client sent. Raises `Rejected("invalid")` with the path of the fault, never with its content."""
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as err:
        raise Rejected("invalid", str(err)[:300]) from err
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise Rejected("malformed", "the body is not valid JSON in UTF-8") from err
