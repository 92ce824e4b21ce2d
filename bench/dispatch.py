"""B7: how fast a waiting backlog gets its owners, each decision explained and durable in the log, beside
`FOR UPDATE SKIP LOCKED` by hand on PostgreSQL in the same run.

python -m bench.dispatch [--waiting 100000] [--agents 2000] [--skills 200] [--runs 5]

A real dispatcher process on a real log with fsync. The clock is the log's: from the first agent who signs in to the
last assignment. The pace is set out of the way (nobody acknowledges here); everything else is as it is delivered.
A figure whose check finds a fault is void.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import uuid
from collections import Counter
from pathlib import Path

import msgspec
import psutil
import uvloop

from bench.backlog import Backlog, Fact, Size
from bench.skip_locked import ByHand, measure_by_hand
from deploy.dev.nats_server import NatsServer, NatsSettings
from deploy.dev.postgres_server import PostgresServer, PostgresSettings
from deploy.dev.service_process import ServiceProcess
from shared import bus
from shared.codec import decode_event, encode_event
from shared.database import migrate
from shared.events import AgentOnline, ConversationAssigned, ConversationQueued, Event
from shared.subjects import event_subject

_GIB = 1024**3
_PATIENCE_S = 300.0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run: assignments a second, CPU of dispatcher and log server for each, and what was wrong."""

    per_s: float
    dispatcher_us: float
    log_us: float
    faults: tuple[str, ...] = ()


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure: the median over the runs. Void with `faults`."""

    name: str
    per_s: float
    runs: tuple[float, ...]
    note: str = ""
    faults: tuple[str, ...] = ()


class Servers(msgspec.Struct, frozen=True, kw_only=True):
    """What a run needs around it."""

    nats: NatsServer
    postgres: PostgresServer
    directory: Path


class _Seen:
    """What is read back from the log."""

    def __init__(self) -> None:
        self.queued = 0
        self.began_ns = 0
        self.ended_ns = 0
        self.assigned: list[ConversationAssigned] = []

    def take(self, delivery: bus.Delivery) -> None:
        event: Event = decode_event(delivery.payload)
        if isinstance(event, ConversationAssigned):
            self.assigned.append(event)
            self.ended_ns = delivery.at_ns
        elif isinstance(event, ConversationQueued):
            self.queued += 1
        elif isinstance(event, AgentOnline) and not self.began_ns:
            self.began_ns = delivery.at_ns


async def dispatch_once(servers: Servers, backlog: Backlog) -> Result:
    """Fill a new log, let a dispatcher put everything on record, let everybody sign in, wait for the last owner."""
    shard = f"b{uuid.uuid4().hex[:12]}"
    log = await bus.connect(bus.BusSettings(url=servers.nats.url))
    try:
        await bus.ensure_stream(log, shard, bus.StreamSettings(max_bytes=4 * _GIB))
        await append(log, shard, [*backlog.configuration(), *backlog.arrivals()])
        process = ServiceProcess(
            "dispatcher",
            env=environment(servers, shard),
            log=servers.directory / f"dispatcher-{shard}.log",
        )
        process.start()
        try:
            return await _watch(log, shard, backlog, process, servers)
        finally:
            process.kill()
            await bus.api.api_request(log, f"STREAM.DELETE.{bus.stream_name(shard)}")
    finally:
        await log.close()


async def _watch(
    log: bus.Bus, shard: str, backlog: Backlog, process: ServiceProcess, servers: Servers
) -> Result:
    wanted = backlog.size.waiting
    await _wait(log, shard, "routing", wanted)
    before = _cpu_s(process.pid), _cpu_s(servers.nats.pid)
    last = await bus.last_of(log, shard, event_subject(shard, "routing"))
    await append(log, shard, list(backlog.arriving_agents()))
    await _wait(log, shard, "routing", 2 * wanted)
    spent = _cpu_s(process.pid) - before[0], _cpu_s(servers.nats.pid) - before[1]
    seen = _Seen()
    start = bus.Start(position=last.position if last is not None else 0)
    async for batch in bus.Reader(log, shard, start).batches():
        for delivery in batch.deliveries:
            seen.take(delivery)
        if batch.at_end:
            break
    took_s = (seen.ended_ns - seen.began_ns) / 1e9
    return Result(
        per_s=len(seen.assigned) / took_s,
        dispatcher_us=spent[0] / wanted * 1e6,
        log_us=spent[1] / wanted * 1e6,
        faults=tuple(faults_of(backlog, seen.assigned)),
    )


def faults_of(backlog: Backlog, assigned: list[ConversationAssigned]) -> list[str]:
    """Whether every conversation has exactly one owner who may have it, with the reason, and nobody has too many."""
    found = []
    times = Counter(event.conversation_id for event in assigned)
    missing = sum(each not in times for each in backlog.conversations)
    if missing or len(times) != len(assigned):
        found.append(f"{missing} not assigned, {len(assigned) - len(times)} more than once")
    held = Counter(event.agent_id for event in assigned)
    over = sum(count > backlog.size.capacity for count in held.values())
    if over:
        found.append(f"{over} agents over capacity")
    skills = dict(zip(backlog.agents, backlog.skills, strict=True))
    asked = {each: backlog.skill_of(n) for n, each in enumerate(backlog.conversations)}
    unskilled = sum(asked[e.conversation_id] not in skills[e.agent_id] for e in assigned)
    unexplained = sum(e.why.winner is None for e in assigned)
    if unskilled or unexplained:
        found.append(f"{unskilled} without the skill, {unexplained} without the reason")
    return found


async def measure(size: Size | None = None, *, runs: int = 5) -> list[Row]:
    """The figures of B7: ours and by hand in turn. Starts servers of its own, durable ones."""
    backlog = Backlog(size or Size())
    with tempfile.TemporaryDirectory(prefix="nightdesk-bench-") as name:
        servers = make_servers(Path(name))
        servers.nats.start()
        servers.postgres.start()
        try:
            await migrate(servers.postgres.url())
            return await _measure(servers, backlog, runs)
        finally:
            servers.postgres.kill()
            servers.nats.kill()


async def _measure(servers: Servers, backlog: Backlog, runs: int) -> list[Row]:
    ours: list[Result] = []
    single: list[ByHand] = []
    many: list[ByHand] = []
    skills = [list(each) for each in backlog.skills]
    for _ in range(runs):
        ours.append(await dispatch_once(servers, backlog))
        for found, most in ((single, 1), (many, backlog.size.capacity)):
            by_hand = await measure_by_hand(
                servers.postgres.url(),
                waiting=backlog.size.waiting,
                skills=skills,
                capacity=backlog.size.capacity,
                most=most,
            )
            found.append(by_hand)
    dispatcher_us = statistics.median(each.dispatcher_us for each in ours)
    log_us = statistics.median(each.log_us for each in ours)
    return [
        _row("B7 assignments, explained, durable", ours, f"{dispatcher_us:.0f} + {log_us:.0f} µs"),
        _row("  SKIP LOCKED by hand", single, "one a transaction, no scores, no reasons"),
        _row(
            "  SKIP LOCKED by hand, greedy", many, "an agent's whole capacity at once, to bury them"
        ),
    ]


def _row(name: str, results: list[Result] | list[ByHand], note: str) -> Row:
    rates = tuple(each.per_s for each in results)
    faults = tuple(fault for each in results for fault in each.faults)
    return Row(name=name, per_s=statistics.median(rates), runs=rates, note=note, faults=faults)


def make_servers(directory: Path) -> Servers:
    """A durable log server and a durable PostgreSQL, not started."""
    directory.chmod(0o711)
    (directory / "nats").mkdir()
    (directory / "postgres").mkdir(mode=0o711)
    nats = NatsServer(NatsSettings(directory=directory / "nats", log=directory / "nats.log"))
    postgres = PostgresServer(
        PostgresSettings(directory=directory / "postgres", log=directory / "postgres.log")
    )
    return Servers(nats=nats, postgres=postgres, directory=directory)


def environment(servers: Servers, shard: str, *, user: str = "dispatcher") -> dict[str, str]:
    """What a service on these servers reads."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith("NIGHTDESK_")}
    return {
        **kept,
        "NIGHTDESK_NATS_URL": servers.nats.url_of(user),
        "NIGHTDESK_NATS_MONITOR_URL": servers.nats.monitor_url,
        "NIGHTDESK_DATABASE_URL": servers.postgres.url(),
        "NIGHTDESK_MASTER_KEY_FILE": str(servers.directory / "no.key"),
        "NIGHTDESK_SHARD": shard,
        "NIGHTDESK_STREAM_MAX_BYTES": str(4 * _GIB),
        "NIGHTDESK_DISPATCHER_BURST": "1000000",
    }


