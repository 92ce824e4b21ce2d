"""REST while a server is away: what goes on, what says "later", and what stands afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from deploy.dev.nats_server import NatsServer
from deploy.dev.postgres_server import PostgresServer
from shared.clock import new_id
from tests.support.gateway_world import World, open_world
from tests.support.log import PATIENCE_S
from tests.support.rest import Answer, Api, Office, make_account
from tests.support.servers import migrate
from tests.support.services import Surroundings, wait_ready


@pytest.fixture
async def alone(
    fresh_nats: NatsServer, fresh_postgres: PostgresServer, shard: str, tmp_path: Path
) -> AsyncIterator[tuple[World, Office]]:
    """Servers, services and an account of this test alone."""
    migrate(fresh_postgres.url())
    around = Surroundings(
        nats=fresh_nats, database_url=fresh_postgres.url(), shard=shard, directory=tmp_path
    )
    settings = {"NIGHTDESK_GATEWAY_ASK_TIMEOUT_S": "2"}
    with open_world(around, settings=settings) as world:
        account = await asyncio.to_thread(make_account, world)
        async with aiohttp.ClientSession() as http:
            office = Office(Api(http, world.url), *account)
            await office.furnish()
            yield world, office


async def _until_accepted(visitor: Api, path: str, body: object) -> Answer:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await visitor.post(path, body)
            if answer.status in (200, 201):
                return answer
            # Who asks without a pause is told to ask more slowly, too, when the server takes its time to come back.
            assert answer.status in (429, 503), answer
            assert "Retry-After" in answer.headers


async def test_without_postgresql_visitors_go_on_writing(
    alone: tuple[World, Office], fresh_postgres: PostgresServer
) -> None:
    """Known conversations take messages, arrivals are made; sign-in, lists and history say "later"."""
    _, office = alone
    visitor, _ = await office.arrive()
    conversation_id, started = await office.start(visitor)
    path = f"/conversations/{conversation_id}"
    fresh_postgres.kill()
    posted = await visitor.post(
        f"{path}/messages",
        {"message_id": new_id(), "text": "is anybody there"},
        Nightdesk_Position=started.position,
    )
    assert posted.status == 201, posted
    arrived = await office.anybody.post(f"/inboxes/{office.inbox['inbox_key']}/contacts", {})
    assert arrived.status == 201
    later = [
        await visitor.get(path),
        await visitor.get(f"{path}/messages"),
        await visitor.get("/conversations"),
        await office.anybody.post(
            "/auth/login", {"email": office.admin_email, "password": "does not matter"}
        ),
    ]
    for answer in later:
        assert (answer.status, answer.code) == (503, "unavailable"), answer
        assert int(answer.headers["Retry-After"]) >= 1
    fresh_postgres.start()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            shown = await visitor.get(f"{path}/messages", Nightdesk_Position=posted.position)
            if shown.status == 200:
                break
    assert [m["text"] for m in shown.json["data"]] == ["hello", "is anybody there"]


async def test_without_the_log_nothing_is_called_durable(
    alone: tuple[World, Office], fresh_nats: NatsServer
) -> None:
    """503 with Retry-After, never 201; the same message sent again afterwards stands once."""
    world, office = alone
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor)
    path = f"/conversations/{conversation_id}/messages"
    body = {"message_id": new_id(), "text": "in the dark"}
    fresh_nats.kill()
    refused = await visitor.post(path, body)
    assert refused.status == 503
    assert refused.code in ("unknown", "unavailable")
    changed = await office.admin.post("/teams", {"name": "x"})
    assert (changed.status, changed.code) == (503, "unavailable")
    fresh_nats.start()
    await asyncio.to_thread(wait_ready, world.gateway)
    accepted = await _until_accepted(visitor, path, {**body, "resend": True})
    again = await _until_accepted(visitor, path, {**body, "resend": True})
    assert again.json["position"] == accepted.json["position"]
    async with asyncio.timeout(PATIENCE_S):
        while True:
            shown = await visitor.get(path, Nightdesk_Position=accepted.position)
            if shown.status == 200:
                break
    assert [m["text"] for m in shown.json["data"]] == ["hello", "in the dark"]
