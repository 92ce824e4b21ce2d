"""The dispatcher as a process on the real log: nothing is forgotten, nothing is given twice."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from shared.events import (
    ConversationAssigned,
    ConversationQueued,
    WriterStarted,
)
from tests.support import desk
from tests.support.log import until
from tests.support.services import (
    Surroundings,
    TestLog,
    service,
    store_and_purge,
    wait_ready,
)


async def _configured(log: TestLog, *names: str, capacity: int = 5) -> None:
    agents = [desk.agent(name, capacity=capacity) for name in names]
    await log.append("account", *agents, desk.team(*names), desk.inbox(), desk.policy())


async def _backlog(log: TestLog, count: int) -> list[str]:
    names = [f"c{number}" for number in range(count)]
    for name in names:
        await log.append("conversation", desk.started(name))
        await log.append("message", desk.wrote(name))
    return names


async def _acknowledge(log: TestLog, *names: str) -> None:
    """Answer each assignment at once with a receipt, as devices do. Until cancelled."""
    seen = 0
    while True:
        found = log.events(ConversationAssigned)
        for position, event in found[seen:]:
            assert isinstance(event, ConversationAssigned)
            name = next(n for n in names if desk.agent_id(n) == event.agent_id)
            await log.append("receipt", desk.received(name, position))
        seen = len(found)
        await asyncio.sleep(0.005)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_the_night_backlog_is_handed_out_in_order(log: TestLog, around: Surroundings) -> None:
    """Everything written while everybody was away waits on record and goes out oldest first, up to capacity."""
    await _configured(log, "ann", "bob", capacity=4)
    names = await _backlog(log, 12)
    with service("dispatcher", around):
        await log.until(12, ConversationQueued)
        await log.append("presence", desk.online("ann"), desk.online("bob"))
        receipts = asyncio.create_task(_acknowledge(log, "ann", "bob"))
        given = await log.until(8, ConversationAssigned)
        await log.append("message", desk.wrote("c11"))
        await _stop(receipts)
    order = [desk.conversation_id(name) for name in names[:8]]
    assert [e.conversation_id for e in given if isinstance(e, ConversationAssigned)] == order
    holders = [e.agent_id for e in given if isinstance(e, ConversationAssigned)]
    assert {holders.count(desk.agent_id(name)) for name in ("ann", "bob")} == {4}


async def test_a_killed_dispatcher_forgets_nothing(log: TestLog, around: Surroundings) -> None:
    """After SIGKILL in mid-run a new one goes on: each conversation is assigned exactly once."""
    await _configured(log, "ann", "bob", "eve", capacity=1000)
    names = await _backlog(log, 30)
    receipts = asyncio.create_task(_acknowledge(log, "ann", "bob", "eve"))
    with service("dispatcher", around) as process:
        await log.append("presence", *(desk.online(name) for name in ("ann", "bob", "eve")))
        await log.until(5, ConversationAssigned)
        process.kill()
        for number in range(30, 60):
            name = f"c{number}"
            names.append(name)
            await log.append("conversation", desk.started(name))
            await log.append("message", desk.wrote(name))
        process.start()
        wait_ready(process)
        await log.until(60, ConversationAssigned)
    await _stop(receipts)
    given = [e.conversation_id for _, e in log.events(ConversationAssigned)]  # type: ignore[union-attr]
    assert sorted(given) == sorted(desk.conversation_id(name) for name in names)


async def test_two_dispatchers_decide_once(log: TestLog, around: Surroundings) -> None:
    """Of two dispatchers one writes; when it dies the other takes over without giving anything out twice."""
    await _configured(log, "ann", "bob", capacity=1000)
    await log.append("presence", desk.online("ann"), desk.online("bob"))
    receipts = asyncio.create_task(_acknowledge(log, "ann", "bob"))
    with service("dispatcher", around), service("dispatcher", around) as second:
        names = await _backlog(log, 20)
        await log.until(20, ConversationAssigned)
        second.kill()
        names += [f"d{number}" for number in range(20)]
        for name in names[20:]:
            await log.append("conversation", desk.started(name))
            await log.append("message", desk.wrote(name))
        await log.until(40, ConversationAssigned)
    await _stop(receipts)
    given = [e for _, e in log.events(ConversationAssigned) if isinstance(e, ConversationAssigned)]
    assert sorted(e.conversation_id for e in given) == sorted(map(desk.conversation_id, names))
    claims = [e for _, e in log.events(WriterStarted)]
    assert len({e.writer for e in claims if isinstance(e, WriterStarted)}) == 2
    assert len({e.writer for e in given}) == 2


async def test_a_standby_claims_when_a_decision_is_overdue(
    log: TestLog, around: Surroundings
) -> None:
    """A frozen writer is replaced about a second after it should have decided, and stands by when it wakes."""
    await _configured(log, "ann")
    await log.append("presence", desk.online("ann"))
    with service("dispatcher", around), service("dispatcher", around) as active:
        claims = await log.until(2, WriterStarted)
        active.kill(signal.SIGSTOP)
        await _backlog(log, 1)
        await log.until(1, ConversationAssigned)
        active.kill(signal.SIGCONT)
        await _backlog(log, 2)
        await log.until(2, ConversationAssigned)
    given = [e for _, e in log.events(ConversationAssigned) if isinstance(e, ConversationAssigned)]
    assert isinstance(claims[0], WriterStarted)
    assert {e.writer for e in given} == {claims[0].writer}
    await until(lambda: len(log.events(WriterStarted)) >= 3)


async def test_a_restarted_broker_is_followed(log_fresh: TestLog, fresh: Surroundings) -> None:
    """After SIGKILL and restart of the nats-server the dispatcher goes on, and gives nothing out twice."""
    log, around = log_fresh, fresh
    await _configured(log, "ann", capacity=1000)
    await log.append("presence", desk.online("ann"))
    receipts = asyncio.create_task(_acknowledge(log, "ann"))
    with service("dispatcher", around):
        names = await _backlog(log, 5)
        await log.until(5, ConversationAssigned)
        await _stop(receipts)
        around.nats.kill()
        around.nats.start()
        receipts = asyncio.create_task(_acknowledge(log, "ann"))
        more = [f"d{number}" for number in range(5)]
        for name in more:
            await log.append("conversation", desk.started(name))
            await log.append("message", desk.wrote(name))
        await log.until(10, ConversationAssigned, timeout_s=30)
    await _stop(receipts)
    given = [e for _, e in log.events(ConversationAssigned) if isinstance(e, ConversationAssigned)]
    assert sorted(e.conversation_id for e in given) == sorted(
        desk.conversation_id(name) for name in names + more
    )


async def test_a_purged_range_is_read_from_events(log: TestLog, around: Surroundings) -> None:
    """A new dispatcher reads what is purged from the stream from `events`."""
    await _configured(log, "ann", capacity=1000)
    await log.append("presence", desk.online("ann"))
    with service("dispatcher", around):
        await _backlog(log, 2)
        await log.until(2, ConversationAssigned)
    await store_and_purge(log, around)
    with service("dispatcher", around):
        await log.append("message", desk.wrote("c1"))
        await log.append("conversation", desk.started("later"))
        await log.append("message", desk.wrote("later"))
        given = await log.until(3, ConversationAssigned)
    last = given[-1]
    assert isinstance(last, ConversationAssigned)
    assert last.conversation_id == desk.conversation_id("later")
    assert last.agent_id == desk.agent_id("ann")
