"""Fenced families: only who has folded the last event may append the next."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from deploy.dev.nats_server import NatsServer
from shared.bus import (
    Bus,
    BusSettings,
    FenceBusy,
    FencedWriter,
    FenceLost,
    connect,
    stream_state,
)
from shared.errors import Malformed, OutcomeUnknown, Unavailable
from tests.support.log import PATIENCE_S, entry, running, until, whole_log


def _routing(shard: str) -> str:
    return f"nd.ev.{shard}.routing"


async def test_first_and_next_append_follow_what_was_folded(bus: Bus, log: str) -> None:
    """The first append expects nothing, the next one the last position; several lie together."""
    writer = FencedWriter(bus, log, _routing(log))
    assert await writer.append([b"claim"], expected=0) == [1]
    assert await writer.append([b"a", b"b", b"c"], expected=1) == [2, 3, 4]
    assert await writer.append([b"d"], expected=4) == [5]
    assert [each.payload for each in await whole_log(bus, log)] == [
        b"claim",
        b"a",
        b"b",
        b"c",
        b"d",
    ]


@pytest.mark.parametrize("payloads", [[b"x"], [b"x", b"y"]])
async def test_a_stale_writer_stores_nothing(bus: Bus, log: str, payloads: list[bytes]) -> None:
    """Who has not folded the last event of the family is refused, whole."""
    writer = FencedWriter(bus, log, _routing(log))
    await writer.append([b"claim"], expected=0)
    for stale in (0, 7):
        with pytest.raises(FenceLost):
            await writer.append(payloads, expected=stale)
    assert (await stream_state(bus, log)).last == 1


async def test_other_families_do_not_disturb(bus: Bus, log: str) -> None:
    """The fence is the family's: messages written meanwhile change nothing."""
    writer = FencedWriter(bus, log, _routing(log))
    last = (await writer.append([b"claim"], expected=0))[-1]
    async with running(bus, log) as commit:
        await commit.append([entry(log, b"m")] * 10, timeout_s=PATIENCE_S)
    assert await writer.append([b"next"], expected=last) == [12]


async def test_rivals_form_one_chain(nats_server: NatsServer, bus: Bus, log: str) -> None:
    """Three writers at once: every stored event names the one before it, none was lost, none doubled."""
    buses = [await connect(BusSettings(url=nats_server.url)) for _ in range(3)]
    stored: list[int] = []
    refused = 0

    async def rival(own: Bus, name: str) -> None:
        nonlocal refused
        writer = FencedWriter(own, log, _routing(log))
        last = 0
        for number in range(60):
            batch = [f"{name} {number} {part} {last}".encode() for part in range(1 + number % 3)]
            try:
                positions = await writer.append(batch, expected=last)
            except (FenceLost, FenceBusy):
                refused += 1
                last = (await stream_state(own, log)).last
                continue
            stored.extend(positions)
            last = positions[-1]

    await asyncio.gather(*(rival(own, f"w{i}") for i, own in enumerate(buses)))
    found = await whole_log(bus, log)
    assert sorted(stored) == [each.position for each in found]
    assert refused > 0
    previous = 0
    for each in found:
        _, _, part, expected = each.payload.decode().split()
        assert int(expected) == previous - int(part)
        previous = each.position
    for own in buses:
        await own.close()


async def test_silence_is_an_unknown_outcome(
    fresh_nats: NatsServer, fresh_bus: Bus, fresh_log: str
) -> None:
    """Without an answer nothing is claimed; folding the log to its end tells what happened."""
    writer = FencedWriter(fresh_bus, fresh_log, _routing(fresh_log), ack_timeout_s=PATIENCE_S)
    await writer.append([b"claim"], expected=0)
    hasty = FencedWriter(fresh_bus, fresh_log, _routing(fresh_log), ack_timeout_s=0.3)
    fresh_nats.pause()
    with pytest.raises(OutcomeUnknown):
        await hasty.append([b"lost?"], expected=1)
    fresh_nats.resume()
    await until(lambda: fresh_bus.is_connected)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            last = (await whole_log(fresh_bus, fresh_log))[-1].position
            # It may be stored between the reading and the next append: then the log is folded once more.
            with contextlib.suppress(FenceLost, FenceBusy):
                assert await writer.append([b"next"], expected=last) == [last + 1]
                break
    log = await whole_log(fresh_bus, fresh_log)
    assert [each.payload for each in log] in (
        [b"claim", b"next"],
        [b"claim", b"lost?", b"next"],
    )


async def test_a_lost_connection_is_told_at_once(
    fresh_nats: NatsServer, fresh_bus: Bus, fresh_log: str
) -> None:
    """A writer whose server dies does not wait out its time: unknown if sent, unavailable if not."""
    writer = FencedWriter(fresh_bus, fresh_log, _routing(fresh_log), ack_timeout_s=2 * PATIENCE_S)
    await writer.append([b"claim"], expected=0)
    fresh_nats.pause()
    sent = asyncio.create_task(writer.append([b"x"], expected=1))
    await asyncio.wait({sent}, timeout=0.1)
    fresh_nats.kill()
    with pytest.raises(OutcomeUnknown):
        await asyncio.wait_for(sent, PATIENCE_S)
    with pytest.raises(Unavailable):
        await writer.append([b"x"], expected=1)


async def test_impossible_appends_are_malformed(bus: Bus, log: str) -> None:
    """Nothing, too many or too large: refused before it is sent."""
    writer = FencedWriter(bus, log, _routing(log))
    for payloads in ([], [b"x"] * 1001, [bytes(bus.client.max_payload)]):
        with pytest.raises(Malformed):
            await writer.append(payloads, expected=0)
    await writer.close()
