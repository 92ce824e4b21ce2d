"""Stories of visitors: one with three devices of which one sleeps, and those who write in what was put off."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from prove.scenarios.floor import Floor
from prove.scenarios.people import Member

_MESSAGES = 6
_SLEEPS_S = (3600, 3600, 3600, 4, 20)
"""How long each conversation is put off: three until somebody writes, one while its owner is here, one until they left."""


async def visitor_devices(floor: Floor) -> str:
    """Web, app and mini-program of one visitor: each shows everything once and in order, what is read on one is read on
    all, what the sleeper missed it has when it wakes, and each message says how far it got."""
    web = await floor.arrive(gateway=0)
    app = await floor.accompany(web, gateway=1)
    async with floor.accompanied(web, gateway=0) as mini:
        conversation_id = await floor.write(web, f"{floor.name} question")
        texts = [f"{floor.name} question"]
        await floor.until(lambda: _all_show([web, app, mini], texts), "all three show the question")
        await floor.until(lambda: _states(web, conversation_id, ["pending"]), "pending at night")
        agent = await floor.hire()
        desk = await floor.sign_in(agent)
        phone = await floor.sign_in(agent, gateway=1)
        await floor.until(lambda: _states(app, conversation_id, ["received"]), "received")
        position = (await app.client.conversations.messages(conversation_id)).data[0].position
        desk.client.read(conversation_id, position)
        await floor.until(lambda: _states(app, conversation_id, ["read"]), "read by the agent")
        await floor.until(lambda: _is_clear([desk, phone], conversation_id), "nothing is unread")
        await floor.until(lambda: _are_told([phone], position), "the phone hears that it was read")
        asleep = mini.client.bookmark
    floor.site.kill("gateway-1")
    answers = [f"{floor.name} answer {number}" for number in range(_MESSAGES)]
    sent = [await desk.client.send(conversation_id, text) for text in answers]
    texts += answers
    last = sent[-1].position
    await floor.until(lambda: _all_show([web, app], texts), "both that are awake show the answers")
    app.client.read(conversation_id, last)
    await floor.until(lambda: _are_told([web], last), "the web page hears of it")
    floor.site.kill("gateway-2")
    floor.site.kill("store-1")
    wake = asyncio.get_running_loop().time()
    mini_again = await floor.accompany(web, gateway=1, bookmark=asleep)
    await floor.until(
        lambda: _all_show([mini_again], texts[1:]), "the sleeper shows what it missed"
    )
    woke_s = asyncio.get_running_loop().time() - wake
    everybody = [web, app, mini_again]
    await floor.until(lambda: _is_clear(everybody, conversation_id), "read on all devices")
    await floor.until(
        lambda: _states(desk, conversation_id, ["read"] * _MESSAGES), "read by the visitor"
    )
    for member in (web, app):
        floor.check(member.screen.texts == texts, f"{member.screen.name}: {member.screen.texts}")
    floor.check(mini_again.screen.texts == texts[1:], f"woken: {mini_again.screen.texts}")
    return f"{len(texts)} messages on three devices; {woke_s:.1f} s from waking to everything shown"


async def put_off(floor: Floor) -> str:
    """A visitor who writes in a snoozed conversation wakes it: it is its owner's again, or somebody else's when the owner
    left or was removed; what nobody writes in wakes at its time, over the death of both dispatchers."""
    owner, colleague = await floor.hire(), await floor.hire()
    visitors = [await floor.arrive(gateway=number % 2) for number in range(5)]
    async with floor.signed_in(owner) as here:
        ids = [await floor.write(v, f"{floor.name} {n}") for n, v in enumerate(visitors)]
        await floor.until(floor.all_owned, "all are given")
        for conversation_id, sleeps_s in zip(ids, _SLEEPS_S, strict=True):
            sent = await here.client.send(conversation_id, f"later, {conversation_id}")
            until = datetime.now(UTC) + timedelta(seconds=sleeps_s)
            await here.client.conversations.set_status(
                conversation_id, "snoozed", seen_up_to=sent.position, until=f"{until:%FT%TZ}"
            )
        await floor.until(lambda: _has_status(floor, ids[0], "snoozed"), "put off")
        for name in ("dispatcher-1", "dispatcher-2"):
            floor.site.kill(name)
        await visitors[0].client.send(ids[0], f"{floor.name} are you there?")
        owned = await floor.until(
            lambda: _is_with(floor, ids[0], owner.agent_id), "awake, and its owner's"
        )
        shown = f"{floor.name} are you there?"
        await floor.until(lambda: _shows(here, shown), "on the owner's screen")
        await floor.until(lambda: _is_with(floor, ids[3], owner.agent_id), "awake at its time")
        await here.client.send(ids[0], f"{floor.name} yes")
        await here.client.send(ids[3], f"{floor.name} there you are")
    there = await floor.sign_in(colleague, gateway=1)

    async def is_gone() -> bool:
        return bool(await floor.events("agent_offline"))

    await floor.until(is_gone, "the owner left")
    await visitors[1].client.send(ids[1], f"{floor.name} still nobody?")
    moved = await floor.until(
        lambda: _is_with(floor, ids[1], colleague.agent_id), "awake, and with the colleague"
    )
    await floor.until(
        lambda: _is_with(floor, ids[4], colleague.agent_id), "awake at its time, its owner gone"
    )
    floor.check(await _has_status(floor, ids[2], "snoozed"), "what nobody wrote in sleeps on")
    await floor.fire(owner)
    await visitors[2].client.send(ids[2], f"{floor.name} hello?")
    await floor.until(
        lambda: _is_with(floor, ids[2], colleague.agent_id), "the removed agent's is, too"
    )
    await floor.until(lambda: _shows(there, f"{floor.name} hello?"), "and on the screen")
    return f"its owner's again {owned:.1f} s after the message, the colleague's {moved:.1f} s"


async def _shows(member: Member, text: str) -> bool:
    return text in member.screen.texts


async def _all_show(members: list[Member], texts: list[str]) -> bool:
    return all(member.screen.texts == texts for member in members)


async def _states(member: Member, conversation_id: str, states: list[str]) -> bool:
    """How far the messages of this side got with the other one."""
    found = (await member.client.conversations.messages(conversation_id)).data
    return [each.state for each in found if each.author.id == member.client.id] == states


async def _is_clear(members: list[Member], conversation_id: str) -> bool:
    """Nothing is unread for any of them."""
    found = [await member.client.conversations.get(conversation_id) for member in members]
    return all(each.unread == 0 for each in found)


async def _are_told(members: list[Member], position: int) -> bool:
    """Each of these devices heard, without asking, that its person has read up to there."""
    return all(member.screen.read_up_to >= position for member in members)


async def _has_status(floor: Floor, conversation_id: str, status: str) -> bool:
    return (await floor.staff.conversations.get(conversation_id)).status == status


async def _is_with(floor: Floor, conversation_id: str, agent_id: str) -> bool:
    found = await floor.staff.conversations.get(conversation_id)
    return found.status == "open" and found.agent_id == agent_id
