"""The job that Nightdesk is for, on real processes: nobody's message is lost while everybody is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from cli import demo
from cli.replay.command import SAMPLE
from cli.replay.transcripts import load
from nightdesk_client import (
    Agent,
    Client,
    Entry,
    Item,
    Message,
    Options,
    SendRefused,
    SignedOut,
    Staff,
    Visitor,
)
from tests.support.replaying import faults, replaying
from tests.support.stack import StackUnderTest, running_stack

WAIT_S = 60.0
PASSWORD = demo.DEVELOPMENT_PASSWORD


@pytest.fixture(scope="module")
def stack() -> Iterator[StackUnderTest]:
    """One stack for this module; nothing is killed here."""
    with running_stack() as running:
        yield running


@pytest.fixture
async def inbox_key(stack: StackUnderTest) -> str:
    """The demo account's door."""
    async with Staff.sign_in(stack.gateway_url, demo.ADMIN.email, PASSWORD) as staff:
        return (await staff.account.inboxes())[0].inbox_key


async def messages(client: Client, conversation_id: str, count: int) -> list[Message]:
    """The next messages of a conversation that the application is given."""
    found: list[Message] = []
    async with asyncio.timeout(WAIT_S):
        items: AsyncIterator[Item] = client.entries()
        while len(found) < count:
            item = await anext(items)
            if isinstance(item, Entry) and item.message and item.conversation_id == conversation_id:
                found.append(item.message)
    return found


async def test_a_message_of_the_night_is_answered_and_found(
    stack: StackUnderTest, inbox_key: str
) -> None:
    """Written while all are away, given in order and once when an agent signs in, answered while the visitor is
    gone, found on return with the same cursor, on every device."""
    url = stack.gateway_url
    texts = ["夜里写的第一条消息", "the second message of the night", "and a third"]
    async with Visitor.arrive(url, inbox_key) as visitor:
        token = await visitor.token()
        started = await visitor.conversations.start(texts[0], language="en")
        conversation = started.conversation_id
        for text in texts[1:]:
            await visitor.send(conversation, text)
        own = await messages(visitor, conversation, 3)
        bookmark = visitor.bookmark
    assert [x.text for x in own] == texts
    async with Agent.sign_in(url, demo.ADMIN.email, PASSWORD) as agent:
        given = await messages(agent, conversation, 3)
        assert [(x.seq, x.text) for x in given] == list(enumerate(texts, start=1))
        answer = await agent.send(conversation, "good morning")
        options = Options(bookmark=bookmark)
        async with Visitor.returning(url, token, options=options) as visitor:
            [found] = await messages(visitor, conversation, 1)
            assert (found.message_id, found.text) == (answer.message_id, "good morning")
        async with Visitor.returning(url, token) as other_device:
            all_of_it = await messages(other_device, conversation, 4)
            assert [x.seq for x in all_of_it] == [1, 2, 3, 4]
        await agent.conversations.set_status(conversation, "resolved", seen_up_to=answer.position)


async def test_a_message_id_is_one_message_for_ever(stack: StackUnderTest, inbox_key: str) -> None:
    """The same id with the same text is a repeat at the first position; with another text it is refused."""
    async with Visitor.arrive(stack.gateway_url, inbox_key) as visitor:
        started = await visitor.conversations.start("hello")
        sent = await visitor.send(started.conversation_id, "once")
        again = await visitor.send(started.conversation_id, "once", message_id=sent.message_id)
        assert again == sent
        with pytest.raises(SendRefused) as caught:
            await visitor.send(started.conversation_id, "other", message_id=sent.message_id)
        assert caught.value.code == "id_conflict"
        page = await visitor.conversations.messages(started.conversation_id)
        assert [x.text for x in page.data] == ["hello", "once"]


async def test_a_visitor_sees_nobody_elses_conversation(
    stack: StackUnderTest, inbox_key: str
) -> None:
    """A foreign conversation can't be posted into, and looks as if it did not exist."""
    async with (
        Visitor.arrive(stack.gateway_url, inbox_key) as one,
        Visitor.arrive(stack.gateway_url, inbox_key) as other,
    ):
        started = await one.conversations.start("mine")
        with pytest.raises(SendRefused) as caught:
            await other.send(started.conversation_id, "not mine")
        assert caught.value.code == "not_found"


async def test_a_forged_token_is_sent_away(stack: StackUnderTest) -> None:
    """A token that the server did not sign opens no session, and the client does not try for ever."""
    async with Visitor.returning(stack.gateway_url, "eyJhbGciOiJIUzI1NiJ9.e30.x") as visitor:
        with pytest.raises(SignedOut):
            await asyncio.wait_for(anext(visitor.entries()), WAIT_S)


