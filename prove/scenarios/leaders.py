"""The story of the log's leaders: with three servers, the one that leads steps down and is killed while conversations
wait and are held. Nobody decides without a leader; somebody does as soon as there is one."""

from __future__ import annotations

import asyncio
from collections import Counter

import nats
import nats.errors
from nats.aio.client import Client

from prove.evidence import LogEntry
from prove.scenarios.floor import Floor
from prove.scenarios.people import Member
from prove.scenarios.routing import work

_STREAM = "EVENTS_0"
_CAPACITY = 6
_AFTER_S = 4.0
"""How long visitors go on writing after a leader is lost."""
_EVERY_S = 0.2
_DECIDED_S = {"steps down": 2.0, "dies": 6.0, "freezes": 6.0}
"""Mostly a second. Who reads from a server that is gone without a word learns it from 3 s of silence, and needs a cluster
that makes consumers again, which it may do later than it takes messages."""
_WAYS = ("steps down", "dies", "freezes", "dies")
_ASK_S = 0.5
_CONNECT_S = 2


async def leaders_change(floor: Floor) -> str:
    """Each conversation is given once and in order over five leaders, whoever waits as well as whoever comes."""
    # Less room than there are conversations, so that some wait when a leader goes; they are answered as time goes by.
    agents = [await floor.hire(capacity=_CAPACITY) for _ in range(2)]
    members = [await floor.sign_in(agent, gateway=number) for number, agent in enumerate(agents)]
    for member in members:
        work(member, after_s=1.0)
    visitors = [await floor.arrive(gateway=n % 2) for n in range(4)]
    for number in range(2 * _CAPACITY + 4):
        await floor.write(visitors[number % 4], f"{floor.name} before {number}")
    gaps, pauses = [], []
    for turn, way in enumerate(_WAYS):
        writing = asyncio.create_task(_write_on(floor, visitors, turn))
        await _until_led(floor, "")
        leader = await _leader(floor)
        began_at = (await floor.log())[-1].position
        gone = "" if way == "steps down" else leader
        if not gone:
            await _step_down(floor)
        elif way == "dies":
            floor.site.kill(leader)
        else:
            floor.site.pause(leader)
        gaps.append(await _until_led(floor, gone))
        await writing
        await floor.until(floor.all_owned, "each has an owner")
        pauses.append(_longest_pause(await floor.log(), began_at))
        if gone:
            floor.site.bring_back(gone)
        await floor.ready()
    assigned = await floor.events("conversation_assigned")
    given = Counter(entry.event["conversation_id"] for entry in assigned)
    floor.check(set(given) == set(floor.conversations), "nobody is forgotten")
    twice = [x for x, times in given.items() if times > 1]
    floor.check(not twice, f"given twice: {twice[:3]}")
    order = [entry.event["conversation_id"] for entry in assigned]
    floor.check(order == floor.conversations, "oldest first")
    for way, pause_s in zip(_WAYS, pauses, strict=True):
        late = f"leader {way}: decided {pause_s:.1f} s after the log took an entry"
        floor.check(pause_s < _DECIDED_S[way], late)
    slowest = max(pauses)
    told = ", ".join(f"{gap:.1f}" for gap in gaps)
    return f"{len(given)} given; led again after {told} s; {slowest:.2f} s from entry to decision"


def _longest_pause(log: list[LogEntry], after: int) -> float:
    """From an entry of a visitor to the next decision about that conversation: both by the log's own clock, so the time
    without a leader does not count."""
    began: dict[str, float] = {}
    pauses = [0.0]
    for entry in log:
        conversation_id = entry.event.get("conversation_id", "")
        if entry.event.get("type") == "conversation_started" and entry.position > after:
            began[conversation_id] = entry.at_s
        elif entry.family == "routing" and conversation_id in began:
            pauses.append(entry.at_s - began.pop(conversation_id))
    return max(pauses)


async def _write_on(floor: Floor, visitors: list[Member], turn: int) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + _AFTER_S
    number = 0
    while loop.time() < end:
        await floor.write(visitors[number % 4], f"{floor.name} {turn} {number}")
        number += 1
        await asyncio.sleep(_EVERY_S)


async def _leader(floor: Floor) -> str:
    """The server that leads the log; empty while none is known."""
    try:
        client = await _connect(floor)
        try:
            info = await client.jetstream(timeout=_ASK_S).stream_info(_STREAM)
            return (info.cluster and info.cluster.leader) or ""
        finally:
            await client.close()
    except (nats.errors.Error, OSError):
        return ""


async def _connect(floor: Floor) -> Client:
    return await nats.connect(
        floor.site.broker.url.split(","), connect_timeout=_CONNECT_S, error_cb=_no_noise
    )


async def _no_noise(_error: Exception) -> None:
    """That a server is away is what the story is about."""


async def _step_down(floor: Floor) -> None:
    client = await _connect(floor)
    try:
        await client.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{_STREAM}", b"", timeout=5)
    finally:
        await client.close()


async def _until_led(floor: Floor, gone: str) -> float:
    async def is_led() -> bool:
        return await _leader(floor) not in ("", gone)

    return await floor.until(is_led, "the log has a leader")
