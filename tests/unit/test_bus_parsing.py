"""Raw deliveries are taken from the wire as nats-py takes them, however the bytes are cut."""

from __future__ import annotations

import asyncio

import pytest
from nats.protocol.parser import Parser

from shared.bus.parsing import RawParser

Seen = list[tuple[int, bytes, bytes, bytes, bytes]]

_HEADERS = b"NATS/1.0\r\nNats-Sequence: 3\r\n\r\n"
_BODY = b"MSG x 7 3\r\nHMSG inside a body\r\n"
_WIRE = b"".join(
    (
        b"PING\r\n",
        b"MSG log.a 7 $JS.ACK.1 %d\r\n%b\r\n" % (len(_BODY), _BODY),
        b"MSG log.a 7 0\r\n\r\n",
        b"HMSG log.b 7 $JS.ACK.2 %d %d\r\n%b%b\r\n"
        % (len(_HEADERS), len(_HEADERS) + len(_BODY), _HEADERS, _BODY),
        b"HMSG log.b 7 %d %d\r\n%b\r\n" % (len(_HEADERS), len(_HEADERS), _HEADERS),
        b"MSG other 8 reply 2\r\nhi\r\n",
        b"MSG log.a 7 $JS.ACK.3 2\r\nok\r\n",
        b"PONG\r\n",
        b"MSG log.a 7 $JS.ACK.4 1\r\nz\r\n",
    )
)


class _Client:
    """What nats-py's parser calls."""

    def __init__(self) -> None:
        self.seen: Seen = []
        self.pings: list[str] = []

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        self.seen.append((sid, subject, reply, data, headers or b""))

    async def _process_ping(self) -> None:
        self.pings.append("ping")

    async def _process_pong(self) -> None:
        self.pings.append("pong")


async def _parse(parser: Parser, chunk: int) -> None:
    for begin in range(0, len(_WIRE), chunk):
        await parser.parse(_WIRE[begin : begin + chunk])


@pytest.mark.parametrize("chunk", [*range(1, 60), 120, len(_WIRE)])
def test_the_same_as_the_client_library_however_it_is_cut(chunk: int) -> None:
    """Every delivery comes once, in order, whole, with its reply and headers; what is not raw is left alone."""
    plain, ours = _Client(), _Client()
    asyncio.run(_parse(Parser(plain), len(_WIRE)))

    def sink(subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        ours.seen.append((7, subject, reply, data, headers))

    asyncio.run(_parse(RawParser(ours, {7: sink}), chunk))
    assert ours.seen == plain.seen
    assert ours.pings == plain.pings