def test_the_self_check_passes(stack: StackUnderTest) -> None:
    """`nightdesk selfcheck` runs the real path and ends with status 0."""
    done = stack.command("selfcheck")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "finds the answer" in done.stdout


async def test_the_self_check_leaves_nobody_on_duty(stack: StackUnderTest) -> None:
    """Its agent is gone at once, so that the next visitor is not given to somebody who isn't there."""
    done = await asyncio.to_thread(stack.command, "selfcheck")
    assert done.returncode == 0, done.stdout + done.stderr
    async with Staff.sign_in(stack.gateway_url, demo.ADMIN.email, PASSWORD) as staff:
        agents = await staff.account.agents()
        assert {agent.email for agent in agents} == {agent.email for agent in demo.AGENTS}
        inboxes = await staff.account.inboxes()
        assert not [inbox.name for inbox in inboxes if inbox.name.startswith("Self check")]


@asynccontextmanager
async def _somebody_waits(stack: StackUnderTest) -> AsyncIterator[None]:
    """For just anybody, while nobody takes anything; at the end nobody but they may have been given it."""
    async with Staff.sign_in(stack.gateway_url, demo.ADMIN.email, PASSWORD) as staff:
        inbox = await staff.account.create_inbox(name="For anybody", channel="web")
        agents = await staff.account.agents()
        for agent in agents:
            await staff.account.set_availability(agent.agent_id, "away")
        async with Visitor.arrive(stack.gateway_url, inbox.inbox_key) as visitor:
            started = await visitor.conversations.start("Is anybody there at all?")
            await messages(visitor, started.conversation_id, 1)
            yield
            explained = await staff.conversations.explain(started.conversation_id)
            assert "assigned" not in {step.what for step in explained.decisions}
            waiting = await staff.conversations.get(started.conversation_id)
            assert (waiting.agent_id, waiting.status) == (None, "queued")
        await staff.conversations.set_status(started.conversation_id, "resolved")
        for agent in agents:
            await staff.account.set_availability(agent.agent_id, "online")


async def test_the_self_check_takes_no_customer(stack: StackUnderTest) -> None:
    """Who waits for just anybody is not given to an agent who is gone in a moment, and does not hold the check up."""
    async with _somebody_waits(stack):
        done = await asyncio.to_thread(stack.command, "selfcheck")
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_failed_self_check_says_why(stack: StackUnderTest) -> None:
    """A step that can't be done ends with status 1 and its reason in words."""
    done = stack.command("selfcheck", "--password", "wrong")
    assert done.returncode == 1
    assert "refused" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


async def test_a_replay_is_clean_readable_by_nobody_and_equal_to_the_log(
    stack: StackUnderTest,
) -> None:
    """Real conversations leave a clean ledger, projections equal to the log, and no plain text on any disk; and the
    customer who waits for just anybody is not given to the people of a play."""
    async with _somebody_waits(stack), replaying(stack) as run:
        ledger = await run.ledger()
    assert faults(ledger) == {}
    verified = await asyncio.to_thread(stack.command, "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    phrases = [turn.text for x in load(SAMPLE) for turn in x.turns if len(turn.text) > 12][:12]
    assert await asyncio.to_thread(_rows_with, stack.database_url, phrases) == []
    assert await asyncio.to_thread(_files_with, stack.logs.parent, phrases) == []


def _rows_with(database_url: str, phrases: list[str]) -> list[str]:
    """Tables in which a phrase stands as text, or as bytes (which COPY writes in hexadecimal)."""
    needles = [x.encode() for x in phrases] + [x.encode().hex().encode() for x in phrases]
    found = []
    with psycopg.connect(database_url) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
            " AND table_type = 'BASE TABLE'"
        ).fetchall()
        assert len(tables) > 5
        for schema, table in tables:
            statement = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT").format(
                sql.Identifier(schema, table)
            )
            with connection.cursor().copy(statement) as copy:
                content = b"".join(bytes(part) for part in copy)
            found += [f"{schema}.{table}" for needle in needles if needle in content]
    return found


def _files_with(directory: Path, phrases: list[str]) -> list[str]:
    """Files of the servers and the services (streams, write-ahead log, tables, logs) that hold a phrase."""
    needles = [x.encode() for x in phrases]
    found, searched = [], 0
    for file in directory.rglob("*"):
        if not file.is_file() or file.is_symlink():
            continue
        content = file.read_bytes()
        searched += len(content)
        found += [str(file.relative_to(directory)) for needle in needles if needle in content]
    assert searched > 1_000_000
    return found
