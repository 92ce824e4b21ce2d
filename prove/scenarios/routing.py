"""Stories of who answers: the night, assignments that nobody receives, rules that change, wishes that cross."""

from __future__ import annotations

import asyncio
from collections import Counter

from nightdesk_client import ApiError, Entry
from prove.evidence import LogEntry
from prove.scenarios.floor import Floor
from prove.scenarios.people import Member, Sleeper

_NIGHT = 24
_CAPACITY = 4
_TAKEOVER_S = 2.0


async def night_and_morning(floor: Floor) -> str:
    """A backlog is handed out oldest first, by capacity, to three agents who come one after the other."""
    visitors = [await floor.arrive(gateway=n % 2) for n in range(4)]
    for number in range(_NIGHT):
        await floor.write(visitors[number % 4], f"{floor.name} question {number}")
        if number == _NIGHT // 2:
            floor.site.kill("store-1")
            floor.site.kill("gateway-1")
    agents = [await floor.hire(capacity=_CAPACITY) for _ in range(3)]
    for number, agent in enumerate(agents):
        work(await floor.sign_in(agent, gateway=number % 2))
        if number == 1:
            floor.site.kill(floor.leader("dispatcher"))

    async def all_resolved() -> bool:
        open_now = await floor.staff.conversations.page(
            team=floor.team.team_id, view="all", status="open"
        )
        queued = await floor.staff.conversations.page(
            team=floor.team.team_id, view="all", status="queued"
        )
        return await floor.all_owned() and not open_now.data and not queued.data

    took = await floor.until(all_resolved, "every conversation of the night is answered")
    _check_order(floor, await floor.events("conversation_assigned"))
    _check_capacity(floor, await floor.log())
    given = Counter((await floor.owners()).values())
    floor.check(len(given) == 3, f"everybody got some: {sorted(given.values())}")
    return f"{_NIGHT} handled in {took:.1f} s, shares {sorted(given.values())}"


def work(member: Member, *, after_s: float = 0.0) -> None:
    """This agent answers everything, so long after it came, and resolves it."""
    tasks: set[asyncio.Task[None]] = set()

    async def answer(entry: Entry) -> None:
        await asyncio.sleep(after_s)
        sent = await member.client.send(entry.conversation_id, f"answer to {entry.position}")
        async with asyncio.timeout(60):
            while True:
                try:
                    await member.client.conversations.set_status(
                        entry.conversation_id, "resolved", seen_up_to=sent.position
                    )
                except ApiError as err:
                    if err.status < 500:
                        raise
                    await asyncio.sleep(0.2)
                else:
                    return

    def on_message(entry: Entry) -> None:
        tasks.add(asyncio.create_task(answer(entry)))

    member.on_message = on_message


def _check_order(floor: Floor, assigned: list[LogEntry]) -> None:
    """First assignments follow the order in which the conversations came."""
    first = list(dict.fromkeys(entry.event["conversation_id"] for entry in assigned))
    floor.check(first == floor.conversations, "oldest first")


def _check_capacity(floor: Floor, log: list[LogEntry]) -> None:
    """At no position of the log has anybody more open conversations than they can take."""
    open_now: dict[str, str] = {}
    for entry in log:
        event = entry.event
        if event.get("type") == "conversation_assigned":
            open_now[event["conversation_id"]] = event["agent_id"]
            most = max(Counter(open_now.values()).values())
            floor.check(most <= _CAPACITY, f"{most} at once, {_CAPACITY} allowed")
        elif (event.get("type") == "status_changed" and event.get("status") == "resolved") or (
            event.get("type") == "message_posted" and event["author"]["kind"] == "agent"
        ):
            open_now.pop(event["conversation_id"], None)


async def lease(floor: Floor) -> str:
    """What no device receives goes back to its old place and to somebody else, over the death of the dispatcher."""
    deaf = await floor.hire(capacity=2)
    token = await floor.token(deaf)
    visitor = await floor.arrive()
    async with Sleeper(floor.site.gateways[0], token) as sleeper:
        first = await floor.write(visitor, f"{floor.name} first")

        async def is_given() -> bool:
            return (await floor.owners()).get(first) == deaf.agent_id

        await floor.until(is_given, "the only agent is asked")
        floor.site.kill(floor.leader("dispatcher"))
        second = await floor.write(visitor, f"{floor.name} second")
        awake = await floor.hire(capacity=5)
        there = await floor.sign_in(awake, gateway=1)

        async def is_moved() -> bool:
            owners = await floor.owners()
            return owners.get(first) == owners.get(second) == awake.agent_id

        took = await floor.until(is_moved, "both are with the one who is awake")
        floor.check(len(sleeper.frames) > 1, "the sleeping device was shown it")
    back = [
        e for e in await floor.events("conversation_queued") if e.event["conversation_id"] == first
    ]
    moved = [
        e for e in await floor.log() if e.event.get("why", {}).get("trigger") == "lease_lapsed"
    ]
    floor.check(bool(moved), "the log says that the lease lapsed")
    started = (await floor.events("conversation_started"))[0].position
    floor.check(all(e.event["waiting_since"] <= started + 2 for e in back), "it kept its old place")
    await floor.until(lambda: _shows(there, 2), "both show")
    return f"with somebody else after {took:.1f} s"


async def _shows(member: Member, count: int) -> bool:
    return len(member.screen.texts) >= count


