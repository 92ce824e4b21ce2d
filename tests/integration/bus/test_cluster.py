"""The bus on three replicas while leaders are killed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from shared.bus import (
    Bus,
    BusSettings,
    CommitSettings,
    FenceBusy,
    FencedWriter,
    FenceLost,
    GroupCommit,
    Reader,
    ReaderSettings,
    Start,
    StreamSettings,
    connect,
    ensure_stream,
    stream_name,
)
from shared.bus.streams import api_request
from shared.errors import OutcomeUnknown, Unavailable
from tests.support.log import Follower, key_and_number, numbered, running, until, whole_log
from tests.support.nats_cluster import NatsCluster

_KEYS = 40
_EACH = 50


class _Cluster(msgspec.Struct, frozen=True):
    leader: str = ""


class _Info(msgspec.Struct, frozen=True):
    cluster: _Cluster = _Cluster()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[NatsCluster]:
    """Three nodes of this test's own."""
    started = NatsCluster(tmp_path)
    started.start()
    yield started
    started.kill()


async def _connected(cluster: NatsCluster, shard: str) -> Bus:
    """A connection, once the cluster has elected its leader and made the stream."""
    async with asyncio.timeout(40):
        while True:
            with contextlib.suppress(Unavailable):
                bus = await connect(BusSettings(url=cluster.url, drain_timeout_s=2))
                break
        while True:
            with contextlib.suppress(Unavailable):
                await ensure_stream(bus, shard, StreamSettings(replicas=3, max_bytes=10**8))
                return bus


async def _leader(bus: Bus, cluster: NatsCluster, shard: str) -> int:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(Unavailable):
                raw = await api_request(bus, f"STREAM.INFO.{stream_name(shard)}")
                name = msgspec.json.decode(raw, type=_Info).cluster.leader
                if name:
                    return cluster.node_of(name)


async def _send(
    commit: GroupCommit, shard: str, key: str, said: dict[tuple[str, int], int]
) -> None:
    for number in range(_EACH):
        while (key, number) not in said:
            with contextlib.suppress(Unavailable, OutcomeUnknown):
                found = await commit.append([numbered(shard, key, number)], timeout_s=40)
                said[(key, number)] = found[0]
            await asyncio.sleep(0)


async def _rival(bus: Bus, shard: str, name: str, stop: asyncio.Event) -> None:
    """A fenced writer that folds by reading the family's end after every refusal."""
    writer = FencedWriter(bus, shard, f"nd.ev.{shard}.routing", ack_timeout_s=3)
    reader = Follower(
        Reader(bus, shard, Start(), ReaderSettings(idle_s=0.02), [f"nd.ev.{shard}.routing"])
    )
    number = 0
    while not stop.is_set():
        await until(lambda: reader.is_at_end, timeout_s=40)
        last = reader.reader.position
        number += 1
        with contextlib.suppress(FenceLost, FenceBusy, OutcomeUnknown, Unavailable):
            await writer.append([f"{name} {number} {last}".encode()], expected=last)
        await asyncio.sleep(0)
    await reader.stop()


@pytest.mark.timeout(120)
async def test_killed_leaders_lose_reorder_and_fork_nothing(
    cluster: NatsCluster, shard: str
) -> None:
    """Two leaders killed under load: every yes holds, order by key holds, the fenced chain is one."""
    bus = await _connected(cluster, shard)
    said: dict[tuple[str, int], int] = {}
    stop = asyncio.Event()
    async with running(bus, shard, CommitSettings(ack_timeout_s=1.0)) as commit:
        async with asyncio.TaskGroup() as tasks:
            rivals = [tasks.create_task(_rival(bus, shard, f"w{i}", stop)) for i in range(2)]
            senders = [tasks.create_task(_send(commit, shard, f"k{i}", said)) for i in range(_KEYS)]
            for kill in (1, 2):
                goal = kill * _KEYS * _EACH // 3
                await until(lambda goal=goal: len(said) >= goal, timeout_s=60)  # type: ignore[misc]
                leader = await _leader(bus, cluster, shard)
                cluster.kill_node(leader)
                await until(lambda goal=goal: len(said) >= goal + 100, timeout_s=60)  # type: ignore[misc]
                cluster.start_node(leader)
            await asyncio.wait(senders, timeout=60)
            stop.set()
        assert all(each.done() for each in (*senders, *rivals))
    log = await whole_log(bus, shard)
    await bus.close()
    messages = [each for each in log if each.subject.endswith(".message")]
    held = {each.position: key_and_number(each) for each in messages}
    assert all(held[position] == what for what, position in said.items())
    kept = list(dict.fromkeys(key_and_number(each) for each in messages))
    assert len(kept) == _KEYS * _EACH
    for key in {key for key, _ in kept}:
        assert [number for found, number in kept if found == key] == list(range(_EACH))
    chain = [each for each in log if each.subject.endswith(".routing")]
    previous = [0, *(each.position for each in chain)]
    assert [int(each.payload.split()[-1]) for each in chain] == previous[:-1]
