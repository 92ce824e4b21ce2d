"""The positioned reader on a real log: everything once, in order, with an honest end and clock."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from shared.bus import (
    Bus,
    CursorSettings,
    LogHole,
    LogReplaced,
    RangePurged,
    Reader,
    ReaderSettings,
    Start,
    digest,
    stream_name,
    stream_state,
)
from shared.bus.api import api_request
from tests.support.log import (
    PATIENCE_S,
    Follower,
    entry,
    fill,
    key_and_number,
    read_to_end,
    running,
    until,
    whole_log,
)

_QUICK = ReaderSettings(idle_s=0.05, silence_s=1.0, cursor=CursorSettings(heartbeat_s=0.2))


async def _write(bus: Bus, shard: str, count: int) -> None:
    async with running(bus, shard) as commit:
        await commit.append([entry(shard, b"%d" % i) for i in range(count)], timeout_s=PATIENCE_S)


async def test_the_whole_log_in_order(bus: Bus, log: str) -> None:
    """From the beginning every entry is handed over once, in order, with subject, bytes and time."""
    async with running(bus, log) as commit:
        await fill(commit, log, keys=100, each=35)
    found = await whole_log(bus, log)
    assert [each.position for each in found] == list(range(1, 3501))
    assert len({key_and_number(each) for each in found}) == 3500
    assert {each.subject for each in found} == {f"nd.ev.{log}.message"}
    assert all(a.at_ns <= b.at_ns for a, b in itertools.pairwise(found))


async def test_it_goes_on_after_a_checkpoint(bus: Bus, log: str) -> None:
    """From a checkpoint only what follows is handed over; at the end of the log that is nothing."""
    await _write(bus, log, 10)
    log_now = await whole_log(bus, log)
    for position in (1, 5, 10):
        start = Start(position=position, digest=digest(log_now[position - 1]))
        found = await read_to_end(Reader(bus, log, start))
        assert [each.position for each in found] == list(range(position + 1, 11))


async def test_what_is_written_later_follows(bus: Bus, log: str) -> None:
    """At the end the reader waits, yields ticks, and hands over what comes."""
    follower = Follower(Reader(bus, log, Start(), _QUICK))
    await until(lambda: len(follower.batches) > 3 and follower.is_at_end)
    for count in range(1, 4):
        await _write(bus, log, 5)
        await until(lambda count=count: len(follower.deliveries) == 5 * count)  # type: ignore[misc]
    await until(lambda: follower.is_at_end)
    await follower.stop()
    assert follower.positions == list(range(1, 16))
    assert follower.reader.position == 15


async def test_time_is_the_logs_until_its_end_and_never_goes_back(bus: Bus, log: str) -> None:
    """Before the end `now` is the time of the last entry read, at the end the server's clock."""
    await _write(bus, log, 1000)
    settings = ReaderSettings(batch_entries=100, idle_s=0.05)
    follower = Follower(Reader(bus, log, Start(), settings))
    await until(lambda: follower.is_at_end and len(follower.batches) > 15)
    await follower.stop()
    before = [each for each in follower.batches if not each.at_end and each.deliveries]
    assert before
    assert all(each.now_ns == each.deliveries[-1].at_ns for each in before)
    times = [each.now_ns for each in follower.batches]
    assert times == sorted(times)
    server_ns = (await stream_state(bus, log)).now_ns
    assert 0 <= server_ns - times[-1] < PATIENCE_S * 1e9


async def test_only_some_families(bus: Bus, log: str) -> None:
    """With subjects only these are read, also from a checkpoint, and the end is known."""
    async with running(bus, log) as commit:
        for number in range(60):
            family = "routing" if number % 3 == 0 else "message"
            await commit.append([entry(log, b"%d" % number, family=family)], timeout_s=PATIENCE_S)
    routing = (f"nd.ev.{log}.routing",)
    found = await read_to_end(Reader(bus, log, Start(), subjects=routing))
    assert [each.position for each in found] == list(range(1, 61, 3))
    middle = found[9]
    start = Start(position=middle.position, digest=digest(middle))
    rest = await read_to_end(Reader(bus, log, start, subjects=routing))
    assert rest == found[10:]
    both = (f"nd.ev.{log}.routing", f"nd.ev.{log}.message")
    assert len(await read_to_end(Reader(bus, log, Start(), subjects=both))) == 60


async def test_another_log_at_the_checkpoint_is_found_out(bus: Bus, log: str) -> None:
    """A checkpoint whose entry differs, or that lies beyond the end, stops the reader."""
    await _write(bus, log, 5)
    settings = ReaderSettings(shrunk_s=0.1)
    for subjects in ((), (f"nd.ev.{log}.message",)):
        for start in (Start(position=3, digest=bytes(16)), Start(position=9)):
            with pytest.raises(LogReplaced):
                await read_to_end(Reader(bus, log, start, settings, subjects=subjects))


