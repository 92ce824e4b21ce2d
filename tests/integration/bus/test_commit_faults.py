"""Group commit while the server is killed, paused or absent: no false yes, no false no, no limbo."""

from __future__ import annotations

import asyncio

import pytest

from deploy.dev.nats_server import NatsServer
from shared.bus import Bus, CommitSettings, Delivery, GroupCommit, stream_state
from shared.errors import OutcomeUnknown, Unavailable
from tests.support.log import PATIENCE_S, key_and_number, numbered, running, until, whole_log

_KEYS = 200
_EACH = 100
_KILLS = 3


class _Campaign:
    """20,000 entries from 200 senders, each of which sends again until it hears yes."""

    def __init__(self, bus: Bus, commit: GroupCommit, shard: str) -> None:
        self._bus = bus
        self._commit = commit
        self._shard = shard
        self.positions: dict[tuple[str, int], int] = {}
        self.refused: set[tuple[str, int]] = set()
        self.unknown: set[tuple[str, int]] = set()

    async def run(self) -> None:
        await asyncio.gather(*(self._send(f"k{i}") for i in range(_KEYS)))

    async def _send(self, key: str) -> None:
        for number in range(_EACH):
            while (key, number) not in self.positions:
                await self._try(key, number)

    async def _try(self, key: str, number: int) -> None:
        try:
            found = await self._commit.append(
                [numbered(self._shard, key, number)], timeout_s=PATIENCE_S
            )
        except Unavailable:
            self.refused.add((key, number))
            await self._bus.wait_connected(1)
        except OutcomeUnknown:
            self.unknown.add((key, number))
        else:
            self.positions[(key, number)] = found[0]


def _first_of_each(log: list[Delivery]) -> list[tuple[str, int]]:
    """What a reader keeps after it has dropped repeats."""
    return list(dict.fromkeys(key_and_number(each) for each in log))


async def test_killed_server_loses_and_reorders_nothing(
    fresh_nats: NatsServer, fresh_bus: Bus, fresh_log: str
) -> None:
    """With three kill -9 in the middle of 20,000 entries every yes lies at its position, in order by key."""
    async with running(fresh_bus, fresh_log, CommitSettings()) as commit:
        campaign = _Campaign(fresh_bus, commit, fresh_log)
        task = asyncio.create_task(campaign.run())
        for kill in range(1, _KILLS + 1):
            goal = kill * _KEYS * _EACH // (_KILLS + 1)
            await until(lambda goal=goal: len(campaign.positions) >= goal, timeout_s=120)  # type: ignore[misc]
            fresh_nats.kill()
            await until(lambda: not fresh_bus.is_connected)
            fresh_nats.start()
        await asyncio.wait_for(task, 120)
        assert await commit.drain(PATIENCE_S)
    assert fresh_bus.reconnects >= _KILLS
    log = await whole_log(fresh_bus, fresh_log)
    held = {each.position: key_and_number(each) for each in log}
    assert len(campaign.positions) == _KEYS * _EACH
    assert all(held[position] == what for what, position in campaign.positions.items())
    kept = _first_of_each(log)
    assert len(kept) == _KEYS * _EACH
    for key in {key for key, _ in kept}:
        assert [number for found, number in kept if found == key] == list(range(_EACH))


async def test_silent_server_is_unknown_until_it_speaks(
    fresh_nats: NatsServer, fresh_bus: Bus, fresh_log: str
) -> None:
    """While nothing answers the sender hears "unknown"; the entry goes on and is known in the end."""
    settings = CommitSettings(ack_timeout_s=0.3, refuse_after_s=0.5)
    async with running(fresh_bus, fresh_log, settings) as commit:
        fresh_nats.pause()
        future = commit.submit([numbered(fresh_log, "k", 0)])
        behind = commit.submit([numbered(fresh_log, "k", 1)])
        with pytest.raises(OutcomeUnknown):
            await commit.append([numbered(fresh_log, "k", 2)], timeout_s=1)
        assert not future.done()
        fresh_nats.resume()
        found = await asyncio.wait_for(future, PATIENCE_S)
        position = found[0]
        assert not (await asyncio.wait_for(behind, PATIENCE_S)).may_repeat
        assert await commit.drain(PATIENCE_S)
    log = await whole_log(fresh_bus, fresh_log)
    first = next(each.position for each in log if key_and_number(each) == ("k", 0))
    assert found.may_repeat or position == first
    assert key_and_number(log[position - 1]) == ("k", 0)
    assert [number for _, number in _first_of_each(log)] == [0, 1, 2]


async def test_stopping_says_unknown_of_what_was_sent(
    fresh_nats: NatsServer, fresh_bus: Bus, fresh_log: str
) -> None:
    """When the loop ends, what was sent without an answer is unknown, what was not sent is a no."""
    commit = GroupCommit(fresh_bus, fresh_log)
    task = asyncio.create_task(commit.run())
    fresh_nats.pause()
    sent = commit.submit([numbered(fresh_log, "k", 0)])
    await until(lambda: commit.inflight == 1)
    queued = commit.submit([numbered(fresh_log, "k", 1)])
    assert not await commit.drain(0.1)
    task.cancel()
    await asyncio.wait({task}, timeout=PATIENCE_S)
    fresh_nats.resume()
    assert isinstance(sent.exception(), OutcomeUnknown)
    assert isinstance(queued.exception(), Unavailable)


async def test_a_dead_server_is_a_definite_no(
    fresh_nats: NatsServer, fresh_bus: Bus, fresh_log: str
) -> None:
    """What waits for a server that stays away was never sent: "unavailable", soon, for all of it."""
    settings = CommitSettings(refuse_after_s=0.3, fill_check_s=0.1)
    async with running(fresh_bus, fresh_log, settings) as commit:
        fresh_nats.kill()
        await until(lambda: not fresh_bus.is_connected)
        waiting = [commit.submit([numbered(fresh_log, f"k{i}", 0)]) for i in range(30)]
        done, still = await asyncio.wait(waiting, timeout=PATIENCE_S)
        assert not still
        assert all(isinstance(each.exception(), Unavailable) for each in done)
        with pytest.raises(Unavailable):
            commit.submit([numbered(fresh_log, "k", 0)])
        fresh_nats.start()
        await until(lambda: fresh_bus.is_connected)
        assert await commit.append([numbered(fresh_log, "k", 0)], timeout_s=PATIENCE_S) == [1]


async def test_no_stream_is_a_definite_no(bus: Bus, shard: str) -> None:
    """Without a stream nobody answers; the sender hears "unavailable" and is not left waiting."""
    settings = CommitSettings(refuse_after_s=0.3)
    async with running(bus, shard, settings) as commit:
        with pytest.raises(Unavailable):
            await commit.append([numbered(shard, "k", 0)], timeout_s=PATIENCE_S)
        both = [numbered(shard, "k", 0), numbered(shard, "k", 1)]
        with pytest.raises(Unavailable):
            await commit.append(both, timeout_s=PATIENCE_S)


async def test_a_cut_connection_sends_nothing_twice_by_itself(bus: Bus, log: str) -> None:
    """Frames queued for a lost connection are forgotten, not sent again later beside our own retry."""
    async with running(bus, log) as commit:
        await commit.append([numbered(log, "k", 0)], timeout_s=PATIENCE_S)
        for number in range(1, 21):
            await bus.client.force_reconnect()
            assert await commit.append([numbered(log, "k", number)], timeout_s=PATIENCE_S)
    assert (await stream_state(bus, log)).last == 21
