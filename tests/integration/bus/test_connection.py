"""Core NATS: answers in time or a clear "unavailable", and nothing stuck."""

from __future__ import annotations

import asyncio

import nats.errors
import pytest

from deploy.dev.nats_server import NatsServer
from shared.bus import Bus, BusSettings, CoreMessage, connect
from shared.errors import Malformed, Unavailable
from tests.support.log import PATIENCE_S, until


async def test_a_question_is_answered(bus: Bus, shard: str) -> None:
    """The answer of a handler reaches who asked."""

    async def answer(message: CoreMessage) -> None:
        assert message.wants_reply
        await message.reply(b"re: " + message.payload)

    await bus.subscribe(f"nd.q.{shard}.x", answer, queue="store")
    assert await bus.request(f"nd.q.{shard}.x", b"one") == b"re: one"


async def test_nobody_and_silence_are_unavailable(bus: Bus, shard: str) -> None:
    """Nobody there is told at once, silence after the time-out."""
    with pytest.raises(Unavailable) as nobody:
        await bus.request(f"nd.q.{shard}.x", b"")
    assert nobody.value.code == "no_responders"

    async def silence(message: CoreMessage) -> None:
        assert message.payload == b""

    await bus.subscribe(f"nd.q.{shard}.x", silence)
    with pytest.raises(Unavailable) as silent:
        await bus.request(f"nd.q.{shard}.x", b"", timeout_s=0.1)
    assert silent.value.code == "timeout"


async def test_a_failing_handler_ends_nothing(bus: Bus, shard: str) -> None:
    """One message that a handler stumbles over does not silence those after it."""
    heard: list[bytes] = []

    async def stumble(message: CoreMessage) -> None:
        heard.append(message.payload)
        if message.payload == b"bad":
            raise RuntimeError("a bug")

    await bus.subscribe(f"nd.x.{shard}", stumble)
    await bus.publish(f"nd.x.{shard}", b"bad")
    await bus.publish(f"nd.x.{shard}", b"good")
    await until(lambda: heard == [b"bad", b"good"])


async def test_handlers_run_beside_each_other_up_to_the_limit(bus: Bus, shard: str) -> None:
    """Slow questions do not queue behind each other, and never more than allowed run at once."""
    running = most = 0
    gate = asyncio.Event()

    async def slow(message: CoreMessage) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1
        await message.reply(b"")

    await bus.subscribe(f"nd.q.{shard}.slow", slow, concurrency=3)
    asked = [asyncio.create_task(bus.request(f"nd.q.{shard}.slow", b"")) for _ in range(7)]
    await until(lambda: running == 3)
    gate.set()
    await asyncio.wait_for(asyncio.gather(*asked), PATIENCE_S)
    assert most == 3


async def test_a_closed_subscription_hears_nothing(bus: Bus, shard: str) -> None:
    """After `close` the subject has no listener."""

    async def answer(message: CoreMessage) -> None:
        await message.reply(b"")

    subscription = await bus.subscribe(f"nd.q.{shard}.x", answer)
    await bus.request(f"nd.q.{shard}.x", b"")
    await subscription.close()
    with pytest.raises(Unavailable):
        await bus.request(f"nd.q.{shard}.x", b"", timeout_s=PATIENCE_S)


async def test_too_large_is_malformed(bus: Bus) -> None:
    """What the server would cut the connection for is refused here."""
    large = bytes(bus.client.max_payload + 1)
    with pytest.raises(Malformed):
        await bus.publish("nd.x", large)
    with pytest.raises(Malformed):
        await bus.request("nd.x", large)


async def test_a_subscription_survives_the_server(fresh_nats: NatsServer, fresh_bus: Bus) -> None:
    """The connection comes back by itself with its subscriptions; meanwhile nothing blocks or raises."""
    heard: list[bytes] = []

    async def hear(message: CoreMessage) -> None:
        heard.append(message.payload)

    await fresh_bus.subscribe("nd.x", hear)
    fresh_nats.kill()
    await until(lambda: not fresh_bus.is_connected)
    await fresh_bus.publish("nd.x", b"into the void")
    with pytest.raises(Unavailable):
        await fresh_bus.request("nd.x", b"")
    assert fresh_bus.disconnected_s > 0
    fresh_nats.start()
    assert await fresh_bus.wait_connected(PATIENCE_S)
    await fresh_bus.publish("nd.x", b"again")
    await until(lambda: bool(heard))
    assert (heard, fresh_bus.reconnects, fresh_bus.disconnected_s) == ([b"again"], 1, 0.0)


async def test_no_server_is_unavailable(fresh_nats: NatsServer) -> None:
    """The first connection is given up after its time-out, with a clear error."""
    fresh_nats.kill()
    with pytest.raises(Unavailable):
        await connect(BusSettings(url=fresh_nats.url, connect_timeout_s=0.3))


async def test_a_wrong_password_is_unavailable(nats_server: NatsServer) -> None:
    """Being turned away is an error at start, not an endless loop."""
    with pytest.raises(Unavailable):
        await connect(
            BusSettings(
                url=f"nats://127.0.0.1:{nats_server.port}",
                username="nobody",
                password="wrong",
                connect_timeout_s=0.5,
            )
        )


async def test_a_complaint_of_the_server_does_not_end_the_connection(bus: Bus, shard: str) -> None:
    """Whatever error the server sends before it hangs up, the connection comes back by itself."""

    async def answer(message: CoreMessage) -> None:
        await message.reply(b"here")

    await bus.subscribe(f"nd.q.{shard}.x", answer)
    for times in (1, 2):
        bus.client.write(b"NO SUCH OPERATION\r\n")
        await until(lambda times=times: bus.reconnects == times)  # type: ignore[misc]
        assert await bus.request(f"nd.q.{shard}.x", b"") == b"here"


async def test_a_planned_restart_of_the_server_is_survived(
    fresh_nats: NatsServer, fresh_bus: Bus
) -> None:
    """SIGTERM and a new start look to the process like any other loss."""
    fresh_nats.stop()
    await until(lambda: not fresh_bus.is_connected)
    fresh_nats.start()
    assert await fresh_bus.wait_connected(PATIENCE_S)


async def test_an_answer_after_the_order_to_end_is_dropped(
    bus: Bus, shard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that comes to its answer while the connection is being closed is no fault of anybody: no traceback."""

    async def refuse(*_: object) -> None:
        raise nats.errors.ConnectionDrainingError

    monkeypatch.setattr(bus.client, "publish", refuse)
    await bus.publish(f"nd.x.{shard}", b"too late")
