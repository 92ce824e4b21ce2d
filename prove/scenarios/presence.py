"""Stories of who is there: devices that flap, gateways that die, people who leave, a device that sleeps."""

from __future__ import annotations

import asyncio

from prove.scenarios.floor import Floor
from prove.scenarios.people import Member, Sleeper

_GRACE_S = 3.0
"""As `stories.SETTINGS` says."""


async def flapping(floor: Floor) -> str:
    """A device that comes back within the grace period changes nothing; a long absence gives back what was not
    answered and leaves what was."""
    first, second = await floor.hire(), await floor.hire()
    visitor = await floor.arrive()
    async with floor.signed_in(first) as member:
        there = member.client
        answered = await floor.write(visitor, f"{floor.name} answered")
        await floor.until(floor.all_owned, "the first is given")
        await there.send(answered, f"{floor.name} an answer")
        waiting = await floor.write(visitor, f"{floor.name} waiting")
        await floor.until(floor.all_owned, "the second is given")
        for _ in range(3):
            there.cut()
            await asyncio.wait_for(there.opened(), 30)
        floor.site.kill(floor.leader("presence"))
        there.cut()
        await asyncio.sleep(_GRACE_S + 1)
        gone = await floor.events("agent_offline")
        moved = await floor.events("conversation_queued")
        floor.check(not gone, "within the grace period nobody was offline")
        floor.check(not moved and len(await floor.events("conversation_assigned")) == 2, "no move")
    await floor.sign_in(second, gateway=1)

    async def is_back() -> bool:
        owners = await floor.owners()
        return owners[waiting] == second.agent_id

    took = await floor.until(is_back, "the unanswered one is with somebody who is here")
    owners = await floor.owners()
    floor.check(owners[answered] == first.agent_id, "the answered one stays")
    return f"given back {took:.1f} s after the agent had left"


async def gateway_dies(floor: Floor) -> str:
    """Its sessions come back by themselves; owners stay, every message shows once and in order."""
    agent = await floor.hire(capacity=50)
    here = await floor.sign_in(agent, gateway=0)
    visitor = await floor.arrive(gateway=0)
    ids = [await floor.write(visitor, f"{floor.name} {n} 0") for n in range(3)]
    await floor.until(floor.all_owned, "they have an owner")
    before = await floor.owners()
    sends = [
        asyncio.create_task(visitor.client.send(x, f"{floor.name} {n} {turn}"))
        for turn in range(1, 8)
        for n, x in enumerate(ids)
    ]
    floor.site.kill("gateway-1")
    sent = await asyncio.wait_for(asyncio.gather(*sends), 60)

    async def all_show() -> bool:
        return len(set(here.screen.texts)) == 3 + len(sent)

    took = await floor.until(all_show, "everything shows on the agent's screen")
    floor.check(await floor.owners() == before, "owners stay")
    floor.check(not await floor.events("agent_offline"), "nobody was called offline")
    for n in range(3):
        mine = [text for text in here.screen.texts if text.startswith(f"{floor.name} {n} ")]
        floor.check(mine == [f"{floor.name} {n} {turn}" for turn in range(8)], f"in order: {mine}")
    return f"{len(sent)} messages over the death, all shown {took:.1f} s later"


async def agent_removed(floor: Floor) -> str:
    """Removed while holding conversations, with both stores dead: they go on to somebody, in their old order."""
    first, second = await floor.hire(capacity=50), await floor.hire(capacity=50)
    leaving = await floor.sign_in(first)
    visitor = await floor.arrive(gateway=1)
    for number in range(5):
        await floor.write(visitor, f"{floor.name} {number}")
    await floor.until(floor.all_owned, "all are given")
    staying = await floor.sign_in(second, gateway=1)
    floor.site.kill("store-1")
    floor.site.kill("store-2")
    await floor.fire(first)

    async def all_with_second() -> bool:
        owners = await floor.owners()
        return all(owners[x] == second.agent_id for x in floor.conversations)

    took = await floor.until(all_with_second, "the colleague has them")
    again = (await floor.events("conversation_assigned"))[len(floor.conversations) :]
    order = list(dict.fromkeys(e.event["conversation_id"] for e in again))
    floor.check(order == floor.conversations, "in their old order")

    async def is_out() -> bool:
        return bool(leaving.ended) or not leaving.client.is_open

    await floor.until(is_out, "the removed agent is signed out")
    leaving.ended = ""
    await floor.until(lambda: _shows_all(staying, floor), "the colleague sees them")
    return f"with the colleague after {took:.1f} s"


