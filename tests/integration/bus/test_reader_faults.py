"""The reader while its consumer, its connection or its server goes away: late perhaps, never wrong."""

from __future__ import annotations

import contextlib
import time

import msgspec
import pytest

from deploy.dev.nats_server import NatsServer
from shared.bus import (
    Bus,
    CursorSettings,
    Reader,
    ReaderSettings,
    Start,
    ensure_stream,
    stream_name,
)
from shared.bus.api import ApiFailed, api_request
from tests.support.log import STREAM, Follower, fill, running, until, until_none

_QUICK = ReaderSettings(idle_s=0.05, silence_s=1.0, cursor=CursorSettings(heartbeat_s=0.2))


class _Names(msgspec.Struct):
    consumers: list[str] | None = None


async def _consumers(bus: Bus, shard: str) -> list[str]:
    raw = await api_request(bus, f"CONSUMER.NAMES.{stream_name(shard)}")
    return msgspec.json.decode(raw, type=_Names).consumers or []


async def _write(bus: Bus, shard: str, keys: int, each: int) -> None:
    async with running(bus, shard) as commit:
        await fill(commit, shard, keys=keys, each=each)


async def test_a_deleted_consumer_is_replaced(bus: Bus, log: str) -> None:
    """Whoever deletes the consumer, the reader goes on where it was, with nothing missing or doubled."""
    await _write(bus, log, 50, 10)
    follower = Follower(Reader(bus, log, Start(), _QUICK))
    await until(lambda: follower.is_at_end)
    for name in await _consumers(bus, log):
        # After a second's silence the reader has replaced it by itself.
        with contextlib.suppress(ApiFailed):
            await api_request(bus, f"CONSUMER.DELETE.{stream_name(log)}.{name}")
    await _write(bus, log, 50, 10)
    await until(lambda: len(follower.deliveries) >= 1000)
    await until(lambda: follower.is_at_end)
    await follower.stop()
    assert follower.positions == list(range(1, 1001))


async def test_a_stopped_reader_leaves_no_consumer(bus: Bus, log: str) -> None:
    """The consumer goes with its reader; a thousand restarts fill no limit."""
    follower = Follower(Reader(bus, log, Start(), ReaderSettings(idle_s=0.05)))
    await until(lambda: follower.is_at_end)
    assert await _consumers(bus, log)
    await follower.stop()
    await until_none(lambda: _consumers(bus, log))


async def test_cut_connections_show_no_hole(bus: Bus, log: str) -> None:
    """The connection is lost again and again while the log is read: still everything, once, in order."""
    await _write(bus, log, 400, 20)
    settings = ReaderSettings(batch_entries=50, idle_s=0.05, retry_most_s=0.1)
    follower = Follower(Reader(bus, log, Start(), settings))
    for cut in range(1, 11):
        await until(lambda cut=cut: len(follower.deliveries) > cut * 300)  # type: ignore[misc]
        await bus.client.force_reconnect()
    await until(lambda: len(follower.deliveries) >= 8000)
    await until(lambda: follower.is_at_end)
    await follower.stop()
    assert follower.positions == list(range(1, 8001))


async def test_a_killed_server_shows_no_hole(
    fresh_nats: NatsServer, fresh_bus: Bus, fresh_log: str
) -> None:
    """After kill -9 the consumer is gone and old pulls are never answered; the reader goes on."""
    await _write(fresh_bus, fresh_log, 100, 20)
    follower = Follower(Reader(fresh_bus, fresh_log, Start(), _QUICK))
    await until(lambda: follower.is_at_end)
    fresh_nats.kill()
    await until(lambda: not follower.is_at_end)
    fresh_nats.start()
    await until(lambda: fresh_bus.is_connected)
    await _write(fresh_bus, fresh_log, 100, 20)
    await until(lambda: len(follower.deliveries) >= 4000)
    await until(lambda: follower.is_at_end)
    await follower.stop()
    assert follower.positions == list(range(1, 4001))


async def test_a_silent_server_is_no_end_of_the_log(
    fresh_nats: NatsServer, fresh_bus: Bus, fresh_log: str
) -> None:
    """While the server is silent the reader stops to claim the end, so no timer is judged."""
    follower = Follower(Reader(fresh_bus, fresh_log, Start(), _QUICK))
    await until(lambda: follower.is_at_end)
    fresh_nats.pause()
    await until(lambda: not follower.is_at_end)
    fresh_nats.resume()
    await until(lambda: follower.is_at_end)
    await follower.stop()


@pytest.mark.parametrize("families", [(), ("routing",)])
async def test_a_paused_process_looks_before_it_claims_the_end(
    bus: Bus, log: str, families: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that wakes late asks the server: its next entry may still be in the socket."""
    subjects = [f"nd.ev.{log}.{family}" for family in families]
    settings = ReaderSettings(idle_s=0.05, late_s=0.2)
    looks: list[int] = []
    answered: list[int] = []
    ask = bus.request

    async def counted(subject: str, payload: bytes, *, timeout_s: float | None = None) -> bytes:
        looks.append(len(follower.batches))
        try:
            return await ask(subject, payload, timeout_s=timeout_s)
        finally:
            answered.append(len(answered))

    monkeypatch.setattr(bus, "request", counted)
    follower = Follower(Reader(bus, log, Start(), settings, subjects))
    # What was asked before the pause is answered before it: else its answer would be taken for a new one.
    await until(lambda: follower.is_at_end and len(looks) == len(answered))
    seen = len(follower.batches)
    looks.clear()
    paused_until = time.monotonic() + 0.4
    while time.monotonic() < paused_until:
        continue
    await until(lambda: len(follower.batches) > seen + 1 and follower.is_at_end)
    await follower.stop()
    claims = [
        number for number, each in enumerate(follower.batches) if number >= seen and each.at_end
    ]
    assert looks
    assert looks[0] <= claims[0]


async def test_a_reader_waits_for_its_stream(bus: Bus, shard: str) -> None:
    """A reader that starts before there is a stream claims no end and begins when there is one."""
    follower = Follower(Reader(bus, shard, Start(), _QUICK))
    await until(lambda: len(follower.batches) > 3)
    assert not any(each.at_end for each in follower.batches)
    await ensure_stream(bus, shard, STREAM)
    await _write(bus, shard, 10, 1)
    await until(lambda: len(follower.deliveries) == 10)
    await follower.stop()
