"""`nightdesk selfcheck`: one message on its real way, with the demo account and a visitor of its own.

A visitor writes and goes away; an agent signs in, is given the conversation and answers; the visitor comes back with
the same cursor, finds the answer and reads it. What it made is resolved at the end. Other traffic does not disturb
it: if somebody else is on duty too, the conversation is asked for by name.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click
import msgspec
from rich.console import Console
from rich.table import Table

from cli.gateway import Gateway, gateway_options
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
_NATURAL_S = 2.0
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
@click.option(
    "--inbox-key", default="", help="The door to use; the account's first inbox unless given."
)
def selfcheck(gateway: Gateway, inbox_key: str) -> None:
    """Send one message on its real way and print the milliseconds of each step; exit status 1 when it fails."""
    console = Console()
    steps = _Steps()
    try:
        asyncio.run(_check(gateway, inbox_key, steps))
    except CheckFailed as failure:
        _print(console, steps)
        console.print(f"[red]The self-check failed:[/red] {failure}", highlight=False)
        sys.exit(1)
    _print(console, steps)


async def _check(gateway: Gateway, inbox_key: str, steps: _Steps) -> None:
    if not inbox_key:
        async with steps.step("find the inbox"):
            inbox_key = await _first_inbox(gateway)
    away = await _write_and_leave(gateway, inbox_key, steps)
    receipts = _Receipts(away.conversation_id)
    options = Options(on_signal=receipts.hear)
    async with asyncio.timeout(_STEP_S * 8), _signed_in(gateway, options, steps) as agent:
        async with steps.step("the agent is given the message"):
            await _until_given(agent, away)
        async with steps.step("the answer is durable"):
            answer = await agent.send(away.conversation_id, _ANSWER)
        returning = Visitor.returning(
            gateway.url, away.token, options=Options(bookmark=away.bookmark)
        )
        async with returning as visitor:
            async with steps.step("the visitor comes back and finds the answer"):
                await _until_shown(visitor, answer.message_id)
            async with steps.step("the agent learns that it was read"):
                visitor.read(away.conversation_id, answer.position)
                await receipts.until_read(answer.position)
        async with steps.step("the conversation is resolved"):
            await agent.conversations.set_status(
                away.conversation_id, "resolved", seen_up_to=answer.position
            )


async def _first_inbox(gateway: Gateway) -> str:
    async with Staff.sign_in(gateway.url, gateway.email, gateway.password) as staff:
        inboxes = await staff.account.inboxes()
    if not inboxes:
        raise CheckFailed("the account has no inbox: make one, or run `nightdesk seed`")
    return inboxes[0].inbox_key


async def _write_and_leave(gateway: Gateway, inbox_key: str, steps: _Steps) -> _Away:
    arriving = Visitor.arrive(gateway.url, inbox_key)
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
async def _signed_in(gateway: Gateway, options: Options, steps: _Steps) -> AsyncIterator[Client]:
    signing_in = Agent.sign_in(gateway.url, gateway.email, gateway.password, options=options)
    async with steps.step("an agent signs in"):
        agent = await signing_in.__aenter__()
        await agent.opened()
    try:
        yield agent
    finally:
        await signing_in.__aexit__(None, None, None)


async def _until_given(agent: Client, away: _Away) -> None:
    """Handed out by itself; asked for when somebody else is on duty or has been given it."""
    try:
        async with asyncio.timeout(_NATURAL_S):
            await _until_shown(agent, away.question_id)
    except TimeoutError:
        await agent.conversations.assign(away.conversation_id, agent_id=agent.id)
        await _until_shown(agent, away.question_id)


async def _until_shown(client: Client, message_id: str) -> None:
    async for item in client.entries():
        if isinstance(item, Entry) and item.message and item.message.message_id == message_id:
            return


def _print(console: Console, steps: _Steps) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for what, milliseconds in steps.done:
        table.add_row(what, f"{milliseconds:.0f} ms")
    table.add_row("in all", f"{sum(ms for _, ms in steps.done):.0f} ms")
    console.print(table)
