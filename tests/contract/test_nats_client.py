"""The few lines that rely on the inside of nats-py, held against the installed version and a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from deploy.dev.nats_server import NatsServer
from shared.bus.client import RawClient
from shared.bus.wire import plain_frame
from tests.support.log import until

Heard = list[tuple[bytes, bytes, bytes, bytes]]


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[RawClient]:
    """A connected raw client."""
    opened = RawClient()
    await opened.connect(nats_server.url, max_reconnect_attempts=-1, reconnect_time_wait=0)
    yield opened
    await opened.close()


async def _hear(client: RawClient, subject: str) -> Heard:
    heard: Heard = []

    def sink(*parts: bytes) -> None:
        heard.append((parts[0], parts[1], parts[2], parts[3]))

    await client.subscribe_raw(subject, sink)
    return heard


async def test_written_frames_arrive_as_they_are(client: RawClient, shard: str) -> None:
    """Many frames in one write arrive in order, with subject, reply, headers and payload as bytes."""
    heard = await _hear(client, f"{shard}.*")
    frames = [plain_frame(f"{shard}.a", "", b"%d" % number) for number in range(5000)]
    client.write(b"".join(frames))
    client.write(plain_frame(f"{shard}.b", "reply.to", b"last", "K: v\r\n"))
    await until(lambda: len(heard) == 5001)
    assert [payload for _, _, payload, _ in heard[:5000]] == [b"%d" % i for i in range(5000)]
    subject, reply, payload, headers = heard[-1]
    assert (subject, reply, payload) == (f"{shard}.b".encode(), b"reply.to", b"last")
    assert headers == b"NATS/1.0\r\nK: v\r\n\r\n"
    assert all(isinstance(part, bytes) for part in heard[0][:3])


async def test_a_raw_subscription_survives_a_reconnect(client: RawClient, shard: str) -> None:
    """nats-py replays it under the same number, so its sink goes on hearing."""
    heard = await _hear(client, shard)
    back = asyncio.Event()

    async def is_back() -> None:
        back.set()

    client._reconnected_cb = is_back
    await client.force_reconnect()
    await asyncio.wait_for(back.wait(), 60)
    client.write(plain_frame(shard, "", b"x"))
    await until(lambda: len(heard) == 1)


async def test_forgotten_frames_are_never_sent(client: RawClient, shard: str) -> None:
    """What was queued and not yet handed to the connection is gone. A frame waits behind what nats-py has queued."""
    heard = await _hear(client, shard)
    await client.flush()
    await client.publish(shard, b"forgotten too")
    client.write(plain_frame(shard, "", b"forgotten"))
    client.forget_unsent()
    client.write(plain_frame(shard, "", b"sent"))
    await client.flush()
    await until(lambda: bool(heard))
    assert [payload for _, _, payload, _ in heard] == [b"sent"]


async def test_an_ended_raw_subscription_hears_nothing(client: RawClient, shard: str) -> None:
    """After its end neither the server nor the client has work with it."""
    heard: Heard = []
    subscription = await client.subscribe_raw(shard, lambda *_: heard.append((b"", b"", b"", b"")))
    await client.unsubscribe_raw(subscription)
    client.write(plain_frame(shard, "", b"x"))
    await client.flush()
    assert heard == []
    assert not client._sinks


async def test_the_server_says_who_it_is(client: RawClient) -> None:
    """The id by which the durability check recognises the server we use."""
    assert client.server_id.startswith("N")


async def test_handing_over_keeps_a_cancellation(client: RawClient) -> None:
    """A service that is told to stop while its frames go to the socket does stop; nats-py forgets it there."""
    handing = asyncio.create_task(client.hand_over())
    # One step and no more: it has begun to wait, and what it waits for runs in the next.
    await asyncio.sleep(0)
    handing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handing
