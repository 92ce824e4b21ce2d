"""What the dispatcher has folded from the log, and nothing else: this is what a snapshot holds."""

from __future__ import annotations

from typing import Literal

import msgspec

from services.dispatcher.decide.shelf import Shelf
from shared.conversation import Conversation
from shared.directory import Account, Directory
from shared.events.presence import Availability
from shared.events.routing import Trigger
from shared.ids import AccountId, AgentId, ContactId, ConversationId, DeviceId, Position, TeamId
from shared.repeats import Repeats

VERSION = 7
"""Of the snapshot's form; a snapshot of another version is read from the log again."""

TEMPO = 8
"""Eighths of the burst that an agent begins with."""

NEVER: Position = 2**62
"""A position that no acknowledgement reaches: somebody who gave a conversation back is barred for a time."""


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A wish that waits for its answer: a claim by `agent_id`, or an assignment to an agent, a team or the queue."""

    position: Position
    kind: Literal["claim", "assignment"]
    by: str
    agent_id: AgentId | None = None
    team_id: TeamId | None = None
    seen_up_to: Position = 0


class Track(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A conversation with what only routing needs to know.

    `times`: log times of its unanswered positions. `is_queued`: its wait is on record; `queued` is its place while
    nothing is unanswered. `answerer`: an agent who answered while it had no owner. `barred_*`: the agent who left
    it lying or gave it back, since when, and the acknowledgement that lifts it. `missed_*`, `reassigned`, `escalated*`:
    the waits whose deadline was acted on. `opened`: since when the case is open, 0 for one without a message.
    `fallen_*`: the teams that were asked as well, the wait for which they were, and how many of them before
    somebody moved it by hand. `met`: conditions of the policy that it meets. `moved`, `moved_by`: where a wish
    last moved it, and whose.
    """

    conversation: Conversation
    times: dict[Position, int] = {}
    is_queued: bool = False
    queued: Position = 0
    queued_ns: int = 0
    released_by: Trigger = "queue"
    wanted_team_id: TeamId | None = None
    requests: list[Request] = []
    answerer: AgentId | None = None
    assigned_ns: int = 0
    lease_s: int = 0
    barred_agent_id: AgentId | None = None
    barred_ns: int = 0
    barred_until: Position = 0
    missed_first: Position = 0
    missed_next: Position = 0
    missed_resolution: Position = 0
    reassigned: Position = 0
    escalated: Position = 0
    escalated_resolution: Position = 0
    opened: Position = 0
    opened_ns: int = 0
    fallen_to: tuple[TeamId, ...] = ()
    fallen_since: Position = 0
    fallen_past: int = 0
    met: tuple[str, ...] = ()
    moved: Position = 0
    moved_by: str = ""

    @property
    def is_waiting(self) -> bool:
        """Whether it needs an owner: active, nobody's, and unanswered or sent back to the queue."""
        conversation = self.conversation
        return (
            conversation.phase == "active"
            and conversation.agent_id is None
            and (self.is_queued or bool(conversation.unanswered))
        )

    @property
    def since(self) -> Position:
        """Its place among those of the same priority."""
        return self.conversation.waiting_since or self.queued

    @property
    def since_ns(self) -> int:
        """The log time from which it waits in that place."""
        return self.times.get(self.conversation.waiting_since, self.queued_ns)


class Agent(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """An agent's presence and receipts. `changed`, `offline_ns`: when they last went offline. `received`: how far
    any of their devices has acknowledged. `last_assigned`: position of the last assignment to them. `idle_since`: where
    a conversation last came to them or left them. `flight`: assignments with a lease that are not acknowledged, with
    their times; `tempo`, `lapsed`: see `pace`."""

    devices: dict[DeviceId, Position] = {}
    availability: Availability = "online"
    changed: Position = 0
    offline_ns: int = 0
    received: Position = 0
    last_assigned: Position = 0
    idle_since: Position = 0
    flight: dict[Position, int] = {}
    tempo: int = TEMPO
    lapsed: Position = 0


class Handling(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """How long a conversation fills its place with an agent, from assignment to its end: a moving average."""

    mean_ns: int = 0
    count: int = 0

    def note(self, took_ns: int) -> None:
        """One more. Whole numbers, so that every machine gets the same."""
        self.count += 1
        self.mean_ns += (took_ns - self.mean_ns) // min(self.count, 20)


class Office(msgspec.Struct, kw_only=True):
    """One account. `previous`: who last had a conversation of a contact. `merged`: contacts that became another.
    `handling`: by team, "" for conversations of none. `resolved`, `known`: conversations that are over, and who last had
    one of a contact, kept small by `archive`, which numbers what repeats in `names`."""

    tracks: dict[ConversationId, Track] = {}
    agents: dict[AgentId, Agent] = {}
    previous: dict[ContactId, AgentId] = {}
    merged: dict[ContactId, ContactId] = {}
    handling: dict[str, Handling] = {}
    resolved: Shelf = msgspec.field(default_factory=Shelf)
    known: Shelf = msgspec.field(default_factory=Shelf)
    names: dict[str, int] = {}

    def agent(self, agent_id: AgentId) -> Agent:
        """The agent, a fresh one if nothing was heard of them yet."""
        found = self.agents.get(agent_id)
        if found is None:
            found = self.agents[agent_id] = Agent()
        return found

    def contact_of(self, track: Track) -> ContactId:
        """The contact that the conversation belongs to by now."""
        return self.root_of(track.conversation.contact_id)

    def root_of(self, contact_id: ContactId) -> ContactId:
        """The contact that this one has become."""
        while (into := self.merged.get(contact_id)) is not None:
            contact_id = into
        return contact_id


class State(msgspec.Struct, kw_only=True):
    """Everything folded. `turn`: the account that was decided about last, so that all get their turn."""

    directory: Directory = msgspec.field(default_factory=Directory)
    offices: dict[AccountId, Office] = {}
    repeats: Repeats = msgspec.field(default_factory=Repeats)
    position: Position = 0
    at_ns: int = 0
    turn: AccountId = AccountId("")

    def account(self, account_id: AccountId) -> Account:
        """The account's configuration; an empty one for an account that was never configured."""
        return self.directory.accounts.get(account_id) or Account(account_id=account_id)


def asked_teams(account: Account, track: Track) -> tuple[TeamId | None, ...]:
    """The teams whose members may take the conversation. The first is the one that a wish named, else the inbox's (of a
    removed inbox the last one), None for any agent; the others are the fallback teams that were asked as well."""
    first = track.wanted_team_id if track.wanted_team_id in account.teams else None
    if first is None:
        inbox = account.inboxes.get(track.conversation.inbox_id)
        team_id = inbox.team_id if inbox is not None else track.conversation.team_id
        first = team_id if team_id in account.teams else None
    if not track.fallen_to or track.fallen_since != track.since:
        return (first,)
    fallen = track.fallen_to[track.fallen_past :]
    return (first, *(each for each in fallen if each != first and each in account.teams))


def team_of(account: Account, track: Track) -> TeamId | None:
    """The team in whose list it waits: the one that was asked last."""
    return asked_teams(account, track)[-1]


def team_of_agent(account: Account, track: Track, agent_id: AgentId) -> TeamId | None:
    """The first of the teams asked that the agent is a member of; for one from elsewhere the first of all."""
    asked = asked_teams(account, track)
    for team_id in asked:
        if team_id is not None and agent_id in account.teams[team_id].members:
            return team_id
    return asked[0]
