"""Servers and services that die under open sessions: what was accepted arrives, what was not is never called sent."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from deploy.dev.nats_server import NatsServer
from deploy.dev.postgres_server import PostgresServer
from deploy.dev.service_process import ServiceProcess
from shared import clock, events
from tests.support.gateway_world import Desk, Device, Frame, open_desk, open_twin, open_world
from tests.support.log import PATIENCE_S, until
from tests.support.servers import migrate
from tests.support.services import Surroundings, service, wait_ready


@pytest.fixture
async def own_desk(around: Surroundings) -> AsyncIterator[Desk]:
    """An account in a world of this test alone."""
    with open_world(around) as world:
        async with open_desk(world) as desk:
            yield desk


async def keep_posting(device: Device, conversation_id: str, stop: asyncio.Event) -> list[Frame]:
    """Send one message after the other until told to stop or cut off; the answers."""
    answers: list[Frame] = []
    with contextlib.suppress(AssertionError, TimeoutError, ConnectionError):
        while not stop.is_set():
            answers.append(await device.post(conversation_id, f"m{len(answers)}"))
    return answers


def stored_texts(desk: Desk) -> set[int]:
    """The positions of all messages in the log."""
    return {position for position, _ in desk.log.events(events.MessagePosted)}


async def test_a_store_that_dies_delays_but_loses_nothing(own_desk: Desk) -> None:
    """Sessions go on sending without the store, and get everything in order when it is back."""
    desk = own_desk
    contact_id, conversation_id = await desk.conversation()
    writing, reading = await desk.visitor(contact_id), await desk.visitor(contact_id)
    await writing.post(conversation_id, "m0")
    await reading.until_texts(1)
    desk.world.store.kill()
    for number in range(1, 20):
        answer = await writing.post(conversation_id, f"m{number}")
        assert answer["op"] == "ok", answer
    late = await desk.device()
    assert (await late.hello(desk.visitor_token(contact_id), resume=reading.cursor))[
        "recovered"
    ] is None
    desk.world.store.start()
    expected = [f"m{n}" for n in range(20)]
    assert await reading.until_texts(20) == expected
    assert await late.until_texts(19) == expected[1:]


async def test_without_the_log_nothing_is_called_sent(
    fresh_nats: NatsServer, database_url: str, shard: str, tmp_path: Path
) -> None:
    """While NATS is away a send is answered with a retry; the same id sent again afterwards stands once."""
    around = Surroundings(
        nats=fresh_nats, database_url=database_url, shard=shard, directory=tmp_path
    )
    with open_world(around, settings={"NIGHTDESK_GATEWAY_ACK_TIMEOUT_S": "1"}) as world:
        async with open_desk(world) as desk:
            contact_id, conversation_id = await desk.conversation()
            device, other = await desk.visitor(contact_id), await desk.visitor(contact_id)
            await device.post(conversation_id, "before")
            message_id = clock.new_id()
            fresh_nats.kill()
            answer = await device.post(conversation_id, "during", message_id=message_id)
            assert (answer["op"], answer["retry"]) == ("err", True), answer
            assert answer["code"] in ("unknown", "unavailable")
            fresh_nats.start()
            while answer["op"] == "err":
                assert answer["retry"], answer
                answer = await device.post(
                    conversation_id, "during", message_id=message_id, resend=True
                )
            await device.post(conversation_id, "after")
            assert await other.until_texts(3) == ["before", "during", "after"]
            assert await device.until_texts(3) == ["before", "during", "after"]


async def test_sessions_outlive_postgresql(
    nats_server: NatsServer, fresh_postgres: PostgresServer, shard: str, tmp_path: Path
) -> None:
    """Without PostgreSQL open sessions go on sending and no expired token cuts them; all arrives when it is back."""
    database_url = fresh_postgres.url("nightdesk")
    migrate(database_url)
    around = Surroundings(
        nats=nats_server, database_url=database_url, shard=shard, directory=tmp_path
    )
    with open_world(around) as world:
        async with open_desk(world) as desk:
            contact_id, conversation_id = await desk.conversation()
            writing, expiring = await desk.visitor(contact_id), await desk.device()
            await writing.post(conversation_id, "before")
            await writing.until_texts(1)
            # It must not run out before the gateway knows that PostgreSQL is away, which it asks every 2 s.
            await expiring.hello(desk.visitor_token(contact_id, life_s=7), resume=writing.cursor)
            fresh_postgres.kill()
            for number in range(5):
                answer = await writing.post(conversation_id, f"during {number}")
                assert answer["op"] == "ok", answer
            with pytest.raises(TimeoutError):
                await expiring.closed(timeout_s=8)
            fresh_postgres.start()
            assert await writing.until_texts(6) == [
                "before",
                *(f"during {n}" for n in range(5)),
            ]
            assert await expiring.closed() == 3009


async def test_a_drain_loses_nothing_that_was_accepted(own_desk: Desk) -> None:
    """SIGTERM under load: clients are told when to come back, every "ok" is in the log, the exit is 0."""
    desk = own_desk
    stop = asyncio.Event()
    posting = []
    devices = []
    for _ in range(5):
        contact_id, conversation_id = await desk.conversation()
        device = await desk.visitor(contact_id)
        devices.append(device)
        posting.append(asyncio.create_task(keep_posting(device, conversation_id, stop)))
    await until(lambda: all(len(d.frames) > 20 for d in devices))
    desk.world.gateway.ask_to_stop()
    codes = [await device.closed() for device in devices]
    stop.set()
    answers = [answer for task in posting for answer in await task]
    assert codes == [3000] * 5
    assert all(any(f.get("op") == "bye" for f in d.frames) for d in devices)
    assert desk.world.gateway.wait_stopped(PATIENCE_S)
    process = desk.world.gateway._process
    assert process is not None
    assert process.exit_code == 0
    accepted = {a["position"] for a in answers if a["op"] == "ok"}
    await until(lambda: accepted <= stored_texts(desk))
    assert all(a["retry"] for a in answers if a["op"] == "err")
    assert len(accepted) > 25


async def test_a_killed_gateway_is_forgotten_by_its_clients_cursor(own_desk: Desk) -> None:
    """SIGKILL under load: after a resume elsewhere every message stands once, in order, on every device."""
    desk = own_desk
    contact_id, conversation_id = await desk.conversation()
    writing, reading = await desk.visitor(contact_id), await desk.visitor(contact_id)
    ids = [clock.new_id() for _ in range(60)]
    for number in range(30):
        await writing.say(
            op="send",
            id=number,
            conversation_id=conversation_id,
            message_id=ids[number],
            text=str(number),
        )
    await reading.until_texts(5)
    desk.world.gateway.kill(signal.SIGKILL)
    await reading.closed()
    cursor, held = reading.cursor, reading.texts()
    desk.world.gateway.start()
    await asyncio.to_thread(wait_ready, desk.world.gateway)
    again = await desk.visitor(contact_id)
    for number in range(60):
        answer = await again.post(
            conversation_id, str(number), message_id=ids[number], resend=number < 30
        )
        assert answer["op"] == "ok", answer
    back = await desk.device()
    welcome = await back.hello(desk.visitor_token(contact_id), resume=cursor)
    assert welcome["recovered"] is True
    missing = 60 - len(held)
    texts = held + await back.until_texts(missing)
    assert sorted(texts, key=int) == [str(n) for n in range(60)]


async def test_two_gateways_serve_one_conversation(around: Surroundings) -> None:
    """Devices on different gateways see the same inbox."""
    with open_world(around) as world, open_twin(world) as twin:
        async with open_desk(world) as desk:
            contact_id, conversation_id = await desk.conversation()
            here = await desk.visitor(contact_id)
            desk.world = twin
            there = await desk.visitor(contact_id)
            await here.post(conversation_id, "from here")
            await there.post(conversation_id, "from there")
            expected = {"from here", "from there"}
            assert set(await here.until_texts(2)) == expected
            assert set(await there.until_texts(2)) == expected
            assert here.texts() == there.texts()


async def test_gateways_share_a_port(around: Surroundings) -> None:
    """Several processes on one machine serve one address; the kernel spreads the connections."""
    with open_world(around, settings={"NIGHTDESK_GATEWAY_REUSE_PORT": "true"}) as world:
        settings = {
            "NIGHTDESK_MASTER_KEY_FILE": str(around.directory / "master.key"),
            "NIGHTDESK_GATEWAY_PORT": str(world.port),
            "NIGHTDESK_GATEWAY_REUSE_PORT": "true",
        }
        with service("gateway", around, settings=settings) as second:
            async with open_desk(world) as desk:
                names: set[int] = set()
                while len(names) < 2:
                    contact_id, conversation_id = await desk.conversation()
                    device = await desk.visitor(contact_id)
                    assert (await device.post(conversation_id, "hi"))["op"] == "ok"
                    for gateway in (world.gateway, second):
                        if await _metric(gateway, r'frames_total\{op="send",result="ok"\}'):
                            names.add(gateway.health_port)


async def test_a_client_that_never_reads_is_cut_off(own_desk: Desk) -> None:
    """It costs a bounded queue, is closed with 3008 and disturbs nobody."""
    desk = own_desk
    contact_id, conversation_id = await desk.conversation()
    await desk.assign(conversation_id, desk.ann)
    deaf = await _deaf_client(desk, desk.visitor_token(contact_id))
    reading, agent = await desk.visitor(contact_id), await desk.agent(desk.ann)
    process = psutil.Process(desk.world.gateway.pid)
    before = process.memory_info().rss
    for number in range(180):
        answer = await agent.post(conversation_id, f"{number} " + "长" * 7_900)
        assert answer["op"] == "ok", answer
    assert len(await reading.until_texts(180)) == 180
    closed = 0.0
    async with asyncio.timeout(PATIENCE_S):
        while not closed:
            closed = await _metric(desk.world.gateway, r'closes_total\{code="3008"\}')
    assert closed == 1
    assert process.memory_info().rss - before < 64 * 1024**2
    deaf.close()


async def _deaf_client(desk: Desk, token: str) -> socket.socket:
    """A client that says hello and then reads nothing, with a small receive buffer."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", desk.world.port))
    key = base64.b64encode(os.urandom(16)).decode()
    upgrade = (
        f"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: nightdesk.v1\r\n\r\n"
    )
    await loop.sock_sendall(raw, upgrade.encode())
    answer = await loop.sock_recv(raw, 1024)
    assert b"101" in answer.split(b"\r\n", 1)[0]
    hello = f'{{"op":"hello","token":"{token}","device":"{clock.new_id()}"}}'.encode()
    frame = b"\x81\xfe" + len(hello).to_bytes(2, "big") + b"\0\0\0\0" + hello
    await loop.sock_sendall(raw, frame)
    welcome = await loop.sock_recv(raw, 1024)
    assert b"welcome" in welcome
    return raw


async def _metric(gateway: ServiceProcess, name: str) -> float:
    """The value of a metric of a gateway, 0 while there is none."""
    line = re.compile(rf"^nightdesk_gateway_{name} (\S+)$", re.MULTILINE)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{gateway.health_url}/metrics") as response,
    ):
        found = line.search(await response.text())
    return float(found[1]) if found else 0.0
