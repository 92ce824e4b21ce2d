"""Group commit on a healthy server: positions, order, limits, back-pressure."""

from __future__ import annotations

import asyncio

import pytest

from shared.bus import (
    Bus,
    CommitSettings,
    StreamSettings,
    ensure_stream,
    stream_state,
)
from shared.errors import Malformed, Unavailable
from tests.support.log import (
    PATIENCE_S,
    entry,
    fill,
    key_and_number,
    numbered,
    running,
    until,
    whole_log,
)


@pytest.mark.parametrize("keys", [1, 5, 40, 400])
async def test_every_entry_lies_where_its_sender_was_told(bus: Bus, log: str, keys: int) -> None:
    """The positions answered, from plain publishes and from batches, are those of the log."""
    async with running(bus, log) as commit:
        positions = await fill(commit, log, keys=keys, each=2000 // keys // 4)
    found = {key_and_number(each): each.position for each in await whole_log(bus, log)}
    assert found == positions


@pytest.mark.parametrize("groups", [1, 3])
async def test_entries_of_one_key_keep_their_order(bus: Bus, log: str, groups: int) -> None:
    """Entries submitted without waiting lie in the log in the order of their submission, key by key."""
    settings = CommitSettings(groups_in_flight=groups, max_entries=50, ack_timeout_s=PATIENCE_S)
    async with running(bus, log, settings) as commit:
        futures = [
            commit.submit([numbered(log, f"k{number % 7}", number)]) for number in range(2000)
        ]
        await asyncio.wait_for(asyncio.gather(*futures), PATIENCE_S)
    numbers: dict[str, list[int]] = {}
    for each in await whole_log(bus, log):
        key, number = key_and_number(each)
        numbers.setdefault(key, []).append(number)
    assert sum(map(len, numbers.values())) == 2000
    assert all(found == sorted(found) for found in numbers.values())


async def test_small_groups_keep_the_order_of_a_key(bus: Bus, log: str) -> None:
    """Plain publishes in flight together are never two of one key."""
    async with running(bus, log) as commit:
        for start in range(0, 300, 6):
            futures = [
                commit.submit([numbered(log, f"k{number % 2}", number)])
                for number in range(start, start + 6)
            ]
            await asyncio.wait_for(asyncio.gather(*futures), PATIENCE_S)
    numbers = [key_and_number(each)[1] for each in await whole_log(bus, log)]
    assert [n for n in numbers if n % 2] == [n for n in range(300) if n % 2]
    assert [n for n in numbers if not n % 2] == [n for n in range(300) if not n % 2]


async def test_it_ends_in_the_moment_of_an_answer(bus: Bus, log: str) -> None:
    """A cancellation that comes together with an answer of the server is not forgotten: a process that is told to stop
    would hang. `running` waits for the end."""
    for number in range(5):
        async with running(bus, log) as commit:
            await commit.append([numbered(log, "k", number)], timeout_s=PATIENCE_S)


async def test_a_submission_lies_together(bus: Bus, log: str) -> None:
    """Entries submitted together follow each other in the log, whatever else is written."""
    async with running(bus, log) as commit:
        others = asyncio.create_task(fill(commit, log, keys=30, each=10))
        for _ in range(20):
            together = [entry(log, b"a 0 x", key="a"), entry(log, b"a 1 x", family="conversation")]
            first, second = await commit.append(together, timeout_s=PATIENCE_S)
            assert second == first + 1
        await others


async def test_nothing_submitted_is_nothing_done(bus: Bus, log: str) -> None:
    """An empty submission is answered at once and appends nothing."""
    async with running(bus, log) as commit:
        assert await commit.append([], timeout_s=1) == []
    assert (await stream_state(bus, log)).last == 0


async def test_too_large_is_refused_before_it_is_sent(bus: Bus, log: str) -> None:
    """An entry beyond the server's limit never reaches the queue, where it would reject its neighbours."""
    limit = bus.client.max_payload
    async with running(bus, log) as commit:
        with pytest.raises(Malformed):
            commit.submit([entry(log, bytes(limit))])
        with pytest.raises(Malformed):
            commit.submit([entry(log, b"x")] * 1001)
        assert await commit.append([entry(log, bytes(limit - 2048))], timeout_s=PATIENCE_S) == [1]
        pair = [entry(log, bytes(limit - 2048)), entry(log, b"x")]
        assert await commit.append(pair, timeout_s=PATIENCE_S) == [2, 3]


async def test_a_full_queue_pushes_back(bus: Bus, log: str) -> None:
    """Beyond the queue's limit a sender hears "unavailable" at once; what was taken is still done."""
    settings = CommitSettings(queue_entries=100, ack_timeout_s=PATIENCE_S)
    async with running(bus, log, settings) as commit:
        taken = [commit.submit([numbered(log, "k", number)]) for number in range(100)]
        with pytest.raises(Unavailable) as refused:
            commit.submit([numbered(log, "k", 100)])
        assert refused.value.code == "overloaded"
        await asyncio.wait_for(asyncio.gather(*taken), PATIENCE_S)
        assert commit.queued == commit.queued_bytes == commit.inflight == 0
    assert (await stream_state(bus, log)).last == 100


async def test_a_nearly_full_log_takes_no_messages(bus: Bus, shard: str) -> None:
    """From 90 % of the size limit new entries are refused, and nothing accepted is dropped for them."""
    await ensure_stream(bus, shard, StreamSettings(max_bytes=1024**2))
    stored = 0
    settings = CommitSettings(fill_check_s=0.02, ack_timeout_s=PATIENCE_S)
    async with running(bus, shard, settings) as commit:
        while commit.fill < 0.9:
            await commit.append([entry(shard, bytes(20_000))], timeout_s=PATIENCE_S)
            stored += 1
            seen = 0.019 * stored
            await until(lambda seen=seen: commit.fill > seen)  # type: ignore[misc]
        with pytest.raises(Unavailable) as refused:
            commit.submit([entry(shard, b"x")])
        assert refused.value.code == "log_full"
    state = await stream_state(bus, shard)
    assert state.last == stored
    assert 0.85 < state.fill < 0.95


async def test_a_full_log_is_a_definite_no(bus: Bus, shard: str) -> None:
    """What the server refuses for want of space was not stored, and the sender is told so."""
    await ensure_stream(bus, shard, StreamSettings(max_bytes=1024**2))
    settings = CommitSettings(fill_refuse=2.0, ack_timeout_s=PATIENCE_S)
    async with running(bus, shard, settings) as commit:
        outcomes = await asyncio.gather(
            *(
                commit.append([entry(shard, bytes(50_000), key=f"k{i}")], timeout_s=PATIENCE_S)
                for i in range(40)
            ),
            return_exceptions=True,
        )
    yes = [each[0] for each in outcomes if isinstance(each, list)]
    assert all(isinstance(each, list | Unavailable) for each in outcomes)
    assert sorted(yes) == list(range(1, (await stream_state(bus, shard)).last + 1))
    assert len(yes) < 40


async def test_draining_finishes_what_was_taken(bus: Bus, log: str) -> None:
    """A process that stops answers everything it accepted and accepts nothing more."""
    async with running(bus, log) as commit:
        taken = [commit.submit([numbered(log, f"k{i}", i)]) for i in range(500)]
        assert await commit.drain(PATIENCE_S)
        assert all(each.done() for each in taken)
        with pytest.raises(Unavailable) as refused:
            commit.submit([numbered(log, "k", 0)])
        assert refused.value.code == "draining"