async def dispatcher_dies(floor: Floor) -> str:
    """Killed and paused in mid-decision: each conversation is given once, and somebody decides again within 2 s."""
    agents = [await floor.hire(capacity=200) for _ in range(2)]
    for number, agent in enumerate(agents):
        await floor.sign_in(agent, gateway=number)
    visitors = [await floor.arrive(gateway=n % 2) for n in range(2)]
    await floor.write(visitors[0], f"{floor.name} first")
    await floor.until(floor.all_owned, "the first has an owner")
    pauses = []
    for turn in range(2):
        leader = floor.leader("dispatcher")
        if turn:
            floor.site.pause(leader)
        else:
            floor.site.take_away(leader)
        for number in range(6):
            await floor.write(visitors[number % 2], f"{floor.name} {turn} {number}")
        pauses.append(await floor.until(floor.all_owned, "the standby decides"))
        floor.site.bring_back(leader)
        await floor.ready()
    assigned = Counter(
        e.event["conversation_id"] for e in await floor.events("conversation_assigned")
    )
    floor.check(set(assigned.values()) == {1}, f"each is given once: {assigned.most_common(1)}")
    # How long a machine that does other things as well needs for the six messages is in it, too.
    floor.check(max(pauses) < _TAKEOVER_S + 3, f"deciding again after {max(pauses):.1f} s")
    return f"deciding again {pauses[0]:.1f} s after a death, {pauses[1]:.1f} s after a pause"


async def policy_changes(floor: Floor) -> str:
    """A skill that nobody on duty has holds conversations up; the rule is taken away while a dispatcher starts again."""
    # The only one who has the skill never signs in.
    await floor.hire(skills={"french": 3})
    agent = await floor.hire(capacity=50)
    await floor.change_policy(skill_rules=[{"skill": "french", "language": "fr"}])
    here = await floor.sign_in(agent)
    visitor = await floor.arrive(gateway=1)
    for number in range(6):
        await floor.write(visitor, f"{floor.name} {number}", language="fr")

    async def all_queued() -> bool:
        owners = await floor.owners()
        return all(x in owners and owners[x] is None for x in floor.conversations)

    await floor.until(all_queued, "nobody can, and the log says so")
    why = (await floor.events("conversation_queued"))[0].event["why"]
    floor.check("missing_skill" in why.get("excluded", {}), f"it says why: {why}")
    floor.site.kill(floor.leader("dispatcher"))
    await floor.change_policy(skill_rules=[])
    took = await floor.until(floor.all_owned, "all are given under the new policy")
    assigned = await floor.events("conversation_assigned")
    _check_order(floor, assigned)
    before = max(
        e.event["why"]["policy_version"] for e in await floor.events("conversation_queued")
    )
    floor.check(
        all(e.event["why"]["policy_version"] > before for e in assigned), "by the new version"
    )
    await floor.until(lambda: _shows(here, 6), "all show")
    return f"all given {took:.1f} s after the change"


async def wishes_cross(floor: Floor) -> str:
    """Two agents claim the same conversations at once, two supervisors assign them at once: one of each is granted,
    the other is told, and there is one owner."""
    agents = [await floor.hire(capacity=50) for _ in range(2)]
    bosses = [await floor.hire(capacity=1, role="supervisor") for _ in range(2)]
    here = [await floor.sign_in(a, gateway=n) for n, a in enumerate(agents)]
    above = [await floor.sign_in(b, gateway=n) for n, b in enumerate(bosses)]
    visitor = await floor.arrive()
    ids = [await floor.write(visitor, f"{floor.name} {n}") for n in range(8)]
    await floor.until(lambda: _all_known(above[0], ids), "the store has them")
    claims = [m.client.conversations.claim(x) for x in ids for m in here]
    floor.site.kill(floor.leader("dispatcher"))
    answers = await asyncio.gather(*claims, return_exceptions=True)
    await floor.until(floor.all_owned, "every claimed one has an owner")
    told = sum(isinstance(x, ApiError) and x.status == 409 for x in answers)
    wished = len(await floor.events("claim_requested"))
    granted = len(await floor.events("conversation_assigned"))
    floor.check(granted == len(ids), f"{granted} granted of {len(ids)}")
    await floor.until(
        lambda: _as_many_as(floor, "assignment_refused", wished - granted), "refusals"
    )
    wishes = [
        boss.client.conversations.assign(x, agent_id=agent.agent_id)
        for x in ids
        for boss, agent in zip(above, agents, strict=True)
    ]
    await asyncio.gather(*wishes, return_exceptions=True)
    asked = await floor.events("assignment_requested")
    last = asked[-1].position if asked else 0

    async def is_settled() -> bool:
        newest = await floor.log()
        return sum(1 for e in newest if e.position > last and e.family == "routing") > 0

    await floor.until(is_settled, "the last wish is decided")
    await floor.until(lambda: _screens_agree(floor, here), "screens and log agree on the owners")
    return f"{wished} claims, {granted} granted, {told} told at the door; {len(asked)} wishes"


async def _all_known(member: Member, ids: list[str]) -> bool:
    for x in ids:
        await member.client.conversations.get(x)
    return True


async def _as_many_as(floor: Floor, kind: str, count: int) -> bool:
    return len(await floor.events(kind)) >= count


async def _screens_agree(floor: Floor, members: list[Member]) -> bool:
    owners = await floor.owners()
    for member in members:
        mine = {x for x, owner in owners.items() if owner == member.client.id}
        if set(member.screen.held) != mine:
            return False
    return True