async def _shows_all(member: Member, floor: Floor) -> bool:
    return set(floor.conversations) <= set(member.screen.held)


async def deadlines(floor: Floor) -> str:
    """Reminder, somebody else, the supervisors: each once, over the death of both dispatchers and of the log."""
    first, second = await floor.hire(), await floor.hire()
    await floor.sign_in(first)
    visitor = await floor.arrive(gateway=1)
    conversation_id = await floor.write(visitor, f"{floor.name} is anybody there?")
    await floor.until(floor.all_owned, "it is given")
    await floor.sign_in(second, gateway=1)
    for name in ("dispatcher-1", "dispatcher-2"):
        floor.site.kill(name)

    async def is_reminded() -> bool:
        return bool(await floor.events("deadline_missed"))

    reminded = await floor.until(is_reminded, "the reminder")
    floor.site.kill("nats")
    await asyncio.sleep(0.3)
    floor.site.bring_back("nats")

    async def is_moved() -> bool:
        return (await floor.owners())[conversation_id] == second.agent_id

    await floor.until(is_moved, "somebody else is asked")

    async def is_escalated() -> bool:
        return bool(await floor.events("escalated"))

    escalated = await floor.until(is_escalated, "the supervisors are told")
    await floor.ready()
    await asyncio.sleep(2)
    missed, told = await floor.events("deadline_missed"), await floor.events("escalated")
    floor.check(len(missed) == 1 and len(told) == 1, f"{len(missed)} reminders, {len(told)} told")
    assigned = await floor.events("conversation_assigned")
    floor.check(len(assigned) == 2, f"given {len(assigned)} times")
    floor.check(
        missed[0].position < assigned[1].position < told[0].position, "in the order of the chain"
    )
    explained = await floor.staff.conversations.explain(conversation_id)
    floor.check(bool(explained.summary), "explain says where it stands")
    return (
        f"reminded after {reminded:.1f} s of watching, escalated {escalated:.1f} s after the move"
    )


async def device_sleeps(floor: Floor) -> str:
    """The device that should be heard acknowledges nothing: after 5 s another one is, once, over the death of
    presence."""
    agent = await floor.hire()
    visitor = await floor.arrive(gateway=1)
    async with Sleeper(floor.site.gateways[0], await floor.token(agent)) as sleeper:

        async def is_primary() -> bool:
            moved = await floor.events("primary_device_changed")
            return bool(moved) and moved[-1].event["device_id"] == sleeper.device

        await floor.until(is_primary, "the first device is the primary one")
        desk = await floor.sign_in(agent, gateway=1)
        fence = (await floor.events("primary_device_changed"))[-1].event["fence"]
        await floor.write(visitor, f"{floor.name} hello?")

        async def is_shown() -> bool:
            return sleeper.alerts == 1 and len(desk.screen.texts) == 1

        await floor.until(is_shown, "both show it, the primary one is heard")
        floor.site.kill(floor.leader("presence"))

        async def is_heard() -> bool:
            return len(desk.screen.alerts) == 1

        took = await floor.until(is_heard, "the other device is heard")
        moved = await floor.events("primary_device_changed")
        floor.check(moved[-1].event["fence"] == fence + 1, "one move, one number higher")
        floor.check(sleeper.alerts == 1, "the sleeping one was heard once")
        await asyncio.sleep(2)
        floor.check(len(desk.screen.alerts) == 1, "and the other one once")
    return f"moved after {took:.1f} s"
