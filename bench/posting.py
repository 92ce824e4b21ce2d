"""The same messages by HTTP: a connection a visitor, requests written and answers read by hand."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import msgspec

from bench.pacing import until
from bench.site import Meter
from bench.texts import new_text

if TYPE_CHECKING:
    from bench.ingest import Ingest, Turn

_ANSWER_S = 30.0
_AT_ONCE = 64
_VISITORS = 500
_LENGTH = b"content-length:"


class _Answer(msgspec.Struct, frozen=True):
    position: int = 0


_answer_of = msgspec.json.Decoder(_Answer).decode


class Post(asyncio.Protocol):
    """One kept-alive connection; `on_answer(number, status, body)`."""

    def __init__(self, number: int, on_answer: Callable[[int, int, bytes], None]) -> None:
        self.number = number
        self._on_answer = on_answer
        self._buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Whole answers."""
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            at = head.lower().find(_LENGTH)
            size = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
            if len(rest) < size:
                return
            self._buffer = rest[size:]
            self._on_answer(self.number, int(head[9:12]), rest[:size])


class Poster:
    """Posts for visitors of a measurement of B1."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._posts: list[Post] = []
        self._numbers = itertools.count()
        self._sent: dict[int, int] = {}
        self._answered: Callable[[int, int, bytes], None] = lambda _writer, _status, _body: None

    async def each_waits(self) -> Turn:
        """Every visitor posts the next message when the last was answered."""
        ingest = self._ingest
        await self._open()
        turn = await ingest.begin()
        end = time.perf_counter() + ingest.seconds
        meter, began = Meter(ingest.site), time.perf_counter()

        def answered(writer: int, status: int, body: bytes) -> None:
            number, now = self._sent[writer], time.perf_counter()
            if status == 201:
                turn.accepted[number] = _answer_of(body).position
                turn.latencies_s.append(now - turn.sent[number][2])
            else:
                turn.refused += 1
                turn.words.add(f"{status} {body[:200].decode(errors='replace')}")
            if now < end:
                self._send(turn, writer, now)

        self._answered = answered
        for writer in range(len(self._posts)):
            self._send(turn, writer, began)
        await until(lambda: time.perf_counter() >= end and ingest.is_answered(turn), _ANSWER_S)
        await ingest.finish(turn, meter, began)
        for post in self._posts:
            if post.transport is not None:
                post.transport.abort()
        return turn

    async def _open(self) -> None:
        places = asyncio.Semaphore(_AT_ONCE)
        loop = asyncio.get_running_loop()

        async def connect(number: int) -> Post:
            async with places:
                _, post = await loop.create_connection(
                    lambda: Post(number, self._take),
                    "127.0.0.1",
                    self._ingest.site.gateway_port,
                )
                return post

        count = min(_VISITORS, len(self._ingest.tokens))
        self._posts = await asyncio.gather(*(connect(number) for number in range(count)))

    def _take(self, number: int, status: int, body: bytes) -> None:
        self._answered(number, status, body)

    def _send(self, turn: Turn, writer: int, due: float) -> None:
        conversation_id = self._ingest.writers.conversations[writer]
        message_id, text = new_text()
        self._sent[writer] = len(turn.sent)
        turn.sent.append((conversation_id, message_id, due))
        body = f'{{"message_id":"{message_id}","text":"{text}"}}'.encode()
        transport = self._posts[writer].transport
        if transport is not None:
            transport.write(
                f"POST /api/v1/conversations/{conversation_id}/messages HTTP/1.1\r\n"
                f"Host: localhost\r\nAuthorization: Bearer {self._ingest.tokens[writer]}\r\n"
                f"Content-Type: application/json\r\nIdempotency-Key: {message_id}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
