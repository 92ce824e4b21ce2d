"""What the bus and the server say to each other, as pure functions: frames, acks, headers, times.

Formats: the NATS client protocol (HPUB) and the atomic batch headers of ADR-50, checked on
nats-server 2.15.1.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence

import msgspec

HEADER_ALLOWANCE_BYTES = 512
"""Room for our headers inside the server's payload limit, which counts headers too."""


class ApiError(msgspec.Struct, frozen=True):
    """The error member of a JetStream answer."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class PubAck(msgspec.Struct, frozen=True):
    """JetStream's answer to a publish or to the commit of a batch."""

    stream: str = ""
    seq: int = 0
    batch: str = ""
    count: int = 0
    duplicate: bool = False
    error: ApiError | None = None

    def positions(self, stream: str, count: int) -> list[int] | None:
        """The positions of the `count` entries, or None unless this is an unmistakable yes.

        `seq` is the last entry's, so entry i (from 0) lies at `seq - count + 1 + i`.
        """
        said = self.count if self.batch else 1
        if self.error is not None or self.duplicate or self.stream != stream or said != count:
            return None
        return list(range(self.seq - count + 1, self.seq + 1)) if self.seq >= count else None


NO_RESPONDERS = PubAck(error=ApiError(code=503, err_code=0, description="no responders"))
NO_SPACE = 10077
WRONG_LAST_SEQUENCE = 10071
SUBJECT_IN_FLIGHT = frozenset({10163, 10164})
BATCH_LOST = frozenset({10176, 10210})
"""Errors that say: this attempt's batch was dropped, nothing is stored, begin a new one."""
MESSAGE_TOO_LARGE = 10054

_ACK = msgspec.json.Decoder(PubAck)


def parse_ack(payload: bytes, headers: bytes) -> PubAck | None:
    """Decode an ack; None if it can't be understood (then the outcome stays unknown)."""
    if not payload and status_of(headers) == 503:
        return NO_RESPONDERS
    try:
        return _ACK.decode(payload)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


def plain_frame(subject: str, reply: str, payload: bytes, header: str = "") -> bytes:
    """One publish; `header` holds whole header lines, each ended by CR LF."""
    if not header:
        return b"PUB %s %s %d\r\n%b\r\n" % (
            subject.encode(),
            reply.encode(),
            len(payload),
            payload,
        )
    block = b"NATS/1.0\r\n" + header.encode() + b"\r\n"
    return b"HPUB %s %s %d %d\r\n%b%b\r\n" % (
        subject.encode(),
        reply.encode(),
        len(block),
        len(block) + len(payload),
        block,
        payload,
    )


def batch_frames(
    entries: Sequence[tuple[str, bytes]], *, batch_id: str, reply: str, first_header: str = ""
) -> bytes:
    """One atomic batch (ADR-50): only the last entry, which commits, asks for an answer."""
    last = len(entries)
    head = b"NATS/1.0\r\nNats-Batch-Id: " + batch_id.encode() + b"\r\nNats-Batch-Sequence: %d\r\n"
    frames = []
    for number, (subject, payload) in enumerate(entries, start=1):
        if number in (1, last):
            block = head % number + first_header.encode() * (number == 1)
            block += b"Nats-Batch-Commit: 1\r\n" * (number == last) + b"\r\n"
        else:
            block = head % number + b"\r\n"
        frames.append(
            b"HPUB %b %b %d %d\r\n%b%b\r\n"
            % (
                subject.encode(),
                reply.encode() if number == last else b"",
                len(block),
                len(block) + len(payload),
                block,
                payload,
            )
        )
    return b"".join(frames)


def status_of(headers: bytes) -> int:
    """The inline status of a control message (100, 404, 408, 409, 503), 0 if there is none."""
    line = headers[9:12]
    return int(line) if headers[:9] == b"NATS/1.0 " and line.isdigit() else 0


def header_number(headers: bytes, name: bytes) -> int | None:
    """A header's value as a number, None if it is absent or no number."""
    found = re.search(rb"(?im)^" + re.escape(name) + rb":\s*(\d+)\s*$", headers)
    return int(found.group(1)) if found else None


_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


def time_ns(text: str) -> int:
    """RFC 3339 with up to nine decimals, as nanoseconds since 1970. ValueError: not such a time."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("not an RFC 3339 time")
    year, month, day, hour, minute, second = (int(found.group(i)) for i in range(1, 7))
    seconds = calendar.timegm((year, month, day, hour, minute, second))
    zone = found.group(8)
    if zone != "Z":
        offset_s = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
        seconds -= offset_s if zone[0] == "+" else -offset_s
    return seconds * 1_000_000_000 + int((found.group(7) or "").ljust(9, "0"))
