"""A whole run: stage, night, day, audit, ledger."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Coroutine, Iterable
from contextlib import AsyncExitStack
from functools import partial
from random import Random
from typing import Any, TypeVar

import aiohttp
import msgspec

from cli.replay.audit import look_up
from cli.replay.board import Glance
from cli.replay.desks import Desk
from cli.replay.ledger import Ledger, Seen, enter
from cli.replay.patience import patiently
from cli.replay.plan import draw
from cli.replay.play import Play
from cli.replay.pulse import Pulse, Stalled
from cli.replay.transcripts import Transcript
from cli.replay.visitors import Door
from cli.stage import Cast, Stage, build, clear
from nightdesk_client import Options, Staff
from shared.errors import Refused

_AT_NIGHT = 48
_SIGN_INS = 4
_AUDITS = 16
_CHANNEL = "replay"
"""Of a run's inbox: its agents take nothing that came by another one."""
_MOST_CHANNELS = 100
"""That an agent may have a limit for."""

T = TypeVar("T")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller chose."""

    url: str
    email: str
    password: str
    agents: int = 20
    capacity: int = 8
    is_offline_first: bool = True
    is_kept: bool = False
    speed: float = 0.0
    seed: int = 0
    patience_s: float = 60.0


class Run:
    """`play` once; `glance` at any time."""

    def __init__(self, transcripts: list[Transcript], settings: Settings) -> None:
        self._transcripts = transcripts
        self._settings = settings
        self._pulse = Pulse(patience_s=settings.patience_s)
        self._plays: dict[str, Play] = {}
        self._desks: list[Desk] = []
        self._phase = "setting the stage"

    def glance(self) -> Glance:
        """How it stands."""
        plays = self._plays.values()
        devices = [device for play in plays for device in play.visitor.devices]
        return Glance(
            phase=self._phase,
            conversations=len(self._transcripts),
            done=sum(play.is_done for play in plays),
            messages=sum(play.plan.acts for play in plays),
            accepted=sum(len(play.said) for play in plays),
            open_conversations=sum(play.owner is not None for play in plays),
            shown_to_visitors=sum(len(device.record) for device in devices),
            shown_to_agents=sum(len(desk.record) for desk in self._desks),
            repeated=self._repeats(),
        )

    async def play(self) -> Ledger:
        """Everything, from the stage to the ledger. Raises `Stalled` when nothing moves any more."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            await stack.enter_async_context(http)
            signing_in = Staff.sign_in(
                settings.url, settings.email, settings.password, options=Options(http=http)
            )
            admin = await stack.enter_async_context(signing_in)
            cast = Cast(
                agents=settings.agents,
                capacity=settings.capacity,
                channel=_CHANNEL,
                refused=await _channels_of_others(admin),
            )
            stage = await build(admin, run=f"replay-{uuid.uuid4().hex[:8]}", cast=cast)
            self._prepare(stage, http)
            try:
                await self._watched(self._night_and_day(http))
                self._phase = "reading everything back"
                ledger = await self._watched(self._audit(admin))
            finally:
                await self._leave()
            if not settings.is_kept:
                await clear(admin, stage)
            return ledger

    def _prepare(self, stage: Stage, http: aiohttp.ClientSession) -> None:
        chance = Random(self._settings.seed)  # noqa: S311 - a plan, not a secret
        door = Door(url=self._settings.url, inbox_key=stage.inbox_key, http=http)
        for transcript in self._transcripts:
            play = Play(
                transcript,
                draw(transcript, chance),
                door=door,
                beat=self._pulse.beat,
                speed=self._settings.speed,
            )
            self._plays[play.conversation_id] = play
        self._desks = [Desk(agent, find=self._plays.get) for agent in stage.agents]

    async def _night_and_day(self, http: aiohttp.ClientSession) -> None:
        if not self._settings.is_offline_first:
            await self._sign_in(http)
        self._phase = "night, nobody is on duty" if self._settings.is_offline_first else "writing"
        await _all((play.night() for play in self._plays.values()), at_once=_AT_NIGHT)
        if self._settings.is_offline_first:
            await self._sign_in(http)
        self._phase = "day"
        await _all((play.day() for play in self._plays.values()), at_once=len(self._plays))

    async def _sign_in(self, http: aiohttp.ClientSession) -> None:
        self._phase = "agents sign in"
        url = self._settings.url
        await _all((desk.sign_in(url, http) for desk in self._desks), at_once=_SIGN_INS)

    async def _audit(self, admin: Staff) -> Ledger:
        ledger = Ledger()

        async def one(play: Play) -> None:
            enter(ledger, _seen(play), await patiently(partial(look_up, admin, play)))
            self._pulse.beat()

        await _all((one(play) for play in self._plays.values()), at_once=_AUDITS)
        plays = self._plays.values()
        records = [device.record for play in plays for device in play.visitor.devices]
        records += [desk.record for desk in self._desks]
        for record in records:
            ledger.fault("shown_twice", record.shown_twice, "message on one screen")
            ledger.fault("out_of_order", record.out_of_order, "message on one screen")
        for play in plays:
            where = f"repeat answered with a later position in conversation {play.conversation_id}"
            ledger.fault("unexplained", play.wrong_repeats, where)
        ledger.repeated_on_the_wire += self._repeats()
        return ledger

    async def _leave(self) -> None:
        for play in self._plays.values():
            await play.visitor.leave()
        for desk in self._desks:
            await desk.sign_out()

    async def _watched(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result, or what stopped it: a desk that ended, or nothing moving any more."""
        working, watching = asyncio.create_task(work), asyncio.create_task(self._pulse.watch())
        try:
            await asyncio.wait([working, watching], return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            for desk in self._desks:
                desk.check()
            raise Stalled(self._standstill())
        finally:
            for task in (working, watching):
                task.cancel()
            await asyncio.wait([working, watching])

    def _standstill(self) -> str:
        waits = Counter(play.waits_for for play in self._plays.values() if not play.is_done)
        listed = ", ".join(
            f"{count} × {what or 'an answer of the server'}" for what, count in waits.items()
        )
        return (
            f"nothing moved for {self._settings.patience_s:.0f} s during: {self._phase}. "
            f"Waiting: {listed or 'nobody'}. The services' logs and /readyz say more."
        )

    def _repeats(self) -> int:
        plays = self._plays.values()
        devices = sum(device.repeats for play in plays for device in play.visitor.devices)
        return devices + sum(desk.repeats for desk in self._desks) + sum(p.repeats for p in plays)


async def _channels_of_others(admin: Staff) -> frozenset[str]:
    """By which customers come, or came who wait for just anybody."""
    found = {inbox.channel for inbox in await admin.account.inboxes()}
    after = ""
    while True:
        page = await admin.conversations.page(after=after, view="unassigned", team="none")
        found.update(waiting.channel for waiting in page.data)
        after = page.page.next or ""
        if not after:
            return refusable(found - {_CHANNEL, ""})


def refusable(channels: set[str]) -> frozenset[str]:
    """The channels, if agents can be kept from all of them: a run must not take a customer from real people."""
    if len(channels) > _MOST_CHANNELS:
        raise Refused(
            f"the account has {len(channels)} other channels; agents of a run can be kept from {_MOST_CHANNELS}:"
            " replay in an account of its own"
        )
    return frozenset(channels)


async def _all(works: Iterable[Coroutine[Any, Any, None]], *, at_once: int) -> None:
    """Run all, so many at a time; the first failure ends the others."""
    turn = asyncio.Semaphore(max(at_once, 1))

    async def in_turn(work: Coroutine[Any, Any, None]) -> None:
        async with turn:
            await work

    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(in_turn(work))


def _seen(play: Play) -> Seen:
    desk = play.last_owner
    asked = [x.sent.message_id for x in play.said if x.side == "visitor"]
    answered = [x.sent.message_id for x in play.said if x.side == "agent"]
    at_desk = sum(desk is not None and desk.record.has(x) for x in asked)
    devices = [[device.record.has(x) for x in answered] for device in play.visitor.devices]
    with_visitor = sum(all(column) for column in zip(*devices, strict=True))
    return Seen(
        conversation_id=play.conversation_id,
        said=play.said,
        delivered=at_desk + with_visitor,
        missing_on_devices=len(asked) + len(answered) - at_desk - with_visitor,
    )
