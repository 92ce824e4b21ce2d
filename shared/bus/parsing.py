"""The inside of nats-py's parser, for deliveries to raw subscriptions: two regular expressions, a dictionary and two
coroutines a delivery cost more than folding it. Everything else is left to nats-py.

Format: `MSG` and `HMSG` of the NATS client protocol, as nats-server writes them (one space between arguments).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

Sink = Callable[[bytes, bytes, bytes, bytes], None]
"""Called in the read loop with subject, reply, payload and raw headers; must not block or raise."""

_WITH_REPLY = 5


class RawParser(Parser):
    """`sinks`: raw subscriptions by their number. A part of a delivery waits in `buf` for the rest of it."""

    def __init__(self, client: Any, sinks: Mapping[int, Sink]) -> None:
        super().__init__(client)
        self._sinks = sinks

    async def parse(self, data: bytes = b"") -> None:
        """Take what came; raw deliveries first, as far as they stand at the beginning."""
        if self.state == AWAITING_CONTROL_LINE and self._sinks:
            if self.buf:
                data = bytes(self.buf) + data
                self.buf.clear()
            taken, is_partial = take_raw(data, self._sinks)
            if taken:
                data = data[taken:]
            if is_partial:
                self.buf.extend(data)
                return
        await super().parse(data)


def take_raw(data: bytes, sinks: Mapping[int, Sink]) -> tuple[int, bool]:
    """Hand over the deliveries at the beginning of `data`: how many bytes they were, and whether what follows is a
    part of one more."""
    at = 0
    end_of_data = len(data)
    find = data.find
    while at < end_of_data:
        line_end = find(b"\r\n", at)
        if line_end < 0:
            return at, data.startswith((b"MSG ", b"HMSG "), at)
        arguments = data[at:line_end].split(b" ")
        head = arguments[0]
        try:
            if head == b"HMSG":
                header_bytes = int(arguments[-2])
                has_reply = len(arguments) > _WITH_REPLY
            elif head == b"MSG":
                header_bytes = 0
                has_reply = len(arguments) == _WITH_REPLY
            else:
                return at, False
            sink = sinks.get(int(arguments[2]))
            begin = line_end + 2
            end = begin + int(arguments[-1])
        except (ValueError, IndexError):
            return at, False
        if sink is None:
            return at, False
        if end + 2 > end_of_data:
            return at, True
        body = begin + header_bytes
        sink(arguments[1], arguments[3] if has_reply else b"", data[body:end], data[begin:body])
        at = end + 2
    return at, False
