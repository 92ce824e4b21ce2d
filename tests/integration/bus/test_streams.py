"""The guards around the stream: what would lose entries is refused at start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.dev.nats_server import NatsServer, NatsSettings
from shared.bus import (
    Bus,
    BusSettings,
    StreamSettings,
    check_durability,
    connect,
    ensure_stream,
    event_at,
    last_of,
    stream_name,
    stream_state,
)
from shared.bus.api import api_request
from shared.errors import Refused, Unavailable
from tests.support.log import PATIENCE_S, STREAM, entry, running

_NOBODY = "http://127.0.0.1:9"


async def test_stream_is_made_once_and_accepted_again(bus: Bus, shard: str) -> None:
    """A second process that starts finds the stream of the first and is content with it."""
    await ensure_stream(bus, shard, STREAM)
    await ensure_stream(bus, shard, STREAM)
    state = await stream_state(bus, shard)
    assert (state.last, state.max_bytes) == (0, STREAM.max_bytes)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"discard": "old"}, "discards old"),
        ({"max_age": 3_600_000_000_000}, "age limit"),
        ({"max_msgs": 10}, "count limit"),
        ({"max_bytes": -1}, "no size limit"),
        ({"storage": "memory"}, "file storage"),
        ({"allow_atomic": False}, "atomic"),
        ({"allow_atomic": False, "persist_mode": "async"}, "before it writes"),
        ({"retention": "interest"}, "retention"),
        ({"subjects": ["nd.ev.elsewhere.{shard}.message"]}, "subjects"),
    ],
)
async def test_unsafe_stream_is_refused(
    bus: Bus, shard: str, change: dict[str, Any], word: str
) -> None:
    """A stream that would delete or lose entries by itself stops the process at start."""
    config: dict[str, Any] = {
        "name": stream_name(shard),
        "subjects": [f"nd.ev.{shard}.*"],
        "discard": "new",
        "max_bytes": 1024**2,
        "max_consumers": 100,
        "allow_atomic": True,
    } | change
    config["subjects"] = [subject.format(shard=shard) for subject in config["subjects"]]
    await api_request(bus, f"STREAM.CREATE.{stream_name(shard)}", config)
    with pytest.raises(Refused, match=word):
        await ensure_stream(bus, shard, STREAM)


async def test_fewer_replicas_than_configured_are_refused(bus: Bus, shard: str) -> None:
    """Three copies asked for, one found: the process does not run as if there were three."""
    await ensure_stream(bus, shard, STREAM)
    with pytest.raises(Refused, match="has 1 replicas where 3 are configured"):
        await ensure_stream(bus, shard, StreamSettings(replicas=3))


async def test_a_consumer_with_max_deliver_is_refused(bus: Bus, shard: str) -> None:
    """A consumer that skips what it delivered too often looks healthy while entries are lost: nobody runs beside it."""
    await ensure_stream(bus, shard, STREAM)
    config = {"name": "skipping", "ack_policy": "explicit", "max_deliver": 3, "mem_storage": True}
    await api_request(
        bus,
        f"CONSUMER.CREATE.{stream_name(shard)}.skipping",
        {"stream_name": stream_name(shard), "action": "create", "config": config},
    )
    with pytest.raises(Refused, match=r"max_deliver.*skipping"):
        await ensure_stream(bus, shard, STREAM)


async def test_lazy_sync_is_refused(tmp_path: Path) -> None:
    """A server that acknowledges before it writes is found out and refused."""
    server = NatsServer(NatsSettings(directory=tmp_path, log=tmp_path / "log", sync_interval="2m"))
    server.start()
    try:
        bus = await connect(BusSettings(url=server.url))
        with pytest.raises(Refused, match="sync_interval"):
            await check_durability(bus, monitor_url=server.monitor_url)
        await bus.close()
    finally:
        server.kill()


async def test_durability_is_only_said_of_the_server_we_use(
    bus: Bus, nats_server: NatsServer, fresh_nats: NatsServer
) -> None:
    """`always` needs the word of the very server that acknowledges; anything less is `unknown`."""
    assert await check_durability(bus, monitor_url=nats_server.monitor_url) == "always"
    assert await check_durability(bus, monitor_url=fresh_nats.monitor_url) == "unknown"
    assert await check_durability(bus, monitor_url=None) == "unknown"
    assert await check_durability(bus, monitor_url=_NOBODY) == "unknown"


async def test_one_of_three_servers_may_be_away_when_a_service_starts(
    bus: Bus, nats_server: NatsServer, fresh_nats: NatsServer
) -> None:
    """Who starts while one server of a cluster is down must not call its settings wrong, nor wait for it; with most of them
    away it waits. A cluster of which only one address was given could have a lazy server that nobody looks at."""
    ours, other = nats_server.monitor_url, fresh_nats.monitor_url
    found = await check_durability(bus, monitor_url=f"{_NOBODY},{ours},{other}", servers=3)
    assert found == "always"
    for too_few in (f"{ours},{_NOBODY}", f"{other},{_NOBODY},{_NOBODY}"):
        with pytest.raises(Unavailable, match="1 of"):
            await check_durability(bus, monitor_url=too_few)
    assert await check_durability(bus, monitor_url=ours, servers=3) == "unknown"


async def test_entries_are_read_from_the_leader(bus: Bus, log: str) -> None:
    """An entry is found by position and as the last of its subject, with its bytes and its time."""
    async with running(bus, log) as commit:
        await commit.append([entry(log, b"one"), entry(log, b"two")], timeout_s=PATIENCE_S)
    first = await event_at(bus, log, 1)
    last = await last_of(bus, log, f"nd.ev.{log}.message")
    assert first is not None
    assert last is not None
    assert (first.position, first.payload, last.position, last.payload) == (1, b"one", 2, b"two")
    assert 0 < first.at_ns <= last.at_ns <= (await stream_state(bus, log)).now_ns
    assert await event_at(bus, log, 3) is None
    assert await last_of(bus, log, f"nd.ev.{log}.routing") is None


async def test_absent_stream_is_unavailable(bus: Bus, shard: str) -> None:
    """No stream is no answer: the caller tries again, it does not take the log for empty."""
    with pytest.raises(Unavailable):
        await stream_state(bus, shard)
