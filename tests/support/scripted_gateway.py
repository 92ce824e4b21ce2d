"""A gateway whose every frame the test decides: for what a client does when the real one misbehaves or is slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest_asyncio
from aiohttp import WSMsgType, web

WAIT_S = 60.0
AGENT = {"kind": "agent", "id": "a1"}


class Session:
    """One connection of the client, after its hello."""

    def __init__(self, ws: web.WebSocketResponse, hello: dict[str, Any]) -> None:
        self._ws = ws
        self._frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.hello = hello
        self.ended = asyncio.Event()

    async def welcome(self, recovered: bool | None = True, **fields: object) -> None:
        await self.say(op="welcome", connection=1, you=AGENT, recovered=recovered, **fields)

    async def say(self, **frame: object) -> None:
        await self._ws.send_str(msgspec.json.encode(frame).decode())

    async def entries(self, *entries: dict[str, Any], cursor: str = "c") -> None:
        await self.say(op="entries", entries=list(entries), cursor=cursor, current=True)

    async def frame(self) -> dict[str, Any]:
        """The next frame that is no answer to a ping."""
        return await asyncio.wait_for(self._frames.get(), WAIT_S)

    @property
    def is_quiet(self) -> bool:
        """Whether the client has said nothing that the test has not looked at."""
        return self._frames.empty()

    async def close(self, code: int) -> None:
        await self._ws.close(code=code)

    async def pump(self) -> None:
        async for message in self._ws:
            if message.type is WSMsgType.TEXT and message.data != "{}":
                self._frames.put_nowait(msgspec.json.decode(message.data))
        self.ended.set()


class ScriptedGateway:
    """`session()` is the next connection; `rest` maps "GET /path" to a status and a body."""

    def __init__(self) -> None:
        self._sessions: asyncio.Queue[Session] = asyncio.Queue()
        self.rest: dict[str, list[tuple[int, object]]] = {}
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.refused_tokens: set[str] = set()
        """Whoever calls with one of these is told 401."""
        self.url = ""

    async def session(self) -> Session:
        return await asyncio.wait_for(self._sessions.get(), WAIT_S)

    def answer(self, call: str, *answers: tuple[int, object]) -> None:
        """The answers to a call, the last one for ever."""
        self.rest[call] = list(answers)

    async def serve_socket(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(protocols=("nightdesk.v1",))
        await ws.prepare(request)
        session = Session(ws, await ws.receive_json(timeout=WAIT_S))
        self._sessions.put_nowait(session)
        await session.pump()
        return ws

    async def serve_rest(self, request: web.Request) -> web.Response:
        call = f"{request.method} {request.path.removeprefix('/api/v1')}"
        self.calls.append((call, dict(request.query)))
        if request.headers.get("Authorization", "").removeprefix("Bearer ") in self.refused_tokens:
            return web.json_response({"code": "unauthorized"}, status=401)
        answers = self.rest.get(call, [(404, {"code": "not_found", "detail": call})])
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        return web.json_response(body, status=status)


@pytest_asyncio.fixture
async def scripted_gateway() -> AsyncIterator[ScriptedGateway]:
    """A scripted gateway on a free loopback port."""
    gateway = ScriptedGateway()
    app = web.Application()
    app.router.add_get("/ws", gateway.serve_socket)
    app.router.add_route("*", "/api/v1/{rest:.*}", gateway.serve_rest)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield gateway
    await runner.cleanup()


def message(seq: int, *, position: int = 0, conversation_id: str = "c1") -> dict[str, Any]:
    """A message as JSON."""
    return {
        "conversation_id": conversation_id,
        "message_id": f"{conversation_id}-m{seq}",
        "seq": seq,
        "position": position or seq,
        "at": "2026-01-01T00:00:00.000Z",
        "author": {"kind": "visitor", "id": "v1"},
        "text": f"text {seq}",
    }


def entry(position: int, prev: int, *, kind: str = "message", **fields: object) -> dict[str, Any]:
    """An inbox entry as JSON; a message unless said otherwise."""
    made: dict[str, Any] = {
        "position": position,
        "prev": prev,
        "at": "2026-01-01T00:00:00.000Z",
        "kind": kind,
        "conversation_id": "c1",
    }
    if kind == "message":
        made["message"] = message(position)
    return {**made, **fields}
