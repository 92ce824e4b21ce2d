"""`nightdesk selfcheck`: one message on its real way, in the account that the caller administers.

A visitor writes and goes away; an agent signs in, takes the conversation and answers; the visitor comes back with
the same cursor, finds the answer and reads it. Agent, team and inbox are made for the check and removed after it, so
that neither other traffic disturbs it nor a real agent seems to have been there. The agent has no capacity: it is given
nothing, or it would be given the oldest customer who waits for just anybody.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from cli.gateway import Gateway, gateway_options
from cli.stage import Cast, Credentials, Stage, build, clear
from nightdesk_client import (
    Agent,
    Bookmark,
    Client,
    Entry,
    NightdeskClientError,
    Options,
    Receipts,
    Signal,
    Staff,
    Visitor,
)

_STEP_S = 15.0
_CLEANING_S = 5.0
_QUESTION = "Is anybody there? (This is the self-check.)"
_ANSWER = "Good morning! Yes, we are back. (This is the self-check.)"


class CheckFailed(Exception):
    """A step did not happen in time."""


class _Steps:
    """The steps done so far, with their milliseconds."""

    def __init__(self) -> None:
        self.done: list[tuple[str, float]] = []

    @asynccontextmanager
    async def step(self, what: str) -> AsyncIterator[None]:
        started = time.monotonic()
        try:
            async with asyncio.timeout(_STEP_S):
                yield
        except TimeoutError as err:
            raise CheckFailed(f"not within {_STEP_S:.0f} s: {what}") from err
        except NightdeskClientError as err:
            raise CheckFailed(f"{what}: {type(err).__name__}: {err}") from err
        self.done.append((what, (time.monotonic() - started) * 1000))


class _Away(msgspec.Struct, frozen=True, kw_only=True):
    """A visitor who wrote and left."""

    token: str
    bookmark: Bookmark
    conversation_id: str
    question_id: str


class _Receipts:
    """Hears how far the visitor has read."""

    def __init__(self, conversation_id: str) -> None:
        self._conversation_id = conversation_id
        self._moved = asyncio.Event()
        self._read = 0

    def hear(self, signal: Signal) -> None:
        if not isinstance(signal, Receipts):
            return
        for receipt in signal.receipts:
            if receipt.conversation_id == self._conversation_id and receipt.by.kind == "visitor":
                self._read = max(self._read, receipt.read)
                self._moved.set()

    async def until_read(self, position: int) -> None:
        while self._read < position:
            self._moved.clear()
            await self._moved.wait()


@click.command()
@gateway_options
def selfcheck(gateway: Gateway) -> None:
    """Send one message on its real way and print the milliseconds of each step; exit status 1 when it fails."""
    console = Console()
    steps = _Steps()
    try:
        asyncio.run(_check(gateway, steps))
    except (CheckFailed, NightdeskClientError) as failure:
        _print(console, steps)
        console.print(f"[red]The self-check failed:[/red] {failure}", highlight=False)
        sys.exit(1)
    _print(console, steps)


async def _check(gateway: Gateway, steps: _Steps) -> None:
    async with Staff.sign_in(gateway.url, gateway.email, gateway.password) as admin:
        async with steps.step("an agent, a team and an inbox are made"):
            run = f"self-check-{uuid.uuid4().hex[:8]}"
            stage = await build(admin, run=run, cast=Cast(agents=1, capacity=0))
        try:
            await _real_way(gateway.url, stage, steps)
        except BaseException:
            await _quietly(clear(admin, stage))
            raise
        async with steps.step("they are removed again"):
            await clear(admin, stage)


async def _real_way(url: str, stage: Stage, steps: _Steps) -> None:
    away = await _write_and_leave(url, stage.inbox_key, steps)
    receipts = _Receipts(away.conversation_id)
    async with _signed_in(url, stage.agents[0], receipts, steps) as agent:
        try:
            await _answer_and_read(url, away, receipts, agent=agent, steps=steps)
        except BaseException:
            await _quietly(agent.conversations.set_status(away.conversation_id, "resolved"))
            raise
        async with steps.step("the conversation is resolved"):
            await agent.conversations.set_status(away.conversation_id, "resolved")


async def _answer_and_read(
    url: str, away: _Away, receipts: _Receipts, *, agent: Client, steps: _Steps
) -> None:
    async with steps.step("the agent takes the message"):
        await agent.conversations.claim(away.conversation_id)
        await _until_shown(agent, away.question_id)
    async with steps.step("the answer is durable"):
        answer = await agent.send(away.conversation_id, _ANSWER)
    options = Options(bookmark=away.bookmark)
    async with Visitor.returning(url, away.token, options=options) as visitor:
        async with steps.step("the visitor comes back and finds the answer"):
            await _until_shown(visitor, answer.message_id)
        async with steps.step("the agent learns that it was read"):
            visitor.read(away.conversation_id, answer.position)
            await receipts.until_read(answer.position)


async def _write_and_leave(url: str, inbox_key: str, steps: _Steps) -> _Away:
    arriving = Visitor.arrive(url, inbox_key)
    async with steps.step("a visitor arrives and connects"):
        visitor = await arriving.__aenter__()
        await visitor.opened()
    try:
        async with steps.step("the message is durable"):
            started = await visitor.conversations.start(_QUESTION, language="en")
        assert started.message_id is not None
        async with steps.step("it shows on the visitor's own device; the visitor leaves"):
            await _until_shown(visitor, started.message_id)
        return _Away(
            token=await visitor.token(),
            bookmark=visitor.bookmark,
            conversation_id=started.conversation_id,
            question_id=started.message_id,
        )
    finally:
        await arriving.__aexit__(None, None, None)


@asynccontextmanager
async def _signed_in(
    url: str, credentials: Credentials, receipts: _Receipts, steps: _Steps
) -> AsyncIterator[Client]:
    options = Options(on_signal=receipts.hear)
    signing_in = Agent.sign_in(url, credentials.email, credentials.password, options=options)
    async with steps.step("an agent signs in"):
        agent = await signing_in.__aenter__()
        await agent.opened()
    try:
        yield agent
    finally:
        await signing_in.__aexit__(None, None, None)


async def _until_shown(client: Client, message_id: str) -> None:
    async for item in client.entries():
        if isinstance(item, Entry) and item.message and item.message.message_id == message_id:
            return


async def _quietly(cleaning: Coroutine[Any, Any, None]) -> None:
    """Clean up after a failure without hiding it: what can't be removed stays."""
    try:
        async with asyncio.timeout(_CLEANING_S):
            await cleaning
    except (TimeoutError, NightdeskClientError):
        return


def _print(console: Console, steps: _Steps) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for what, milliseconds in steps.done:
        table.add_row(what, f"{milliseconds:.0f} ms")
    table.add_row("in all", f"{sum(ms for _, ms in steps.done):.0f} ms")
    console.print(table)
