"""A bare aiohttp WebSocket echo server on uvloop, compression off: `python -m bench.echo PORT`. It prints a line when
it listens."""

from __future__ import annotations

import asyncio
import resource
import sys

import uvloop
from aiohttp import WSMsgType, web

_PING_S = 25.0


async def _echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False, heartbeat=_PING_S, protocols=("nightdesk.v1",))
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
    return socket


async def _serve(port: int) -> None:
    application = web.Application()
    application.router.add_get("/ws", _echo)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    print("listening", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    _, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_hard, _hard))
    uvloop.run(_serve(int(sys.argv[1])))
