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
    Delivery,
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
from shared.bus.api import api_request
from shared.errors import OutcomeUnknown, Unavailable
from tests.support.log import (
    PATIENCE_S,
    Follower,
    key_and_number,
    numbered,
    running,
    until,
    whole_log,
)
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


@pytest.fixture
async def bus(cluster: NatsCluster, shard: str) -> AsyncIterator[Bus]:
    """A connection, once the cluster has elected its leader and made the stream."""
    opened = await _connected(cluster, shard)
    yield opened
    await opened.close()


async def _connected(cluster: NatsCluster, shard: str) -> Bus:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(Unavailable):
                bus = await connect(BusSettings(url=cluster.url, drain_timeout_s=2))
                break
        while True:
            with contextlib.suppress(Unavailable):
                await ensure_stream(bus, shard, StreamSettings(replicas=3, max_bytes=10**8))
                return bus


async def _leader(bus: Bus, cluster: NatsCluster, shard: str) -> int:
    async with asyncio.timeout(PATIENCE_S):
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
                found = await commit.append([numbered(shard, key, number)], timeout_s=PATIENCE_S)
                said[(key, number)] = found[0]
            # While there is no leader it may be refused without waiting, and nobody else would have a turn.
            await asyncio.sleep(0)


async def _rival(bus: Bus, shard: str, name: str, stop: asyncio.Event) -> None:
    """A fenced writer that folds by reading the family's end after every refusal."""
    writer = FencedWriter(bus, shard, f"nd.ev.{shard}.routing", ack_timeout_s=3)
    reader = Follower(
        Reader(bus, shard, Start(), ReaderSettings(idle_s=0.02), [f"nd.ev.{shard}.routing"])
    )
    number = 0
    while not stop.is_set():
        await until(lambda: reader.is_at_end, timeout_s=PATIENCE_S)
        last = reader.reader.position
        number += 1
        with contextlib.suppress(FenceLost, FenceBusy, OutcomeUnknown, Unavailable):
            await writer.append([f"{name} {number} {last}".encode()], expected=last)
        # As above: a refusal need not have waited for anything.
        await asyncio.sleep(0)
    await reader.stop()


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_lost_leaders_lose_reorder_and_fork_nothing(
    cluster: NatsCluster, bus: Bus, shard: str, fault: str
) -> None:
    """A leader lost under load: every yes holds, order by key holds, the fenced chain is one."""
    said: dict[tuple[str, int], int] = {}
    stop = asyncio.Event()
    settings = CommitSettings(ack_timeout_s=1.0)
    async with running(bus, shard, settings) as commit, asyncio.TaskGroup() as tasks:
        for number in range(2):
            tasks.create_task(_rival(bus, shard, f"w{number}", stop))
        senders = [tasks.create_task(_send(commit, shard, f"k{i}", said)) for i in range(_KEYS)]
        await until(lambda: len(said) >= _KEYS * _EACH // 3, timeout_s=PATIENCE_S)
        leader = await _leader(bus, cluster, shard)
        before = len(said)
        cluster.kill_node(leader) if fault == "kill" else cluster.pause_node(leader)
        await until(lambda: len(said) >= before + 200, timeout_s=PATIENCE_S)
        cluster.start_node(leader) if fault == "kill" else cluster.resume_node(leader)
        await asyncio.wait(senders, timeout=PATIENCE_S)
        stop.set()
    log = await whole_log(bus, shard)
    _check_messages(log, said)
    chain = [each for each in log if each.subject.endswith(".routing")]
    previous = [0, *(each.position for each in chain)]
    assert [int(each.payload.split()[-1]) for each in chain] == previous[:-1]


def _check_messages(log: list[Delivery], said: dict[tuple[str, int], int]) -> None:
    messages = [each for each in log if each.subject.endswith(".message")]
    held = {each.position: key_and_number(each) for each in messages}
    assert all(held[position] == what for what, position in said.items())
    kept = list(dict.fromkeys(key_and_number(each) for each in messages))
    assert len(kept) == _KEYS * _EACH
    for key in {key for key, _ in kept}:
        assert [number for found, number in kept if found == key] == list(range(_EACH))
