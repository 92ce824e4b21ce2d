"""What each service may say on NATS: its own facts and nothing else."""

from __future__ import annotations

import asyncio

import nats
import pytest
from nats.aio.msg import Msg
from nats.js.errors import APIError

from deploy.dev.nats_server import USERS, NatsServer
from shared.bus import (
    BusSettings,
    FencedWriter,
    Reader,
    Start,
    connect,
    ensure_stream,
    event_at,
)
from tests.support.log import PATIENCE_S, STREAM, read_to_end, until

_FAMILIES = {
    "gateway": {"message", "receipt", "conversation", "account"},
    "presence": {"presence"},
    "dispatcher": {"routing"},
    "store": set[str](),
}
_ALL = {*set().union(*_FAMILIES.values()), "notification", "retention"}


@pytest.mark.parametrize("user", sorted(_FAMILIES))
async def test_a_service_writes_its_own_families_only(
    nats_server: NatsServer, shard: str, user: str
) -> None:
    """A service that is taken over can't write another's facts."""
    heard: set[str] = set()
    refused: list[str] = []
    is_complete = asyncio.Event()

    async def hear(message: Msg) -> None:
        heard.add(message.subject.rpartition(".")[2])

    async def refuse(error: Exception) -> None:
        refused.append(str(error))
        if len(refused) == len(_ALL - _FAMILIES[user]):
            is_complete.set()

    operator = await nats.connect(nats_server.url)
    await operator.subscribe(f"nd.ev.{shard}.*", cb=hear)
    await operator.flush()
    client = await nats.connect(nats_server.url_of(user), error_cb=refuse)
    for family in sorted(_ALL):
        await client.publish(f"nd.ev.{shard}.{family}", b"fact")
    await client.flush()
    await asyncio.wait_for(is_complete.wait(), PATIENCE_S)
    await operator.flush()
    # What the server has sent is here; what hears it is a task of its own.
    await until(lambda: heard >= _FAMILIES[user])
    await client.close()
    await operator.close()
    assert heard == _FAMILIES[user]
    assert all("permissions violation" in text.lower() for text in refused)


@pytest.mark.parametrize("user", sorted(set(USERS) - {"operator"}))
async def test_no_service_may_delete_or_purge_the_log(
    nats_server: NatsServer, shard: str, user: str
) -> None:
    """Only the operator can take the log away."""
    operator = await nats.connect(nats_server.url)
    await operator.jetstream().add_stream(name=f"EVENTS_{shard}", subjects=[f"nd.ev.{shard}.*"])
    client = await nats.connect(nats_server.url_of(user), error_cb=_ignore)
    try:
        for action in ("DELETE", "PURGE"):
            with pytest.raises((nats.errors.Error, APIError, TimeoutError)):
                await client.request(f"$JS.API.STREAM.{action}.EVENTS_{shard}", b"", timeout=0.3)
        info = await operator.jetstream().stream_info(f"EVENTS_{shard}")
        assert info.config.name == f"EVENTS_{shard}"
    finally:
        await client.close()
        await operator.close()


@pytest.mark.parametrize("user", sorted(set(USERS) - {"operator"}))
async def test_every_service_can_open_and_read_the_log(
    nats_server: NatsServer, shard: str, user: str
) -> None:
    """What a reader needs of JetStream is on its list."""
    bus = await connect(BusSettings(url=nats_server.url_of(user), name=user))
    operator = await connect(BusSettings(url=nats_server.url, name="operator"))
    try:
        await ensure_stream(bus, shard, STREAM)
        fenced = FencedWriter(operator, shard, f"nd.ev.{shard}.routing")
        (position,) = await fenced.append([b"fact"], expected=0)
        await fenced.close()
        found = await read_to_end(Reader(bus, shard, Start()))
        assert found == [await event_at(bus, shard, position)]
    finally:
        await bus.close()
        await operator.close()


async def _ignore(_: Exception) -> None:
    """The refusals are what the test waits for."""
