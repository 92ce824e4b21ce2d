"""The stories, one site for all with as many servers of the log, and the table at the end. `make prove SCENARIOS=1`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from nightdesk_client import NightdeskClientError
from prove.evidence import Unreadable
from prove.scenarios import hours, leaders, presence, routing, visiting
from prove.scenarios.floor import Broken, Floor, open_floor
from prove.site import Extent, Site, open_site

SETTINGS = {"NIGHTDESK_PRESENCE_GRACE_S": "3", "NIGHTDESK_GATEWAY_BEAT_S": "1"}
_TEND_S = 0.05
_STORY_S = 300.0
"""Office hours end and begin on full minutes."""


class Story(msgspec.Struct, frozen=True):
    """`tell` returns a figure in words, or raises `Broken`. `replicas`: how many servers hold the log."""

    tell: Callable[[Floor], Awaitable[str]]
    policy: dict[str, Any]
    replicas: int = 1

    @property
    def name(self) -> str:
        """As in the table."""
        return self.tell.__name__.replace("_", "-")


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How a story went."""

    name: str
    is_kept: bool
    text: str
    seconds: float
    evidence: list[str] = []


_CALM: dict[str, Any] = {"assignment_lease_s": 60, "first_response_s": 600, "next_response_s": 600}
STORIES = (
    Story(routing.night_and_morning, _CALM),
    Story(presence.flapping, {**_CALM, "offline_return_s": 1}),
    Story(presence.gateway_dies, _CALM),
    Story(routing.dispatcher_dies, _CALM),
    Story(routing.lease, {**_CALM, "assignment_lease_s": 2}),
    Story(
        presence.deadlines,
        {**_CALM, "first_response_s": 3, "reassign_after_s": 3, "escalate_after_s": 6},
    ),
    Story(presence.agent_removed, _CALM),
    Story(routing.policy_changes, _CALM),
    Story(routing.wishes_cross, {**_CALM, "strategy": "manual"}),
    Story(presence.device_sleeps, _CALM),
    Story(hours.office_hours, _CALM),
    Story(visiting.visitor_devices, _CALM),
    Story(visiting.put_off, {**_CALM, "offline_return_s": 30}),
    Story(leaders.leaders_change, _CALM, replicas=3),
)


def run(seed: int, tell: Callable[[str], None], *, only: str = "1") -> list[Verdict]:
    """Every story (or the ones named in `only`, separated by commas), those with as many servers on one site."""
    wanted = [s for s in STORIES if only == "1" or s.name in only.split(",")]
    verdicts = []
    for replicas in sorted({story.replicas for story in wanted}):
        extent = Extent(replicas=replicas)
        with open_site(seed=f"scenarios {seed}", settings=SETTINGS, extent=extent) as site:
            tell(f"running, logs in {site.stack.directory.logs}")
            these = [story for story in wanted if story.replicas == replicas]
            verdicts += asyncio.run(_tell_all(site, these, tell))
    return verdicts


async def _tell_all(site: Site, stories: list[Story], tell: Callable[[str], None]) -> list[Verdict]:
    tending = asyncio.create_task(_tend(site))
    verdicts = []
    try:
        for story in stories:
            verdicts.append(await _tell_one(site, story))
            last = verdicts[-1]
            outcome = "kept" if last.is_kept else "BROKEN"
            tell(f"{outcome:<7} {last.name:<20} {last.seconds:5.1f} s  {last.text}")
            for line in last.evidence:
                tell(f"        {line}")
    finally:
        tending.cancel()
    return verdicts


async def _tend(site: Site) -> None:
    """Start again what died. In this thread, because children are started from the main thread only."""
    while True:
        site.tend()
        await asyncio.sleep(_TEND_S)


async def _tell_one(site: Site, story: Story) -> Verdict:
    began = time.monotonic()
    is_kept, evidence = False, list[str]()
    async with open_floor(site, story.name, **story.policy) as floor:
        try:
            async with asyncio.timeout(_STORY_S):
                await floor.ready()
                text = await story.tell(floor)
                await floor.ready()
                await floor.judge()
                is_kept = True
        except (Broken, NightdeskClientError, Unreadable, TimeoutError) as err:
            text = str(err) or type(err).__name__
            evidence = await floor.evidence()
    return Verdict(
        name=story.name,
        is_kept=is_kept,
        text=text,
        seconds=time.monotonic() - began,
        evidence=evidence,
    )
