"""The place of one story: a team, an inbox and a policy of its own on the shared site, its people, and the log of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp

from nightdesk_client import (
    Agent,
    ApiError,
    Bookmark,
    Client,
    NightdeskClientError,
    Options,
    Staff,
    Visitor,
    new_id,
)
from nightdesk_client.api.account import AgentRecord, PolicyRecord, TeamRecord
from prove.evidence import LogEntry, Unreadable, read_log
from prove.scenarios.people import Member, Screen, faults
from prove.site import Site

ADMIN = "lin@demo.example"
PASSWORD = "nightdesk-demo"
_LOOK_S = 0.05
_LONG_S = 60.0
_FACTS = 30


class Broken(Exception):
    """A story did not go as promised."""


class Floor:
    """`open_floor` makes one. Everything that a story waits for has a limit; a limit that passes is a `Broken`."""

    def __init__(self, site: Site, staff: Staff, name: str, stack: AsyncExitStack) -> None:
        self.site = site
        self.staff = staff
        self.name = name
        self.inbox_key = ""
        self.team = TeamRecord(team_id="", name="", version=0)
        self.policy = PolicyRecord(policy_id="", name="", version=0)
        self.members: list[Member] = []
        self.conversations: list[str] = []
        self._stack = stack
        self._began = 0
        self._log: list[LogEntry] = []

    # ------------------------------------------------------------ people

    async def hire(self, *, capacity: int = 10, **fields: Any) -> AgentRecord:
        """One more agent of the team, not signed in."""
        number = len(self.team.members)
        made = await self.staff.account.create_agent(
            name=f"{self.name} {number}",
            email=f"{self.name}-{number}@prove.example",
            password=PASSWORD,
            capacity=capacity,
            **{"role": "agent", **fields},
        )
        members = {**self.team.members, made.agent_id: 0}
        self.team = await self.staff.account.change_team(self.team, members=members)
        return made

    async def fire(self, agent: AgentRecord) -> None:
        """The agent is removed from the account."""
        await self._surely(lambda: self.staff.account.remove_agent(agent.agent_id))

    async def change_policy(self, **fields: Any) -> None:
        """Another version of this story's policy."""
        account, policy = self.staff.account, self.policy
        await self._surely(lambda: account.change_policy(policy, **fields))
        self.policy = next(x for x in await account.policies() if x.policy_id == policy.policy_id)

    async def _surely(self, do: Callable[[], Awaitable[object]]) -> None:
        """Again while servers are away."""
        async with asyncio.timeout(_LONG_S):
            while True:
                try:
                    await do()
                except NightdeskClientError as err:
                    if isinstance(err, ApiError) and err.status < 500 and err.status != 429:
                        raise
                    await asyncio.sleep(0.2)
                else:
                    return

    async def sign_in(self, agent: AgentRecord, *, gateway: int = 0) -> Member:
        """On duty at one device until the story ends."""
        return await self._stack.enter_async_context(self.signed_in(agent, gateway=gateway))

    @asynccontextmanager
    async def signed_in(self, agent: AgentRecord, *, gateway: int = 0) -> AsyncIterator[Member]:
        """On duty at one device for the length of the block."""
        screen = Screen(name=f"{agent.name} at gateway {gateway + 1}")
        options = Options(
            on_alert=screen.alert, on_signal=lambda signal: screen.hear(agent.agent_id, signal)
        )
        async with AsyncExitStack() as stack:
            opening = Agent.sign_in(
                self.site.gateways[gateway], agent.email or "", PASSWORD, options=options
            )
            yield await self._enter(opening, screen, stack)

    async def token(self, agent: AgentRecord) -> str:
        """An access token, without any device."""
        url = f"{self.site.gateways[0]}/api/v1/auth/login"
        body = {"email": agent.email, "password": PASSWORD}
        async with aiohttp.ClientSession() as http, http.post(url, json=body) as answer:
            return str((await answer.json())["access_token"])

    async def arrive(self, *, gateway: int = 0) -> Member:
        """A visitor."""
        async with Visitor.arrive(self.site.gateways[gateway], self.inbox_key) as client:
            known = Member(client, Screen(name=f"visitor {len(self.members)}"))
            return await self.accompany(known, gateway=gateway)

    async def accompany(
        self, visitor: Member, *, gateway: int = 0, bookmark: Bookmark | None = None
    ) -> Member:
        """One more device of this visitor until the story ends; with a bookmark one that was there before."""
        return await self._stack.enter_async_context(
            self.accompanied(visitor, gateway=gateway, bookmark=bookmark)
        )

    @asynccontextmanager
    async def accompanied(
        self, visitor: Member, *, gateway: int = 0, bookmark: Bookmark | None = None
    ) -> AsyncIterator[Member]:
        """One more device of this visitor for the length of the block."""
        screen = Screen(name=f"device {len(self.members)} of {visitor.screen.name}")
        me = visitor.client.id
        options = Options(
            bookmark=bookmark,
            on_alert=screen.alert,
            on_signal=lambda signal: screen.hear(me, signal),
        )
        async with AsyncExitStack() as stack:
            opening = Visitor.returning(
                self.site.gateways[gateway],
                await visitor.client.token(),
                contact_id=me,
                options=options,
            )
            yield await self._enter(opening, screen, stack)

    async def _enter(self, opening: Any, screen: Screen, stack: AsyncExitStack) -> Member:
        client: Client = await stack.enter_async_context(opening)
        member = Member(client, screen)
        reading = asyncio.create_task(member.read())
        stack.push_async_callback(_end, reading)
        self.members.append(member)
        await asyncio.wait_for(client.opened(), _LONG_S)
        return member

    async def write(self, visitor: Member, text: str, **fields: Any) -> str:
        """A conversation begun with this text, under the same ids until the outcome is known; its id."""
        conversation_id, message_id = new_id(), new_id()
        await self._surely(
            lambda: visitor.client.conversations.start(
                text, conversation_id=conversation_id, message_id=message_id, **fields
            )
        )
        self.conversations.append(conversation_id)
        return conversation_id

    # ------------------------------------------------------------ evidence

    async def log(self) -> list[LogEntry]:
        """Everything in the log of this story's conversations and agents, read anew."""
        await self._read_on()
        ids = {*self.conversations, *self.team.members}
        return [
            entry
            for entry in self._log
            if {entry.event.get("conversation_id"), entry.event.get("agent_id")} & ids
        ]

    async def _read_on(self) -> None:
        after = self._log[-1].position if self._log else self._began
        self._log += await read_log(self.site.broker.url, after=after)

    async def begin(self) -> None:
        """Remember where the log stands."""
        entries = await read_log(self.site.broker.url)
        self._began = entries[-1].position if entries else 0

    async def events(self, kind: str) -> list[LogEntry]:
        """The events of one kind, in order."""
        return [entry for entry in await self.log() if entry.event.get("type") == kind]

    async def owners(self) -> dict[str, str | None]:
        """The owner of every conversation as the log has it; None in a queue, absent before any decision."""
        owners: dict[str, str | None] = {}
        for entry in await self.log():
            if entry.event.get("type") == "conversation_assigned":
                owners[entry.event["conversation_id"]] = entry.event["agent_id"]
            elif entry.event.get("type") == "conversation_queued":
                owners[entry.event["conversation_id"]] = None
        return owners

    async def until(
        self, is_so: Callable[[], Awaitable[bool]], what: str, *, within_s: float = _LONG_S
    ) -> float:
        """Wait; the seconds it took. Raises `Broken`."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            try:
                if await is_so():
                    return loop.time() - began
            except (Unreadable, NightdeskClientError):
                # A server is away; whether that lasts too long is told by the limit.
                pass
            if loop.time() - began > within_s:
                raise Broken(f"not within {within_s:g} s: {what}")
            await asyncio.sleep(_LOOK_S)

    async def all_owned(self) -> bool:
        """Whether each conversation has somebody."""
        owners = await self.owners()
        return all(owners.get(x) for x in self.conversations)

    async def ready(self) -> None:
        """Every process says that it is ready."""

        async def is_ready() -> bool:
            return self.site.why_not_ready() is None

        await self.until(is_ready, "every process is ready again")

    def check(self, is_so: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
        """Raises `Broken`."""
        if not is_so:
            raise Broken(what)

    def leader(self, service: str) -> str:
        """The process of a doubled service that holds the family, by what it says itself. Raises `Broken`."""
        for name in self.site.services:
            if name.startswith(service):
                said = [x for x in self.site.log_tail(name, lines=20_000) if "writer_changed" in x]
                if said and "true" in said[-1].lower():
                    return name
        raise Broken(f"no {service} says that it is the writer")

    async def evidence(self) -> list[str]:
        """The end of the story's log, a line for each fact of routing and presence."""
        facts = [e for e in await self.log() if e.family in ("routing", "presence")]
        began = facts[0].at_s if facts else 0.0
        return [
            f"{e.at_s - began:7.2f} s  {e.position}  {e.event.get('type')}"
            f"  {str(e.event.get('conversation_id', ''))[-6:]}"
            f"  {str(e.event.get('agent_id', ''))[-6:]}"
            f"  {_why(e.event)}"
            for e in facts[-_FACTS:]
        ]

    async def judge(self) -> None:
        """What holds in every story: screens show each message once and in order, no client was ended, nobody has two
        owners, every decision says why."""
        found = [text for member in self.members for text in faults(member.screen)]
        found += [f"{m.screen.name}: {m.ended}" for m in self.members if m.ended]
        for entry in await self.log():
            kind = entry.event.get("type")
            if kind in ("conversation_assigned", "conversation_queued"):
                why = entry.event.get("why") or {}
                if not why.get("trigger") or why.get("state_position", 0) >= entry.position:
                    found.append(f"unexplained decision at {entry.position}")
        self.check(not found, "; ".join(found[:5]))


def _why(event: dict[str, Any]) -> str:
    """A decision's trigger, or the one word of a move."""
    why = event.get("why") or ""
    return str(why.get("trigger", "") if isinstance(why, dict) else why)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task], timeout=5)
    if not task.cancelled() and (fault := task.exception()) is not None:
        raise fault


@asynccontextmanager
async def open_floor(site: Site, name: str, **policy: Any) -> AsyncIterator[Floor]:
    """A team without members, its inbox and its policy."""
    async with AsyncExitStack() as stack:
        staff = await stack.enter_async_context(Staff.sign_in(site.gateways[0], ADMIN, PASSWORD))
        floor = Floor(site, staff, name, stack)
        account = staff.account
        floor.team = await account.create_team(name=name, members={})
        floor.policy = await account.create_policy(name=name, **policy)
        inbox = await account.create_inbox(
            name=name, channel="web", team_id=floor.team.team_id, policy_id=floor.policy.policy_id
        )
        floor.inbox_key = inbox.inbox_key
        await floor.begin()
        yield floor
