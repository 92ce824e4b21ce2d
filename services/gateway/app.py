"""Wires the gateway: connections and guards, the shared parts, REST and WebSocket on one port, the tasks, the drain."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import Callable

from aiohttp import web

from services.gateway.access import Access
from services.gateway.admission import Admission, AdmissionSettings
from services.gateway.asking import Asking
from services.gateway.conditions import Conditions
from services.gateway.config import GatewayConfig
from services.gateway.directory import LiveDirectory
from services.gateway.drain import drain
from services.gateway.entrance import Entrance
from services.gateway.handlers import Handlers
from services.gateway.keyring import Keys
from services.gateway.limits import Limiter, limits_of
from services.gateway.live import Live, make_live
from services.gateway.notes import Notes
from services.gateway.parts import Parts
from services.gateway.presence import Presence
from services.gateway.proxies import Proxies
from services.gateway.pulse import Pulse
from services.gateway.rest import routes
from services.gateway.silence import KEEP_ALIVE_S, Silence
from services.gateway.startup import (
    allow_many_connections,
    guard_database,
    open_log,
    when_available,
)
from services.gateway.tls import context_of, read_again_on_hangup
from services.gateway.tokens import Tokens
from services.gateway.views import Views
from shared import clock, log
from shared.bus import Bus, CommitSettings, GroupCommit
from shared.crashpoints import crashpoint
from shared.crypto import read_master_key
from shared.database import Pool, open_pool
from shared.errors import Refused
from shared.runtime import Process


async def serve(process: Process[GatewayConfig]) -> None:
    """Run until the process is asked to stop, then drain."""
    shared, config = process.shared, process.config
    allow_many_connections()
    master = read_master_key(shared.master_key_file)
    process.add_check("startup", lambda: "waiting for servers")
    await when_available(process.stopping, lambda: guard_database(shared))
    bus = await when_available(process.stopping, lambda: open_log(shared))
    if bus is None:
        return
    crashpoint("gateway.start.pool")
    pool = await open_pool(shared.database_url, name="gateway", size=config.pool_size)
    try:
        keys = Keys(pool, master)
        await when_available(process.stopping, keys.load_all)
        commit = GroupCommit(bus, shared.shard, CommitSettings(queue_entries=config.queue_entries))
        parts = _make_parts(process, bus=bus, pool=pool, keys=keys, commit=commit)
        await _serve(process, parts, commit)
    finally:
        await bus.close()
        await pool.close()


def _make_parts(
    process: Process[GatewayConfig], *, bus: Bus, pool: Pool, keys: Keys, commit: GroupCommit
) -> Parts:
    shared, config = process.shared, process.config
    name = clock.new_id()
    master = read_master_key(shared.master_key_file)
    directory = LiveDirectory(bus, shared.shard, pool, writer=name)
    asking = Asking(
        bus,
        shared.shard,
        timeout_s=config.ask_timeout_s,
        at_once=config.questions_at_once,
    )
    return Parts(
        name=name,
        shared=shared,
        config=config,
        bus=bus,
        pool=pool,
        master=master,
        keys=keys,
        directory=directory,
        asking=asking,
        access=Access(asking, directory, kept=config.facts_kept, fresh_s=config.facts_fresh_s),
        admission=Admission(
            commit=commit,
            keys=keys,
            asking=asking,
            shard=shared.shard,
            settings=AdmissionSettings(
                ack_timeout_s=config.ack_timeout_s,
                ids_kept=config.ids_kept,
                ids_kept_s=config.ids_kept_s,
            ),
        ),
        tokens=Tokens(master=master, shard=shared.shard, directory=directory, pool=pool),
        views=Views(keys, directory),
        conditions=Conditions(keys),
        presence=Presence(bus, shared.shard, gateway=name),
        limits=Limiter(limits_of(config), processes=config.processes),
        notes=Notes(bus, shared.shard, gateway=name),
        proxies=Proxies(config.trusted_proxies, config.proxy_header),
    )


async def _serve(process: Process[GatewayConfig], parts: Parts, commit: GroupCommit) -> None:
    pulse = Pulse(parts.pool)
    live = make_live(parts, may_expire=lambda: pulse.is_up and parts.bus.is_connected)
    handlers = Handlers(live)
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(work)
            for work in (
                commit.run(),
                parts.directory.run(),
                pulse.run(),
                live.run(handlers.turn),
                _beat(live),
            )
        ]
        try:
            await _take_clients(process, live, handlers, commit)
        finally:
            for task in running:
                task.cancel()


async def _take_clients(
    process: Process[GatewayConfig], live: Live, handlers: Handlers, commit: GroupCommit
) -> None:
    """Open the door when the configuration is read, close it when told to."""
    parts, config = live.parts, process.config
    context = context_of(config)
    if not await _ready_or_stopping(process, parts.directory):
        return
    await live.delivery.start()
    await live.hearing.start()
    silence = Silence()
    application = web.Application(
        client_max_size=config.body_limit_bytes, middlewares=[silence.listener]
    )
    entrance = Entrance(handlers)
    application.router.add_get("/ws", entrance.take_over)
    routes.install(application, parts)
    runner = web.AppRunner(
        application,
        access_log=None,
        handler_cancellation=False,
        shutdown_timeout=1.0,
        keepalive_timeout=KEEP_ALIVE_S,
    )
    await runner.setup()
    watch = asyncio.create_task(silence.run(runner))
    entrance.others = _others(runner)
    live.wheel.also(entrance.turn)
    try:
        server = await _listen(entrance, config, context)
        port = int(server.sockets[0].getsockname()[1])
        process.add_check("startup", lambda: None)
        process.add_check("log", lambda: None if parts.bus.is_connected else "not connected")
        log.get().info("listening", port=port, gateway=parts.name)
        with read_again_on_hangup(context, config):
            await process.stopping.wait()
        await drain(live, handlers, commit, server)
    finally:
        watch.cancel()
        await runner.cleanup()


async def _ready_or_stopping(process: Process[GatewayConfig], directory: LiveDirectory) -> bool:
    """Whether the configuration was read before the process was told to stop."""
    waits = {
        asyncio.create_task(directory.ready()),
        asyncio.create_task(process.stopping.wait()),
    }
    _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return directory.is_ready and not process.stopping.is_set()


def _others(runner: web.AppRunner) -> Callable[[], asyncio.Protocol]:
    """What serves a connection that wants no WebSocket."""
    server = runner.server
    assert server is not None
    return server


async def _listen(
    entrance: Entrance, config: GatewayConfig, context: ssl.SSLContext | None
) -> asyncio.Server:
    """Bind and listen. Raises `Refused`."""
    listener = socket.socket(
        socket.AF_INET6 if ":" in config.host else socket.AF_INET, socket.SOCK_STREAM
    )
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if config.reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # What it accepts inherits it; a call for each connection is one more in a storm.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.bind((config.host, config.port))
        loop = asyncio.get_running_loop()
        return await loop.create_server(entrance, sock=listener, backlog=4_096, ssl=context)
    except OSError as err:
        listener.close()
        raise Refused(f"cannot listen on port {config.port}: {err.strerror}") from err


async def _beat(live: Live) -> None:
    """Renew the leases of the agents' connections; gateways of one start don't beat at the same moment."""
    beat_s = live.parts.config.beat_s
    await asyncio.sleep(beat_s * random.random())  # noqa: S311 - jitter
    while True:
        await live.parts.presence.beat()
        await live.alerts.beat(live.parts.presence)
        await asyncio.sleep(beat_s)
