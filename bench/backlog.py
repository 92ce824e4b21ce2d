"""The morning that the dispatcher is measured on: a backlog, agents with skills, an inbox a skill. Made from numbers,
so that two runs get the same."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator

import msgspec

from shared import events
from shared.events import Author, Event
from shared.ids import (
    AccountId,
    AgentId,
    ContactId,
    ConversationId,
    DeviceId,
    InboxId,
    MessageId,
    TeamId,
)
from shared.subjects import Family

SKILLS_EACH = 5
Fact = tuple[Family, Event]


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How much of it."""

    waiting: int = 100_000
    agents: int = 2_000
    skills: int = 200

    @property
    def capacity(self) -> int:
        """Of each agent: a fifth more than the average, because skills are not spread evenly."""
        return 1 + self.waiting * 6 // 5 // self.agents


class Backlog:
    """Everything in it, with ids that are made from `seed`."""

    def __init__(self, size: Size, *, seed: int = 1) -> None:
        self._dice = random.Random(seed)
        self.size = size
        self.account_id = AccountId(self._id())
        self.agents = [AgentId(self._id()) for _ in range(size.agents)]
        self.inboxes = [InboxId(self._id()) for _ in range(size.skills)]
        self.conversations = [ConversationId(self._id()) for _ in range(size.waiting)]
        self.skills = [self._skills_of(number) for number in range(size.agents)]

    def skill_of(self, number: int) -> int:
        """What the conversation of that number asks for."""
        return number % self.size.skills

    def configuration(self) -> Iterator[Fact]:
        """Agents in one team, an inbox that asks for each skill."""
        team_id = TeamId(self._id())
        for agent_id, skills in zip(self.agents, self.skills, strict=True):
            saved = events.AgentSaved(
                account_id=self.account_id,
                writer="",
                agent_id=agent_id,
                name=b"",
                email=b"",
                capacity=self.size.capacity,
                skills={f"skill{skill}": level for skill, level in skills.items()},
            )
            yield "account", saved
        members = dict.fromkeys(self.agents, 0)
        team = events.TeamSaved(
            account_id=self.account_id, writer="", team_id=team_id, name="", members=members
        )
        yield "account", team
        for number, inbox_id in enumerate(self.inboxes):
            inbox = events.InboxSaved(
                account_id=self.account_id,
                writer="",
                inbox_id=inbox_id,
                inbox_key=inbox_id,
                name="",
                team_id=team_id,
                skills={f"skill{number}": 1},
            )
            yield "account", inbox

    def arrivals(self) -> Iterator[Fact]:
        """Conversations with one message each."""
        for number, conversation_id in enumerate(self.conversations):
            author = Author(kind="visitor", id=self._id())
            started = events.ConversationStarted(
                account_id=self.account_id,
                conversation_id=conversation_id,
                inbox_id=self.inboxes[self.skill_of(number)],
                contact_id=ContactId(author.id),
                by=author,
                language=("zh", "en")[number % 2],
            )
            yield "conversation", started
            posted = events.MessagePosted(
                account_id=self.account_id,
                conversation_id=conversation_id,
                message_id=MessageId(self._id()),
                author=author,
                content_type="text",
                body=bytes(200),
                fingerprint=bytes(16),
            )
            yield "message", posted

    def arriving_agents(self) -> Iterator[Fact]:
        """Everybody signs in."""
        for agent_id in self.agents:
            online = events.AgentOnline(
                account_id=self.account_id,
                writer="",
                agent_id=agent_id,
                device_id=DeviceId(agent_id),
            )
            yield "presence", online

    def _skills_of(self, number: int) -> dict[int, int]:
        """Of one in two hundred each, at some level; every skill is somebody's."""
        own = {number % self.size.skills}
        while len(own) < min(SKILLS_EACH, self.size.skills):
            own.add(self._dice.randrange(self.size.skills))
        return {skill: self._dice.randrange(1, 6) for skill in sorted(own)}

    def _id(self) -> str:
        return str(uuid.UUID(int=self._dice.getrandbits(128), version=4))
