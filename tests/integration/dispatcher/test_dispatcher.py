"""The dispatcher as a process on the real log: nothing is forgotten, nothing is given twice."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AbstractContextManager

from deploy.dev.service_process import ServiceProcess
from services.gateway.directory import LiveDirectory
from shared.database import open_pool
from shared.events import ConversationAssigned, ConversationQueued, WriterStarted
from tests.support import desk
from tests.support.log import until
from tests.support.services import (
    Surroundings,
    TestLog,
    acknowledging,
    service,
    store_and_purge,
    wait_ready,
)


async def _configured(log: TestLog, *names: str, capacity: int = 1000) -> None:
    agents = [desk.agent(name, capacity=capacity) for name in names]
    await log.append("account", *agents, desk.team(*names), desk.inbox(), desk.policy())


def _dispatcher(around: Surroundings) -> AbstractContextManager[ServiceProcess]:
    """One of two. The standby is patient: on a busy machine the writer itself may well be a second late."""
    return service("dispatcher", around, settings={"NIGHTDESK_DISPATCHER_OVERDUE_S": "3"})


def _claims(log: TestLog) -> list[str]:
    return [
        event.writer for _, event in log.events(WriterStarted) if isinstance(event, WriterStarted)
    ]


async def _backlog(log: TestLog, count: int, *, prefix: str = "c") -> list[str]:
    names = [f"{prefix}{number}" for number in range(count)]
    for name in names:
        await log.append("conversation", desk.started(name))
        await log.append("message", desk.wrote(name))
    return names


def _given(log: TestLog) -> list[ConversationAssigned]:
    found = log.events(ConversationAssigned)
    return [event for _, event in found if isinstance(event, ConversationAssigned)]


def _assert_each_given_once(log: TestLog, names: list[str]) -> None:
    wanted = sorted(desk.conversation_id(name) for name in names)
    assert sorted(event.conversation_id for event in _given(log)) == wanted


async def test_the_night_backlog_is_handed_out_in_order(log: TestLog, around: Surroundings) -> None:
    """Everything written while everybody was away waits on record and goes out oldest first, up to capacity."""
    await _configured(log, "ann", "bob", capacity=4)
    names = await _backlog(log, 12)
    with service("dispatcher", around):
        await log.until(12, ConversationQueued)
        await log.append("presence", desk.online("ann"), desk.online("bob"))
        async with acknowledging(log, "ann", "bob"):
            await log.until(8, ConversationAssigned)
            await log.pass_time(0.5)
    given = _given(log)
    assert [e.conversation_id for e in given] == [desk.conversation_id(n) for n in names[:8]]
    holders = [e.agent_id for e in given]
    assert {holders.count(desk.agent_id(name)) for name in ("ann", "bob")} == {4}


async def test_a_killed_dispatcher_forgets_nothing(log: TestLog, around: Surroundings) -> None:
    """After SIGKILL in mid-run a new one goes on: each conversation is assigned exactly once."""
    await _configured(log, "ann", "bob", "eve")
    names = await _backlog(log, 30)
    async with acknowledging(log, "ann", "bob", "eve"):
        with service("dispatcher", around) as process:
            await log.append("presence", *(desk.online(name) for name in ("ann", "bob", "eve")))
            await log.until(5, ConversationAssigned)
            process.kill()
            names += await _backlog(log, 30, prefix="d")
            process.start()
            wait_ready(process)
            await log.until(60, ConversationAssigned)
    _assert_each_given_once(log, names)


async def test_two_dispatchers_decide_once(log: TestLog, around: Surroundings) -> None:
    """Of two dispatchers one writes; when it dies the other takes over without giving anything out twice."""
    await _configured(log, "ann", "bob")
    await log.append("presence", desk.online("ann"), desk.online("bob"))
    async with acknowledging(log, "ann", "bob"):
        with _dispatcher(around) as first:
            await log.until(1, WriterStarted)
            with _dispatcher(around) as second:
                await log.until(2, WriterStarted)
                names = await _backlog(log, 20)
                await log.until(20, ConversationAssigned)
                # On a slow machine the other may have found a decision overdue and claimed in the meantime.
                claims = _claims(log)
                dead = claims[-1]
                (first if dead == claims[0] else second).kill()
                names += await _backlog(log, 20, prefix="d")
                await log.until(40, ConversationAssigned)
    _assert_each_given_once(log, names)
    assert {event.writer for event in _given(log)[20:]}.isdisjoint({dead})


async def test_a_standby_claims_when_a_decision_is_overdue(
    log: TestLog, around: Surroundings
) -> None:
    """A frozen writer is replaced soon, and stands by when it wakes."""
    await _configured(log, "ann")
    await log.append("presence", desk.online("ann"))
    async with acknowledging(log, "ann"):
        with _dispatcher(around), _dispatcher(around) as active:
            claims = await log.until(2, WriterStarted)
            active.pause()
            names = await _backlog(log, 1)
            await log.until(1, ConversationAssigned)
            active.resume()
            names += await _backlog(log, 3, prefix="d")
            await log.until(4, ConversationAssigned)
    _assert_each_given_once(log, names)
    assert isinstance(claims[0], WriterStarted)
    assert {event.writer for event in _given(log)} == {claims[0].writer}


async def test_a_restarted_broker_is_followed(log_fresh: TestLog, fresh: Surroundings) -> None:
    """After SIGKILL and restart of the nats-server the dispatcher goes on, and gives nothing out twice."""
    log, around = log_fresh, fresh
    await _configured(log, "ann")
    await log.append("presence", desk.online("ann"))
    async with acknowledging(log, "ann"):
        with service("dispatcher", around):
            names = await _backlog(log, 5)
            await log.until(5, ConversationAssigned)
            around.nats.kill()
            around.nats.start()
            names += await _backlog(log, 5, prefix="d")
            await log.until(10, ConversationAssigned)
    _assert_each_given_once(log, names)


async def _dies_at(point: str, around: Surroundings, *, name: str = "dispatcher") -> None:
    settings = {"NIGHTDESK_CRASH_POINT": point, "NIGHTDESK_GATEWAY_PORT": "0"}
    log = around.directory / f"{point}.log"
    process = ServiceProcess(name, env=around.environment(settings), log=log)
    process.start()
    try:
        await until(lambda: not process.is_running)
        assert process.exit_code == -signal.SIGKILL
    finally:
        process.kill()


async def test_a_purged_range_is_read_from_events(log: TestLog, around: Surroundings) -> None:
    """A new dispatcher reads what is purged from the stream from `events`, and knows all of it; also when others have
    died at just that, or at the very first start of all. A gateway reads its part of it."""
    await _configured(log, "ann")
    await log.append("presence", desk.online("ann"))
    await _dies_at("opening.remember", around)
    with service("dispatcher", around):
        names = await _backlog(log, 2)
        await log.until(2, ConversationAssigned)
    await store_and_purge(log, around)
    for point in ("following.connect", "following.read"):
        await _dies_at(point, around)
    with service("dispatcher", around):
        names += await _backlog(log, 1, prefix="d")
        await log.until(3, ConversationAssigned)
    _assert_each_given_once(log, names)
    await _gateway_reads_it_too(log, around)


async def _gateway_reads_it_too(log: TestLog, around: Surroundings) -> None:
    """Also when one has died at just that."""
    (around.directory / "no.key").write_text("ab" * 32, encoding="ascii")
    await _dies_at("gateway.account.read", around, name="gateway")
    pool = await open_pool(around.database_url, name="gateway", size=1)
    directory = LiveDirectory(log.bus, around.shard, pool, writer="test")
    running = asyncio.create_task(directory.run())
    try:
        async with asyncio.timeout(30):
            await directory.ready()
        account = directory.account(desk.ACCOUNT)
        assert set(account.agents) == {desk.agent_id("ann")}
        assert (len(account.teams), len(account.inboxes)) == (1, 1)
    finally:
        running.cancel()
        await asyncio.wait({running})
        await pool.close()
