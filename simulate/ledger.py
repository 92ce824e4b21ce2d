"""What is true of one account, folded from the log a second time: slower, plainer, and without a line of the code
that it judges. `rules` compares every decision with it."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Any

from shared import events as e
from shared.ids import AccountId, AgentId, ContactId, ConversationId
from simulate.books import Books, Kind
from simulate.pages import CONDITIONS, attributes, fits
from simulate.talks import NEVER, Person, Place, Talk

SECOND_NS = 1_000_000_000
_BRISK_S = 2
_SLOW_S = 10
RANK = {"urgent": 0, "high": 1, "normal": 2, "low": 3}
Line = tuple[Kind, str]
_FACTS = (
    e.MessagePosted,
    e.StatusChanged,
    e.PriorityChanged,
    e.LabelsChanged,
    e.NoteAdded,
    e.Rated,
)


class Ledger:
    """One account. `lines`: what waits, by kind and priority, oldest first: ageing keeps that order, since who waits
    longer has risen at least as far."""

    def __init__(self, account_id: AccountId) -> None:
        self.account_id = account_id
        self.books = Books(account_id)
        self.talks: dict[ConversationId, Talk] = {}
        self.people: dict[AgentId, Person] = {}
        self.merged: dict[ContactId, ContactId] = {}
        self.attributes: dict[ContactId, dict[str, str]] = {}
        self.previous: dict[ContactId, AgentId] = {}
        self.seen: dict[str, bytes] = {}
        self.crossed: dict[int, bool] = {}
        self.lines: dict[Line, list[Place]] = {}
        self.touched: set[ConversationId] = set()
        self.deadlines: set[tuple[Any, ...]] = set()
        self.position = 0

    def person(self, agent_id: AgentId) -> Person:
        """The agent's record."""
        return self.people.setdefault(agent_id, Person())

    def policy_of(self, talk: Talk) -> e.PolicySaved:
        """The policy that rules it."""
        return self.books.policy(talk.inbox_id)

    def contact_of(self, talk: Talk) -> ContactId:
        """Whose conversation it is by now."""
        return self.root_of(talk.contact_id)

    def root_of(self, contact_id: ContactId) -> ContactId:
        """Who a contact is by now."""
        into = self.merged.get(contact_id)
        return contact_id if into is None else self.root_of(into)

    def held(self, agent_id: AgentId, channel: str = "") -> int:
        """Conversations that fill the agent's capacity, of one channel or of all."""
        owned = (self.talks[each] for each in self.person(agent_id).owned)
        return sum(t.phase == "active" and channel in ("", t.channel) for t in owned)

    def unacknowledged(self, agent_id: AgentId) -> int:
        """Assignments that no device of the agent has acknowledged. What was resolved while it was handed out asks
        nothing of them any more."""
        person = self.person(agent_id)
        talks = (self.talks[each] for each in person.owned)
        return sum(
            bool(t.lease_s) and t.assigned > person.received and t.phase != "resolved"
            for t in talks
        )

    def window(self, agent_id: AgentId, burst: int) -> int:
        """How many may lie unacknowledged with the agent."""
        return max(1, burst * self.person(agent_id).speed // 8)

    def kind_of(self, talk: Talk) -> Kind:
        """What matters for who may take it."""
        last = None if talk.inbox_id in self.books.inboxes else talk.team_id
        return Kind(
            talk.wanted,
            talk.asked_now,
            last,
            talk.inbox_id,
            talk.language,
            talk.channel,
            frozenset(talk.labels),
            frozenset(talk.met),
        )

    def attributes_of(self, contact_id: ContactId) -> dict[str, str]:
        """What is known of whoever the contact is by now."""
        return self.attributes.get(self.root_of(contact_id), {})

    def meet(self, talk: Talk, position: int) -> None:
        """Judge page and contact by the policy of now."""
        known = self.attributes_of(talk.contact_id)
        names = {rule.condition for rule in self.policy_of(talk).skill_rules} - {""}
        talk.met = {name for name in names if fits(CONDITIONS[name], talk.page, known)}
        talk.met_at = position

    def is_orphan(self, talk: Talk) -> bool:
        """Whether it stands in the queue of a team that was removed."""
        is_lost = talk.team_id is not None and talk.team_id not in self.books.teams
        return talk.is_waiting and talk.on_record and is_lost

    def fold(self, event: e.Event, position: int, at_ns: int) -> None:
        """Take in one event."""
        self.position = position
        if isinstance(event, e.AccountEvent):
            if self.books.configure(event):
                self._line_up_again()
        elif isinstance(event, e.PresenceEvent):
            self._presence(event, position, at_ns)
        elif isinstance(event, e.Received | e.ReceivedTogether):
            said = event.each() if isinstance(event, e.ReceivedTogether) else (event,)
            for each in said:
                if each.recipient.kind == "agent":
                    self._heard(self.person(AgentId(each.recipient.id)), each.up_to, at_ns)
        elif isinstance(event, e.ContactMerged):
            self._merge(event)
        elif isinstance(event, e.ContactCreated):
            self.attributes.setdefault(event.contact_id, attributes(event.profile))
        elif isinstance(event, e.ContactChanged):
            self.attributes[event.contact_id] = attributes(event.profile)
        elif isinstance(event, e.ConversationStarted):
            if event.conversation_id not in self.talks:
                started = self.talks[event.conversation_id] = Talk(event)
                self.meet(started, position)
        else:
            talk = self.talks.get(getattr(event, "conversation_id", ConversationId("")))
            if talk is not None:
                self._move(talk, event, position, at_ns)

    def _merge(self, event: e.ContactMerged) -> None:
        into = self.root_of(event.into)
        if event.contact_id in self.merged or into == event.contact_id:
            return
        self.merged[event.contact_id] = into
        if event.contact_id in self.previous and into not in self.previous:
            self.previous[into] = self.previous[event.contact_id]

    def _move(self, talk: Talk, event: e.Event, position: int, at_ns: int) -> None:
        before, was = talk.owner, talk.phase
        self._alive(event)
        match event:
            case e.MessagePosted():
                self._posted(talk, event, position, at_ns)
            case e.StatusChanged():
                talk.change_status(event, position, at_ns)
            case e.PriorityChanged():
                talk.priority = event.priority
            case e.LabelsChanged():
                talk.labels = (talk.labels - set(event.removed)) | set(event.added)
            case e.AssignmentRequested() | e.ClaimRequested():
                talk.wishes.append(event)
                talk.wish_positions.append(position)
            case e.AssignmentRefused():
                _answer_wish(talk, talk.wish_positions.index(event.request))
            case e.ConversationAssigned():
                self._assigned(talk, event, position, at_ns)
            case e.ConversationQueued():
                self._queued(talk, event, position, at_ns)
            case e.ConditionsJudged():
                self.meet(talk, position)
            case e.NoteAdded() | e.Rated():
                pass
            case e.DeadlineMissed():
                self.deadlines.add(acted("missed", talk, event))
            case e.Escalated():
                self.deadlines.add(acted("escalated", talk, event))
            case _:
                return
        if before and (talk.owner != before or talk.phase != was):
            self.person(before).idle = position
        if talk.phase == "resolved" and isinstance(event, _FACTS):
            talk.on_record, talk.wanted, talk.answerer, talk.barred = False, None, None, None
            talk.opened = 0
        elif talk.waits and not talk.opened:
            talk.opened, talk.opened_ns = position, at_ns
        if before != talk.owner:
            if before:
                self.person(before).owned.discard(talk.id)
            if talk.owner:
                self.person(talk.owner).owned.add(talk.id)
        self._line_up(talk)

    def _alive(self, event: e.Event) -> None:
        """Whoever does something is there again after a lapse."""
        match event:
            case e.MessagePosted(author=author, automatic=False):
                is_repeat = self.seen.get(event.message_id) == event.fingerprint
                by = author.id if author.kind == "agent" and not is_repeat else ""
            case e.StatusChanged(by=author) | e.AssignmentRequested(by=author):
                by = author.id if author.kind == "agent" else ""
            case e.ClaimRequested():
                by = event.agent_id
            case _:
                by = ""
        if by in self.people:
            self.people[AgentId(by)].lapsed = 0

    def _heard(self, person: Person, up_to: int, at_ns: int) -> None:
        """Brisk acknowledgements make an agent's pace quicker, late ones slower."""
        talks = sorted((self.talks[each] for each in person.owned), key=lambda talk: talk.assigned)
        for talk in talks:
            if talk.lease_s and person.received < talk.assigned <= up_to:
                took_s = (at_ns - talk.assigned_ns) / 1e9
                step = 1 if took_s <= _BRISK_S else -1 if took_s > _SLOW_S else 0
                person.speed = min(64, max(1, person.speed + step))
        person.received = max(person.received, up_to)

    def _posted(self, talk: Talk, event: e.MessagePosted, position: int, at_ns: int) -> None:
        if self.seen.get(event.message_id) == event.fingerprint:
            return
        # With another fingerprint it is another message; its sender was told "sent" too.
        self.seen.setdefault(event.message_id, event.fingerprint)
        if event.author.kind == "visitor":
            talk.waits.append((position, at_ns))
            talk.phase, talk.until_ns = "active", 0
        elif event.author.kind == "agent" and not event.automatic:
            is_crossed = talk.last_answer > event.seen_up_to
            self.crossed[position] = is_crossed and talk.last_answerer != event.author.id
            if not talk.owner and talk.phase == "active":
                talk.answerer = AgentId(event.author.id)
            talk.waits = [wait for wait in talk.waits if wait[0] > event.seen_up_to]
            talk.last_answer = position
            talk.last_answerer = AgentId(event.author.id)

    def _assigned(
        self, talk: Talk, event: e.ConversationAssigned, position: int, at_ns: int
    ) -> None:
        talk.wake(position, at_ns)
        if event.why.requested_by:
            _answer_wish(talk, 0)
            talk.moved, talk.moved_by = position, event.why.requested_by
        talk.owner, talk.team_id = event.agent_id, event.team_id
        talk.assigned, talk.assigned_ns, talk.lease_s = position, at_ns, event.lease_s
        talk.on_record, talk.answerer, talk.barred = False, None, None
        person = self.person(event.agent_id)
        person.turn = person.idle = position
        self.previous[self.contact_of(talk)] = event.agent_id

    def _queued(self, talk: Talk, event: e.ConversationQueued, position: int, at_ns: int) -> None:
        trigger = event.why.trigger
        is_passed_on = trigger in ("fallback", "team_removed") and talk.on_record
        if trigger == "fallback" and event.team_id is not None:
            if talk.asked_since != talk.since:
                talk.asked, talk.asked_since, talk.asked_past = [], talk.since, 0
            talk.asked.append(event.team_id)
        if trigger == "deadline":
            self.deadlines.add(("reassigned", talk.id, event.waiting_since))
            talk.bar(talk.owner, at_ns, NEVER)
        if trigger == "lease_lapsed" and talk.owner:
            person = self.person(talk.owner)
            person.speed = max(1, person.speed // 2)
            person.lapsed = max(person.lapsed, talk.assigned)
            talk.bar(talk.owner, at_ns, talk.assigned)
        if event.why.requested_by and talk.wishes:
            wish = talk.wishes[0]
            if isinstance(wish, e.AssignmentRequested) and wish.team_id:
                talk.wanted, talk.asked_past = wish.team_id, len(talk.asked)
            _answer_wish(talk, 0)
            talk.moved, talk.moved_by = position, event.why.requested_by
            talk.bar(talk.owner, at_ns, NEVER)
        talk.wake(position, at_ns)
        talk.owner, talk.lease_s, talk.answerer, talk.team_id = None, 0, None, event.team_id
        talk.on_record = talk.phase == "active"
        if not is_passed_on:
            talk.place, talk.place_ns = event.waiting_since or position, at_ns
            if talk.waits and talk.waits[0][0] == event.waiting_since:
                talk.place_ns = talk.waits[0][1]

    def _line_up(self, talk: Talk) -> None:
        self.touched.add(talk.id)
        if talk.known is not None:
            name, place = talk.known
            line = self.lines[name]
            del line[bisect_left(line, place)]
            if not line:
                del self.lines[name]
            talk.known = None
        if talk.is_waiting:
            name = (self.kind_of(talk), talk.priority)
            place = (talk.since, talk.id)
            insort(self.lines.setdefault(name, []), place)
            talk.known = (name, place)

    def _line_up_again(self) -> None:
        for talk in self.talks.values():
            if talk.phase != "resolved":
                self._line_up(talk)

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


def acted(step: str, talk: Talk, event: e.DeadlineMissed | e.Escalated) -> tuple[Any, ...]:
    """What is done at most once."""
    return (step, talk.id, event.deadline, event.waiting_since)


def _answer_wish(talk: Talk, index: int) -> None:
    del talk.wishes[index : index + 1]
    del talk.wish_positions[index : index + 1]