async def test_a_log_that_seems_shorter_for_a_moment_is_waited_for(bus: Bus, log: str) -> None:
    """A new leader that has not caught up tells an older end: the reader neither stops nor claims the end."""
    await _write(bus, log, 5)
    follower = Follower(
        Reader(bus, log, Start(position=9), ReaderSettings(idle_s=0.05, shrunk_s=PATIENCE_S))
    )
    await until(lambda: len(follower.batches) > 3)
    assert not any(batch.at_end for batch in follower.batches)
    await _write(bus, log, 6)
    await until(lambda: follower.positions == [10, 11])
    await follower.stop()


async def test_a_log_that_shrinks_under_the_reader_is_found_out(bus: Bus, log: str) -> None:
    """A log restored from an older copy while it is read stops the reader, it does not wait for ever."""
    await _write(bus, log, 5)
    settings = ReaderSettings(idle_s=0.05, clock_refresh_s=0.1, shrunk_s=0.2)
    follower = Follower(Reader(bus, log, Start(), settings))
    await until(lambda: len(follower.deliveries) == 5)
    name = stream_name(log)
    await api_request(bus, f"STREAM.DELETE.{name}")
    config = {"name": name, "subjects": [f"nd.ev.{log}.*"], "allow_atomic": True}
    await api_request(bus, f"STREAM.CREATE.{name}", config)
    await until(follower.task.done)
    assert isinstance(follower.task.exception(), LogReplaced)


async def test_a_purged_range_is_named(bus: Bus, log: str) -> None:
    """When the stream begins beyond the checkpoint the caller learns what to read elsewhere."""
    await _write(bus, log, 10)
    await api_request(bus, f"STREAM.PURGE.{stream_name(log)}", {"seq": 6})
    with pytest.raises(RangePurged) as purged:
        await read_to_end(Reader(bus, log, Start(position=2)))
    assert (purged.value.position, purged.value.first) == (2, 6)
    with pytest.raises(RangePurged):
        await read_to_end(Reader(bus, log, Start()))
    found = await read_to_end(Reader(bus, log, Start(position=5, digest=bytes(16))))
    assert [each.position for each in found] == [6, 7, 8, 9, 10]


@pytest.mark.parametrize("missing", [4, 1])
async def test_a_hole_stops_the_reader(bus: Bus, log: str, missing: int) -> None:
    """What a fresh consumer shows missing again is missing: everything before it, then an error."""
    await _write(bus, log, 6)
    body = {"seq": missing, "no_erase": True}
    await api_request(bus, f"STREAM.MSG.DELETE.{stream_name(log)}", body)
    follower = Follower(Reader(bus, log, Start(), _QUICK))
    await until(follower.task.done)
    error = follower.task.exception()
    if missing == 1:
        assert isinstance(error, RangePurged)
    else:
        assert isinstance(error, LogHole)
        assert (error.after, error.found) == (3, 5)
        assert follower.positions == [1, 2, 3]


async def test_a_deleted_entry_at_the_checkpoint_is_a_hole(bus: Bus, log: str) -> None:
    """The entry that the checkpoint names can't be compared any more: stop."""
    await _write(bus, log, 6)
    body = {"seq": 4, "no_erase": True}
    await api_request(bus, f"STREAM.MSG.DELETE.{stream_name(log)}", body)
    with pytest.raises(LogHole):
        await read_to_end(Reader(bus, log, Start(position=4), _QUICK))


async def test_a_slow_caller_holds_no_more_than_it_asked_for(bus: Bus, log: str) -> None:
    """What waits in memory is bounded by the pull requests, however far behind the caller is."""
    await _write(bus, log, 1000)
    await _write(bus, log, 1000)
    settings = ReaderSettings(batch_entries=10, cursor=CursorSettings(pull_entries=50))
    reader = Reader(bus, log, Start(), settings)
    most = 0
    seen = 0
    async for batch in reader.batches():
        seen += len(batch.deliveries)
        cursor = reader._cursor
        assert cursor is not None
        most = max(most, cursor.buffered)
        # The slow caller: the connection has a turn between any two batches, and may fill the buffer as far as it will.
        await asyncio.sleep(0)
        if batch.at_end:
            break
    assert seen == 2000
    assert most <= 101


async def test_large_entries_pass(bus: Bus, log: str) -> None:
    """Entries near the size limit arrive although a pull request is limited in bytes."""
    async with running(bus, log) as commit:
        for number in range(8):
            await commit.append([entry(log, b"%d" % number * 900_000)], timeout_s=PATIENCE_S)
    settings = ReaderSettings(cursor=CursorSettings(pull_bytes=2_000_000))
    found = await read_to_end(Reader(bus, log, Start(), settings))
    assert [len(each.payload) for each in found] == [900_000] * 8
