"""REST as a test speaks it: a thin client that keeps answers whole, and accounts made by the operator's command."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import aiohttp
import msgspec
from multidict import CIMultiDictProxy

from shared.clock import new_id, now_ns
from tests.support.gateway_world import World
from tests.support.log import PATIENCE_S

PASSWORD = "correct horse battery"
Json = dict[str, Any]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Status, headers and decoded body of an answer."""

    status: int
    headers: CIMultiDictProxy[str]
    json: Any

    @property
    def code(self) -> str:
        """Of a problem."""
        return str(self.json["code"])

    @property
    def position(self) -> str:
        """What a write gave; sent back on a read."""
        return self.headers["Nightdesk-Position"]


class Api:
    """One identity, or none."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str = "") -> None:
        self.http = http
        self.url = url
        self.token = token

    def as_(self, token: str) -> Api:
        """The same gateway, another identity."""
        return Api(self.http, self.url, token)

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Any request. Header names are written with underscores."""
        raw = None if body is None else msgspec.json.encode(body)
        return await self.send(method, path, raw, **headers)

    async def send(self, method: str, path: str, raw: bytes | None, **headers: str) -> Answer:
        """As `call`, with a body that is sent as it is."""
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if raw is not None:
            sent.setdefault("Content-Type", "application/json")
        request = self.http.request(
            method,
            f"{self.url}/api/v1{path}",
            data=raw,
            headers=sent,
            timeout=aiohttp.ClientTimeout(total=PATIENCE_S),
        )
        async with request as got:
            payload = await got.read()
            return Answer(
                status=got.status,
                headers=got.headers,
                json=msgspec.json.decode(payload) if payload else None,
            )

    async def get(self, path: str, **headers: str) -> Answer:
        """GET."""
        return await self.call("GET", path, **headers)

    async def post(self, path: str, body: object = None, **headers: str) -> Answer:
        """POST."""
        return await self.call("POST", path, body, **headers)

    async def patch(self, path: str, body: object, **headers: str) -> Answer:
        """PATCH."""
        return await self.call("PATCH", path, body, **headers)

    async def delete(self, path: str, **headers: str) -> Answer:
        """DELETE."""
        return await self.call("DELETE", path, **headers)

    async def made(self, path: str, body: object = None, **headers: str) -> Any:
        """POST that must succeed; its body."""
        answer = await self.post(path, body, **headers)
        assert answer.status in (200, 201, 202), answer
        return answer.json

    async def sign_in(self, email: str, password: str = PASSWORD) -> Api:
        """An agent of this gateway."""
        tokens = await self.made("/auth/login", {"email": email, "password": password})
        return self.as_(tokens["access_token"])


class Office:
    """An account: `admin` signed in, an agent `ann` in team `team_id`, and an inbox of that team."""

    def __init__(self, anybody: Api, account_id: str, admin_email: str) -> None:
        self.anybody = anybody
        self.account_id = account_id
        self.admin_email = admin_email
        self.admin = anybody
        self.ann = anybody
        self.ann_id = ""
        self.team_id = ""
        self.inbox: Json = {}

    async def furnish(self) -> None:
        """Wait until the gateway knows the account, then configure it through the API."""
        self.admin = await self._first_sign_in()
        email = f"ann-{new_id()}@office.example"
        made = await self.admin.made(
            "/agents", {"name": "Ann", "email": email, "password": PASSWORD, "skills": {"tea": 2}}
        )
        self.ann_id = made["agent_id"]
        self.ann = await self.anybody.sign_in(email)
        team = await self.admin.made("/teams", {"name": "Desk", "members": {self.ann_id: 1}})
        self.team_id = team["team_id"]
        self.inbox = await self.admin.made("/inboxes", {"name": "Web", "team_id": self.team_id})

    async def _first_sign_in(self) -> Api:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                body = {"email": self.admin_email, "password": PASSWORD}
                answer = await self.anybody.post("/auth/login", body)
                if answer.status == 200:
                    return self.anybody.as_(answer.json["access_token"])
                # 429: it does not know the account yet, and ten wrong passwords are granted at once. 503: later.
                assert answer.status in (401, 429, 503), answer

    async def arrive(self, **body: object) -> tuple[Api, str]:
        """A visitor and their contact id."""
        path = f"/inboxes/{self.inbox['inbox_key']}/contacts"
        arrived = await self.anybody.made(path, body)
        return self.anybody.as_(arrived["visitor_token"]), arrived["contact_id"]

    async def start(self, visitor: Api, text: str = "hello") -> tuple[str, Answer]:
        """A conversation with its first message, and the answer."""
        conversation_id = new_id()
        body = {
            "conversation_id": conversation_id,
            "message": {"message_id": new_id(), "text": text},
        }
        answer = await visitor.post("/conversations", body)
        assert answer.status == 201, answer
        return conversation_id, answer


def operator(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A `nightdesk` command as the operator of this world runs it."""
    around = world.around
    environ = around.environment(
        {
            "NIGHTDESK_NATS_URL": around.nats.url_of("operator"),
            "NIGHTDESK_MASTER_KEY_FILE": str(around.directory / "master.key"),
            "NIGHTDESK_GATEWAY_URL": world.url,
            "NIGHTDESK_PASSWORD": PASSWORD,
        }
    )
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )


def make_account(world: World) -> tuple[str, str]:
    """By the operator's command: account id and the administrator's address."""
    email = f"admin-{new_id()}@office.example"
    done = operator(world, "account", "create", "Office", "--email", email)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()[1], email


def seconds_from_now(seconds: int) -> int:
    """For the claims of tokens."""
    return now_ns() // 1_000_000_000 + seconds
