"""What is true of one account, folded from the log a second time: slower, plainer, and without a line of the code
that it judges. `rules` compares every decision with it."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Any

from shared import events as e
from shared.ids import AccountId, AgentId, ContactId, ConversationId, InboxId, PolicyId, TeamId

SECOND_NS = 1_000_000_000
RANK = {"urgent": 0, "high": 1, "normal": 2, "low": 3}
Kind = tuple[tuple[TeamId | None, ...], InboxId, str]
Place = tuple[int, int, ConversationId]


class Talk:
    """A conversation. `waits`: unanswered positions with their times. `barred`: who is not asked again, and from
    when on they may be."""

    def __init__(self, event: e.ConversationStarted) -> None:
        self.id = event.conversation_id
        self.inbox_id = event.inbox_id
        self.contact_id = event.contact_id
        self.language = event.language
        self.priority = event.priority
        self.phase = "active"
        self.until_ns = 0
        self.owner: AgentId | None = None
        self.waits: list[tuple[int, int]] = []
        self.last_answer = 0
        self.answerer: AgentId | None = None
        self.assigned = 0
        self.assigned_ns = 0
        self.lease_s = 0
        self.on_record = False
        self.place = 0
        self.wanted: TeamId | None = None
        self.asked: list[TeamId] = []
        self.asked_for = -1
        self.queue_of: TeamId | None = None
        self.wishes: list[e.AssignmentRequested | e.ClaimRequested] = []
        self.wish_positions: list[int] = []
        self.barred: AgentId | None = None
        self.barred_ns = 0
        self.labels: set[str] = set()
        self.known: tuple[Kind, Place] | None = None

    @property
    def since(self) -> int:
        """Its place among those of its priority."""
        return self.waits[0][0] if self.waits else self.place

    @property
    def is_waiting(self) -> bool:
        """Whether it needs an owner."""
        return self.phase == "active" and not self.owner and (self.on_record or bool(self.waits))


class Person:
    """An agent as the log has them."""

    def __init__(self) -> None:
        self.devices: set[str] = set()
        self.primary: str | None = None
        self.fence = 0
        self.availability = "online"
        self.received = 0
        self.speed = 8
        self.lapsed = 0
        self.left = 0
        self.left_ns = 0
        self.owned: set[ConversationId] = set()


class Ledger:
    """One account."""

    def __init__(self, account_id: AccountId) -> None:
        self.account_id = account_id
        self.talks: dict[ConversationId, Talk] = {}
        self.people: dict[AgentId, Person] = {}
        self.agents: dict[AgentId, e.AgentSaved] = {}
        self.teams: dict[TeamId, e.TeamSaved] = {}
        self.inboxes: dict[InboxId, e.InboxSaved] = {}
        self.policies: dict[str, e.PolicySaved] = {}
        self.merged: dict[ContactId, ContactId] = {}
        self.seen: set[str] = set()
        self.lines: dict[Kind, list[Place]] = {}
        self.touched: set[ConversationId] = set()
        self.deadlines: set[tuple[Any, ...]] = set()
        self._able: dict[Kind, frozenset[AgentId]] = {}

    def person(self, agent_id: AgentId) -> Person:
        """The agent's record."""
        return self.people.setdefault(agent_id, Person())

    def policy_of(self, talk: Talk) -> e.PolicySaved:
        """The policy that rules it."""
        inbox = self.inboxes.get(talk.inbox_id)
        known = self.policies.get(inbox.policy_id or "") if inbox else None
        return known or e.PolicySaved(
            account_id=self.account_id,
            writer="",
            policy_id="default",  # type: ignore[arg-type]
            name="",
        )

    def is_plain(self, talk: Talk) -> bool:
        """Whether its order is priority and position alone, and it is handed out by itself."""
        policy = self.policy_of(talk)
        is_automatic = policy.strategy != "manual" and not policy.previous_agent_wait_s
        return is_automatic and not policy.ageing_s and not policy.skill_rules

    def capacity(self, agent_id: AgentId) -> int:
        """How many the agent may hold; everything here comes by one channel."""
        agent = self.agents[agent_id]
        return min(agent.capacity, agent.channel_capacity.get("web", agent.capacity))

    def held(self, agent_id: AgentId) -> int:
        """Conversations that fill the agent's capacity."""
        owned = self.person(agent_id).owned
        return sum(self.talks[each].phase == "active" for each in owned)

    def unacknowledged(self, agent_id: AgentId) -> int:
        """Assignments that no device of the agent has acknowledged."""
        person = self.person(agent_id)
        talks = (self.talks[each] for each in person.owned)
        return sum(bool(t.lease_s) and t.assigned > person.received for t in talks)

    def window(self, agent_id: AgentId, burst: int) -> int:
        """How many may lie unacknowledged with the agent: none after a lapse without a sign of life."""
        person = self.person(agent_id)
        return 0 if person.lapsed > person.received else max(1, burst * person.speed // 8)

    def _heard(self, person: Person, up_to: int, at_ns: int) -> None:
        """Brisk acknowledgements make an agent's pace quicker, late ones slower."""
        talks = sorted((self.talks[each] for each in person.owned), key=lambda talk: talk.assigned)
        for talk in talks:
            if talk.lease_s and person.received < talk.assigned <= up_to:
                took_s = (at_ns - talk.assigned_ns) / 1e9
                step = 1 if took_s <= 2 else -1 if took_s > 10 else 0
                person.speed = min(64, max(1, person.speed + step))
        person.received = max(person.received, up_to)

    def able(self, kind: Kind) -> frozenset[AgentId]:
        """Agents who may take this kind of conversation, busy or not."""
        found = self._able.get(kind)
        if found is None:
            found = self._able[kind] = self._find_able(kind)
        return found

    def kind_of(self, talk: Talk) -> Kind:
        """What matters for who may take it."""
        later = talk.asked if talk.asked_for == talk.since else ()
        return ((talk.wanted, *later), talk.inbox_id, talk.language)

    def fold(self, event: e.Event, position: int, at_ns: int) -> None:
        """Take in one event."""
        if isinstance(event, e.AccountEvent):
            self._configure(event)
        elif isinstance(event, e.PresenceEvent):
            self._presence(event, position, at_ns)
        elif isinstance(event, e.Received):
            if event.recipient.kind == "agent":
                self._heard(self.person(AgentId(event.recipient.id)), event.up_to, at_ns)
        elif isinstance(event, e.ContactMerged):
            self.merged[event.contact_id] = event.into
        elif isinstance(event, e.ConversationStarted):
            self.talks.setdefault(event.conversation_id, Talk(event))
        else:
            talk = self.talks.get(getattr(event, "conversation_id", ConversationId("")))
            if talk is not None:
                self._move(talk, event, position, at_ns)

    def _move(self, talk: Talk, event: e.Event, position: int, at_ns: int) -> None:
        before = talk.owner
        self._alive(event)
        match event:
            case e.MessagePosted():
                self._posted(talk, event, position, at_ns)
            case e.StatusChanged():
                _status(talk, event, position, at_ns)
            case e.PriorityChanged():
                talk.priority = event.priority
            case e.LabelsChanged():
                talk.labels = (talk.labels - set(event.removed)) | set(event.added)
            case e.AssignmentRequested() | e.ClaimRequested():
                talk.wishes.append(event)
                talk.wish_positions.append(position)
            case e.AssignmentRefused():
                self._answer_wish(talk, talk.wish_positions.index(event.request))
            case e.ConversationAssigned():
                self._assigned(talk, event, position, at_ns)
            case e.ConversationQueued():
                self._queued(talk, event, position, at_ns)
            case e.DeadlineMissed():
                self.deadlines.add(acted("missed", talk, event))
            case e.Escalated():
                self.deadlines.add(acted("escalated", talk, event))
            case _:
                return
        is_fact = not isinstance(event, e.RoutingEvent)
        if talk.phase == "resolved" and is_fact:
            talk.on_record, talk.wanted, talk.answerer, talk.barred = False, None, None, None
        if before != talk.owner:
            if before:
                self.person(before).owned.discard(talk.id)
            if talk.owner:
                self.person(talk.owner).owned.add(talk.id)
        self._line_up(talk)

    def _alive(self, event: e.Event) -> None:
        """Whoever does something is there again after a lapse."""
        match event:
            case e.MessagePosted(author=author, automatic=False, message_id=message_id):
                by = author.id if author.kind == "agent" and message_id not in self.seen else ""
            case e.StatusChanged(by=author) | e.AssignmentRequested(by=author):
                by = author.id if author.kind == "agent" else ""
            case e.ClaimRequested():
                by = event.agent_id
            case _:
                by = ""
        if by in self.people:
            self.people[AgentId(by)].lapsed = 0

    def _posted(self, talk: Talk, event: e.MessagePosted, position: int, at_ns: int) -> None:
        if event.message_id in self.seen:
            return
        self.seen.add(event.message_id)
        if event.author.kind == "visitor":
            talk.waits.append((position, at_ns))
            talk.phase, talk.until_ns = "active", 0
        elif event.author.kind == "agent" and not event.automatic:
            if not talk.owner and talk.phase == "active":
                talk.answerer = AgentId(event.author.id)
            talk.waits = [wait for wait in talk.waits if wait[0] > event.seen_up_to]
            talk.last_answer = position

    def _assigned(
        self, talk: Talk, event: e.ConversationAssigned, position: int, at_ns: int
    ) -> None:
        _wake(talk, position, at_ns)
        if event.why.requested_by:
            self._answer_wish(talk, 0)
        talk.owner = event.agent_id
        talk.assigned, talk.assigned_ns, talk.lease_s = position, at_ns, event.lease_s
        talk.on_record, talk.answerer, talk.barred = False, None, None

    def _queued(self, talk: Talk, event: e.ConversationQueued, position: int, at_ns: int) -> None:
        trigger = event.why.trigger
        is_passed_on = trigger in ("fallback", "team_removed") and talk.on_record
        talk.queue_of = event.team_id
        if trigger == "fallback" and event.team_id:
            if talk.asked_for != talk.since:
                talk.asked, talk.asked_for = [], talk.since
            talk.asked.append(event.team_id)
        if trigger == "deadline":
            self.deadlines.add(("reassigned", talk.id, event.waiting_since))
        if trigger == "lease_lapsed" and talk.owner:
            person = self.person(talk.owner)
            person.speed = max(1, person.speed // 2)
            person.lapsed = max(person.lapsed, talk.assigned)
        if trigger == "lease_lapsed" or (trigger == "deadline" and talk.owner):
            talk.barred, talk.barred_ns = talk.owner, at_ns
        if event.why.requested_by and talk.wishes:
            wish = talk.wishes[0]
            if isinstance(wish, e.AssignmentRequested):
                talk.wanted = wish.team_id or talk.wanted
                talk.asked = [] if wish.team_id else talk.asked
            self._answer_wish(talk, 0)
            if talk.owner:
                talk.barred, talk.barred_ns = talk.owner, at_ns
        _wake(talk, position, at_ns)
        talk.owner, talk.lease_s, talk.answerer = None, 0, None
        talk.on_record = talk.phase == "active"
        if not is_passed_on:
            talk.place = event.waiting_since or position

    def _answer_wish(self, talk: Talk, index: int) -> None:
        del talk.wishes[index : index + 1]
        del talk.wish_positions[index : index + 1]

    def _line_up(self, talk: Talk) -> None:
        self.touched.add(talk.id)
        if talk.known is not None:
            kind, place = talk.known
            line = self.lines[kind]
            del line[bisect_left(line, place)]
            talk.known = None
        if talk.is_waiting:
            kind = self.kind_of(talk)
            place = (RANK[talk.priority], talk.since, talk.id)
            insort(self.lines.setdefault(kind, []), place)
            talk.known = (kind, place)

    def _presence(self, event: e.PresenceEvent, position: int, at_ns: int) -> None:
        person = self.person(event.agent_id)
        match event:
            case e.AgentOnline():
                person.devices.add(event.device_id)
                person.lapsed = 0
            case e.AgentOffline():
                person.devices.discard(event.device_id)
                if not person.devices:
                    person.left, person.left_ns = position, at_ns
                    person.speed, person.lapsed = 8, 0
            case e.AvailabilityChanged():
                person.availability = event.availability
                person.lapsed = 0
            case e.PrimaryDeviceChanged():
                person.primary, person.fence = event.device_id, event.fence
        self.touched |= person.owned

    def _configure(self, event: e.AccountEvent) -> None:
        match event:
            case e.AgentSaved():
                self.agents[event.agent_id] = event
            case e.AgentRemoved():
                self.agents.pop(event.agent_id, None)
            case e.TeamSaved():
                self.teams[event.team_id] = event
            case e.TeamRemoved():
                self.teams.pop(event.team_id, None)
            case e.InboxSaved():
                self.inboxes[event.inbox_id] = event
            case e.InboxRemoved():
                self.inboxes.pop(event.inbox_id, None)
            case e.PolicySaved():
                self.policies[event.policy_id] = event
            case e.PolicyRemoved():
                self.policies.pop(event.policy_id, None)
            case _:
                return
        self._able.clear()
        self.touched |= {talk.id for talk in self.talks.values() if talk.phase != "resolved"}

    def _find_able(self, kind: Kind) -> frozenset[AgentId]:
        (wanted, *later), inbox_id, language = kind
        inbox = self.inboxes.get(inbox_id)
        if inbox is None:
            # Where a conversation of a closed door belongs is not judged here.
            return frozenset()
        first = wanted if wanted in self.teams else inbox.team_id
        able = self._able_of(first, inbox, language)
        for team_id in later:
            if team_id in self.teams:
                able |= self._able_of(team_id, inbox, language)
        return able

    def _able_of(
        self, team_id: TeamId | None, inbox: e.InboxSaved, language: str
    ) -> frozenset[AgentId]:
        """Members of a team (of none: anybody) with what the inbox and, if one of them speaks it, the language ask for."""
        team = self.teams.get(team_id or TeamId(""))
        policy = self.policies.get(inbox.policy_id or PolicyId(""))
        members = [
            agent
            for agent in self.agents.values()
            if team is None or agent.agent_id in team.members
        ]
        skills = dict(inbox.skills)
        name = f"lang:{language}"
        is_spoken = any(name in agent.skills for agent in members)
        if language and is_spoken and (policy is None or policy.language_skills):
            skills.setdefault(name, 1)
        return frozenset(
            agent.agent_id
            for agent in members
            if all(agent.skills.get(skill, 0) >= level for skill, level in skills.items())
        )


def acted(step: str, talk: Talk, event: e.DeadlineMissed | e.Escalated) -> tuple[Any, ...]:
    """What is done at most once."""
    return (step, talk.id, event.deadline, event.waiting_since)


def _status(talk: Talk, event: e.StatusChanged, position: int, at_ns: int) -> None:
    left = [wait for wait in talk.waits if wait[0] > event.seen_up_to]
    match event.status:
        case "open":
            talk.phase, talk.until_ns = "active", 0
            talk.waits = talk.waits or [(position, at_ns)]
        case "snoozed" if not left:
            talk.phase, talk.until_ns = "snoozed", event.until_ns
        case "resolved":
            talk.waits = left
            if not left:
                talk.phase, talk.owner = "resolved", None
        case _:
            pass


def _wake(talk: Talk, position: int, at_ns: int) -> None:
    if talk.phase == "snoozed":
        talk.phase, talk.until_ns = "active", 0
        talk.waits = talk.waits or [(position, at_ns)]