async def append(log: bus.Bus, shard: str, facts: list[Fact]) -> None:
    """Append facts, a thousand at a time."""
    commit = bus.GroupCommit(log, shard, bus.CommitSettings())
    running = asyncio.create_task(commit.run())
    for start in range(0, len(facts), 1000):
        entries = [
            bus.Entry(
                subject=event_subject(shard, family),
                payload=encode_event(event),
                key="bench",
            )
            for family, event in facts[start : start + 1000]
        ]
        await commit.append(entries, timeout_s=30)
    running.cancel()
    await asyncio.wait({running}, timeout=5)


async def _wait(log: bus.Bus, shard: str, family: str, count: int) -> None:
    """Until so many events of the family are in the log; asks ten times a second, which costs next to nothing."""
    subject = event_subject(shard, family)  # type: ignore[arg-type]
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            if await _count(log, shard, subject) >= count:
                return
            await asyncio.sleep(0.1)


async def _count(log: bus.Bus, shard: str, subject: str) -> int:
    raw = await bus.api.api_request(
        log, f"STREAM.INFO.{bus.stream_name(shard)}", {"subjects_filter": subject}
    )
    counts = msgspec.json.decode(raw)["state"].get("subjects") or {}
    return int(counts.get(subject, 0))


def _cpu_s(pid: int | None) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--agents", type=int, default=2_000)
    parser.add_argument("--skills", type=int, default=200)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    size = Size(waiting=options.waiting, agents=options.agents, skills=options.skills)
    for row in uvloop.run(measure(size, runs=options.runs)):
        verdict = f"  VOID: {'; '.join(row.faults)}" if row.faults else ""
        print(f"{row.name:<38}{row.per_s:>10,.0f}/s  {row.note}{verdict}")


if __name__ == "__main__":
    main()
