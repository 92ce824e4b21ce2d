"""The life of a service process: settings, logs, health port, signals, drain, exit code.

`run(name, Config, serve)` reads the settings (faults: all together, exit 2), starts the health server (`/livez`,
`/readyz`, `/metrics`), calls `serve(process)` and turns SIGTERM and SIGINT into `process.stopping`. A start-up guard
(`Refused`) ends with one line and exit 2; anything else that escapes is a bug, has a traceback and exit 1.
Never: work at import, tasks outside the service's TaskGroup, a second signal ignored (it ends at once).
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Generic, TypeVar, TypeVarTuple

import msgspec
import uvloop
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared import config, log
from shared.errors import NightdeskError, Refused
from shared.weight import FollowerWeight, Share, Weight

C = TypeVar("C", bound=msgspec.Struct)
S = TypeVar("S")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_COLLECT_EVERY = 50_000
"""Objects made and not freed between two looks of the garbage collector; Python's own 700 suit small programs."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Where a service tells how it is; read as NIGHTDESK_<SERVICE>_HEALTH_HOST and _PORT."""

    health_host: Annotated[str, msgspec.Meta(description="address of the health port")] = (
        "127.0.0.1"
    )
    health_port: Annotated[
        int,
        msgspec.Meta(ge=0, le=65535, description="port of /livez, /readyz, /metrics; 0: any free"),
    ] = 0


class Process(Generic[C]):
    """What `serve` gets: settings, the stop signal, its share of the processor, and the list of readiness checks."""

    def __init__(
        self, name: str, shared: config.Shared, own: C, *, share: Share | None = None
    ) -> None:
        self.name = name
        self.shared = shared
        self.config = own
        self.share = share or Share()
        self.stopping = asyncio.Event()
        self._checks: dict[str, Callable[[], str | None]] = {}
        self._is_draining = False

    def add_check(self, name: str, check: Callable[[], str | None]) -> None:
        """Register a readiness check: None when ready, else a few words why not. Must not wait."""
        self._checks[name] = check

    def faults(self) -> dict[str, str]:
        """The checks that are not ready now, with their reasons."""
        found = {name: check() for name, check in self._checks.items()}
        faults = {name: text for name, text in found.items() if text is not None}
        if self.stopping.is_set():
            faults["process"] = "draining"
        if not self._checks:
            faults["process"] = "starting"
        return faults


Serve = Callable[[Process[C]], Awaitable[None]]


async def contained(work: Awaitable[T]) -> T | None:
    """Await the work of one request. A bug in it is logged with its traceback and gives None, so that it ends this
    request and nothing else; failures that we expect and answers of aiohttp pass through."""
    try:
        return await work
    except (NightdeskError, web.HTTPException):
        raise
    except Exception:
        log.get().error("bug_in_request", exc_info=True)
        return None


def contained_now(work: Callable[[*Ts], T], *args: *Ts, otherwise: S) -> T | S:
    """As `contained`, for work that does not wait: what a bug gives."""
    try:
        return work(*args)
    except Exception:
        log.get().error("bug_in_request", exc_info=True)
        return otherwise


def run(name: str, kind: type[C], serve: Serve[C], *, weight: type[Weight] = Weight) -> None:
    """Run a service until it stops; the body of every `__main__`. Does not return on a fault."""
    if "--print-config" in sys.argv[1:]:
        _print_config(name, (Health, weight, kind))
        return
    try:
        config.check_all(os.environ, (kind, Health, weight), service=name)
        shared = config.load(os.environ, config.Shared)
        own = config.load(os.environ, kind, service=name)
        health = config.load(os.environ, Health, service=name)
        weighs = config.load(os.environ, weight, service=name)
    except Refused as err:
        sys.stderr.write(f"{name}: bad configuration\n{err.message}\n")
        sys.exit(2)
    log.configure(name, form=shared.log_format, level=shared.log_level)
    _collect_rarely()
    for variable, nearest in config.unknown(os.environ, (kind, Health, weight), service=name):
        log.get().warning("unknown_setting", variable=variable, nearest=nearest or None)
    share = _share(weighs)
    share.begin()
    try:
        uvloop.run(_life(Process(name, shared, own, share=share), health, serve))
    except* Refused as group:
        reasons = "; ".join(e.message for e in _leaves(group))
        log.get().error("refused_to_run", reason=reasons)
        sys.stderr.write(f"{name}: refused to run: {reasons}\n")
        sys.exit(2)


def _share(weight: Weight) -> Share:
    if isinstance(weight, FollowerWeight):
        return Share(weight.nice, behind_s=weight.nice_behind_s)
    return Share(weight.nice)


def _collect_rarely() -> None:
    """Services hold many long-lived objects (sessions, conversations) that the collector would look at over and over:
    15 to 20 % of a busy gateway. Nearly everything here is freed by reference counts; cycles may wait."""
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, 20, 50)
    gc.enable()


async def _life(process: Process[C], health: Health, serve: Serve[C]) -> None:
    loop = asyncio.get_running_loop()
    signals = 0

    def stop() -> None:
        nonlocal signals
        signals += 1
        if signals > 1:
            os._exit(130)
        log.get().info("stopping")
        process.stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    runner = await start_health(process, health)
    log.get().info("starting", pid=os.getpid())
    try:
        await serve(process)
    except Exception as err:
        if not process.stopping.is_set() and not _is_refusal(err):
            log.get().error("service_failed", exc_info=True)
        raise
    finally:
        await runner.cleanup()
        log.get().info("stopped")


async def start_health(process: Process[C], health: Health) -> web.AppRunner:
    """Serve `/livez`, `/readyz` and `/metrics`; the caller cleans the runner up."""

    async def livez(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        faults = process.faults()
        body = {"status": "not ready" if faults else "ok", "faults": faults}
        return web.json_response(body, status=503 if faults else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes(
        [web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, health.health_host, health.health_port).start()
    except OSError as err:
        await runner.cleanup()
        raise Refused(f"cannot listen on health port {health.health_port}: {err.strerror}") from err
    return runner


def _is_refusal(error: Exception) -> bool:
    """Whether it is nothing but a refusal to run, which is told in one line."""
    if isinstance(error, ExceptionGroup):
        return all(_is_refusal(each) for each in error.exceptions)
    return isinstance(error, Refused)


def _leaves(group: BaseExceptionGroup[Refused]) -> list[Refused]:
    found: list[Refused] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found


def _print_config(name: str, kinds: Sequence[type[msgspec.Struct]]) -> None:
    rows = config.table(config.Shared)
    for kind in kinds:
        rows += config.table(kind, service=name)
    for row in rows:
        sys.stdout.write("\t".join(row) + "\n")
