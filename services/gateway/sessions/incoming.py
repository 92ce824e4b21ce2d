"""Frames out of the bytes that a client sends (RFC 6455, section 5): masked, whole or in parts, at most 64 KiB. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from shared.wire.frames import MAX_FRAME_BYTES

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_MOST_CONTROL_BYTES = 125
_BAD, _TOO_LARGE = 3500, 3503


class Fault(Exception):
    """The bytes are no frames of ours; `code` is what the connection is closed with."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Incoming:
    """Of one connection; keeps nothing but what is not whole yet."""

    __slots__ = ("_parts", "_rest")

    def __init__(self) -> None:
        self._rest: bytearray | None = None
        self._parts: bytearray | None = None

    def whole(self, data: bytes) -> bytes | None:
        """The payload if `data` is just one whole text message, as nearly always; None leaves it to `feed`."""
        if self._rest is not None or self._parts is not None or len(data) < 8 or data[0] != 0x81:
            return None
        size, start = data[1] - 0x80, 6
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 8
        elif size == 127:
            return None
        if len(data) != start + size:
            return None
        return _unmasked(data[start:], data[start - 4 : start])

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(opcode, payload) of every message and control frame that is complete now. Raises `Fault`."""
        buffer: bytes | bytearray = data
        if self._rest is not None:
            self._rest += data
            buffer = self._rest
        at, end = 0, len(buffer)
        while end - at >= 2:
            first, start, size = buffer[at], at + 6, buffer[at + 1] & 0x7F
            if not buffer[at + 1] & 0x80:
                raise Fault(_BAD)
            if size >= 126:
                width = 2 if size == 126 else 8
                start += width
                size = int.from_bytes(buffer[at + 2 : at + 2 + width], "big")
            if size > MAX_FRAME_BYTES and end >= start:
                raise Fault(_TOO_LARGE)
            if end < start + size:
                break
            payload = _unmasked(
                bytes(buffer[start : start + size]), bytes(buffer[start - 4 : start])
            )
            at = start + size
            found = self._frame(first, payload)
            if found is not None:
                yield found
        self._rest = bytearray(buffer[at:]) if at < end else None

    def _frame(self, first: int, payload: bytes) -> tuple[int, bytes] | None:
        """A frame; None for a part of a message that goes on."""
        opcode, is_last = first & 0x0F, bool(first & 0x80)
        if first & 0x70:
            raise Fault(_BAD)
        if opcode >= CLOSE:
            if opcode > PONG or not is_last or len(payload) > _MOST_CONTROL_BYTES:
                raise Fault(_BAD)
            return opcode, payload
        if opcode == BINARY or opcode > BINARY:
            raise Fault(_BAD)
        if (opcode == TEXT) == (self._parts is not None):
            # A message begins while another is not over, or one goes on that never began.
            raise Fault(_BAD)
        if opcode == TEXT and is_last:
            return TEXT, payload
        return self._part(payload, is_last=is_last)

    def _part(self, payload: bytes, *, is_last: bool) -> tuple[int, bytes] | None:
        parts = self._parts if self._parts is not None else bytearray()
        parts += payload
        if len(parts) > MAX_FRAME_BYTES:
            raise Fault(_TOO_LARGE)
        self._parts = None if is_last else parts
        return (TEXT, bytes(parts)) if is_last else None


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    if not size or mask == b"\0\0\0\0":
        return payload
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(
        size, "little"
    )
