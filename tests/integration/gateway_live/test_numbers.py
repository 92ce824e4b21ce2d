"""Every number of /conversations/counts is the length of the list that its documentation names."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from shared import clock, conversation, events
from shared.conversation import Conversation, ConversationFact
from shared.events import Author, Event
from shared.ids import AgentId, ContactId, ConversationId, InboxId, MessageId, TeamId
from shared.subjects import Family
from tests.support.gateway_world import Desk
from tests.support.rest import Api, Json

_WHY = events.Explanation(trigger="queue", policy_version=0, state_position=0)


class _Office:
    """A small desk, drawn: two teams and one that was removed, inboxes of a team and of none, what happened in them."""

    def __init__(self, desk: Desk, seed: int) -> None:
        self.desk = desk
        self.draw = random.Random(seed)
        self.lead = AgentId(clock.new_id())
        self.people = (desk.ann, desk.bob, self.lead)
        self.other, self.gone = TeamId(clock.new_id()), TeamId(clock.new_id())
        self.teams = (desk.team_id, self.other, self.gone, None)
        self.inboxes = (desk.inbox_id, InboxId(clock.new_id()), InboxId(clock.new_id()))
        self.contacts = tuple(ContactId(clock.new_id()) for _ in range(6))
        self.last = 0

    async def happen(self) -> None:
        own: dict[str, Any] = {"account_id": self.desk.account_id, "writer": "test"}
        ann, bob = self.desk.ann, self.desk.bob
        await self._append(
            "account",
            events.AgentSaved(
                **own, agent_id=self.lead, name=b"", email=b"", role="supervisor", capacity=9
            ),
            events.TeamSaved(**own, team_id=self.desk.team_id, name="a", members={ann: 0}),
            events.TeamSaved(**own, team_id=self.other, name="b", members={bob: 0}),
            events.TeamSaved(**own, team_id=self.gone, name="c", members={ann: 0}),
            *[
                events.InboxSaved(**own, inbox_id=i, inbox_key=i, name=i, team_id=t)
                for i, t in zip(self.inboxes[1:], (self.other, None), strict=True)
            ],
        )
        for contact_id in self.contacts:
            await self._append(
                "conversation",
                events.ContactCreated(
                    account_id=self.desk.account_id,
                    contact_id=contact_id,
                    inbox_id=self.desk.inbox_id,
                ),
            )
        for _ in range(36):
            await self._conversation()
        await self._append("account", events.TeamRemoved(**own, team_id=self.gone))

    async def _append(self, family: Family, *facts: Event) -> None:
        self.last = (await self.desk.append(family, *facts))[-1]

    async def _conversation(self) -> None:
        contact_id = self.draw.choice(self.contacts)
        own: dict[str, Any] = {
            "account_id": self.desk.account_id,
            "conversation_id": ConversationId(clock.new_id()),
        }
        started = events.ConversationStarted(
            **own,
            contact_id=contact_id,
            inbox_id=self.draw.choice(self.inboxes),
            by=Author(kind="visitor", id=contact_id),
            channel=self.draw.choice(("web", "email")),
        )
        await self._append("conversation", started)
        state = conversation.start(started, self.last)
        for _ in range(self.draw.randrange(9)):
            family, event = self._step(own, contact_id, state)
            await self._append(family, event)
            if isinstance(event, ConversationFact):
                conversation.evolve(state, event, self.last)

    def _step(
        self, own: dict[str, Any], contact_id: ContactId, state: Conversation
    ) -> tuple[Family, Event]:
        draw = self.draw
        by = Author(kind="agent", id=draw.choice(self.people))
        team_id = draw.choice(self.teams)
        match draw.randrange(13):
            case 0 | 1 | 2:
                writer = draw.choice((Author(kind="visitor", id=contact_id),) * 3 + (by,))
                return "message", events.MessagePosted(
                    **own,
                    message_id=MessageId(clock.new_id()),
                    author=writer,
                    content_type="text",
                    body=b"",
                    fingerprint=b"f",
                    seen_up_to=self.last if draw.random() < 0.7 else 0,
                )
            case 3 | 4 | 5:
                return "routing", events.ConversationAssigned(
                    **own, writer="test", agent_id=AgentId(by.id), team_id=team_id, why=_WHY
                )
            case 6:
                return "routing", events.ConversationQueued(
                    **own, writer="test", team_id=team_id, waiting_since=0, why=_WHY
                )
            case 9 | 10 | 11:
                return "routing", self._late(own, state)
            case 7 | 8:
                return "receipt", events.Read(**own, recipient=by, up_to=self.last)
            case _:
                return "conversation", events.StatusChanged(
                    **own,
                    by=by,
                    status=draw.choice(("resolved", "snoozed", "open")),
                    seen_up_to=self.last,
                    until_ns=2**62,
                )

    def _late(self, own: dict[str, Any], state: Conversation) -> Event:
        """Of the wait that goes on, of one that is over, or of the case."""
        draw = self.draw
        wait = draw.choice((state.waiting_since, state.waiting_since, state.started))
        if draw.random() < 0.5:
            return events.Escalated(
                **own,
                writer="test",
                waiting_since=wait,
                deadline=draw.choice(("response", "response", "resolution")),
            )
        return events.DeadlineMissed(
            **own,
            writer="test",
            waiting_since=wait,
            deadline=draw.choice(("first_response", "next_response", "resolution")),
        )


class _Asker:
    """Somebody of the desk, as of the last event."""

    def __init__(self, api: Api, agent_id: AgentId, at: int) -> None:
        self.agent_id = agent_id
        self._api = api
        self._at = str(at)

    async def get(self, path: str) -> Json:
        answer = await self._api.get(path, Nightdesk_Position=self._at)
        assert answer.status == 200, answer
        found: Json = answer.json
        return found

    async def listed(self, query: str) -> list[Json]:
        rows: list[Json] = []
        after = ""
        while True:
            page = await self.get(f"/conversations?limit=30&after={after}&{query}")
            rows += page["data"]
            after = page["page"]["next"] or ""
            if not after:
                return rows

    async def may_open(self, conversation_id: str) -> bool:
        answer = await self._api.get(f"/conversations/{conversation_id}")
        assert answer.status in (200, 404), answer
        return answer.status == 200


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(params=[1, 2])
async def office(desk: Desk, request: pytest.FixtureRequest) -> _Office:
    """Two drawn desks."""
    made = _Office(desk, request.param)
    await made.happen()
    return made


def _askers(office: _Office, http: aiohttp.ClientSession) -> list[_Asker]:
    url = office.desk.world.url
    return [
        _Asker(Api(http, url, office.desk.agent_token(who)), who, office.last)
        for who in office.people
    ]


async def _same(asker: _Asker, count: Json, query: str) -> None:
    """Whether the count is what the list shows, in each status and for each flag that it has a number for."""
    rows = await asker.listed(query)
    known = {status: number for status, number in count["by_status"].items() if number}
    assert (count["conversations"], known) == (len(rows), Counter(x["status"] for x in rows)), query
    for flag in ("team_unread", "overdue", "escalated", "unread"):
        if flag in count:
            assert count[flag] == len(await asker.listed(f"{query}&{flag}=true")), (query, flag)
    for flag in ("overdue", "escalated"):
        assert count[flag] == sum(row[flag] for row in rows), (query, flag)
    if "unread" in count:
        assert count["unread"] == sum(row["unread"] > 0 for row in rows), query


async def test_a_client_that_shows_a_number_gets_exactly_that_list(
    office: _Office, http: aiohttp.ClientSession
) -> None:
    """For agents of two teams and a supervisor, whatever filters they set: a team, one that was removed, none, an inbox,
    a colleague, a channel, a visitor."""
    lead = _askers(office, http)[-1]
    for flag in ("overdue", "escalated"):
        assert await lead.listed(f"view=all&{flag}=true"), "the drawn desk shows nothing of it"
    filters = [
        "",
        *[f"&team={team_id}" for team_id in (*office.teams[:3], "none")],
        f"&inbox={office.inboxes[2]}",
        f"&agent={office.desk.ann}",
        f"&channel=email&team={office.other}",
        f"&contact={office.contacts[0]}",
    ]
    for asker in _askers(office, http):
        for chosen in filters:
            counts = await asker.get(f"/conversations/counts?{chosen[1:]}")
            await _same(asker, counts["all"], f"view=all{chosen}")
            await _same(asker, counts["unassigned"], f"view=unassigned{chosen}")
            if not chosen.startswith("&agent=") or asker.agent_id == office.desk.ann:
                await _same(asker, counts["mine"], f"view=mine{chosen}")
        for each in (await asker.get("/conversations/counts"))["teams"]:
            await _same(asker, each, f"view=all&team={each['team_id'] or 'none'}")


async def test_the_lists_hold_what_may_be_opened(
    office: _Office, http: aiohttp.ClientSession
) -> None:
    """What an agent may open is in `all` or was theirs last; what is listed as theirs last is theirs no more; and the
    books of who has what, kept apart from the store's questions, agree with `all`, `mine` and `unassigned`."""
    askers = _askers(office, http)
    everything = await askers[-1].listed("view=all")
    assert len(everything) == 36
    for asker in askers[:2]:
        may_open: set[str] = set()
        for view, belongs in _belonging(office, asker.agent_id).items():
            expected = {x["conversation_id"] for x in everything if belongs(x)}
            found = {x["conversation_id"] for x in await asker.listed(f"view={view}")}
            assert found == expected, view
            may_open |= expected
        for row in everything:
            conversation_id = row["conversation_id"]
            assert await asker.may_open(conversation_id) == (conversation_id in may_open)


def _belonging(office: _Office, me: AgentId) -> dict[str, Callable[[Json], bool]]:
    """By view, what belongs into an agent's list."""
    desk = office.desk
    own_team = desk.team_id if me == desk.ann else office.other
    owners = dict(zip(office.inboxes, (desk.team_id, office.other, None), strict=True))

    def is_ours(row: Json) -> bool:
        is_loose = row["team_id"] in (None, office.gone)
        return (owners[row["inbox_id"]] if is_loose else row["team_id"]) in (None, own_team)

    return {
        "all": lambda row: row["agent_id"] == me or is_ours(row),
        "mine": lambda row: row["agent_id"] == me,
        "unassigned": lambda row: is_ours(row) and row["status"] == "queued",
        "previous": lambda row: row["previous_agent_id"] == me != row["agent_id"],
    }
