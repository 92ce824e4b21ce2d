"""What must be true whenever something is decided: judged at the moment of the decision, against the ledger of the
whole log. A decision that was made before the log's end is caught here too, because the ledger knows the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from services.dispatcher.decide import Settings
from shared import events as e
from shared.ids import AgentId, ConversationId
from simulate.broken import require
from simulate.ledger import RANK, SECOND_NS, Ledger, Talk, acted


class Round:
    """One round of a dispatcher over one account."""

    def __init__(self, ledger: Ledger, settings: Settings, now_ns: int, stored: int) -> None:
        self.ledger = ledger
        self.settings = settings
        self.now_ns = now_ns
        self.stored = stored
        self.drafted: Counter[AgentId] = Counter()
        self.handled: set[ConversationId] = set()

    def judge(self, events: Sequence[e.Event], end: int) -> None:
        """Every decision of the round, in its order."""
        for event in events:
            match event:
                case e.ConversationAssigned():
                    self._at_end(event.why.state_position, end)
                    self._assigned(event)
                case e.ConversationQueued():
                    self._at_end(event.why.state_position, end)
                    self._queued(event)
                case e.AssignmentRefused():
                    talk = self._talk(event.conversation_id)
                    require(
                        event.request in talk.wish_positions,
                        "wish_once",
                        "a wish was refused that nobody waits for",
                        (talk.id,),
                    )
                case e.DeadlineMissed() | e.Escalated():
                    self._deadline(event)
                    continue
                case _:
                    continue
            self.handled.add(event.conversation_id)

    def _at_end(self, position: int, end: int) -> None:
        require(position == end, "log_end", f"decided at {position}, the log ends at {end}")

    def _talk(self, conversation_id: ConversationId) -> Talk:
        talk = self.ledger.talks.get(conversation_id)
        if talk is None:
            raise AssertionError("a decision about a conversation that never began")
        return talk

    def _assigned(self, event: e.ConversationAssigned) -> None:
        talk = self._talk(event.conversation_id)
        about = (talk.id, event.agent_id)
        trigger = event.why.trigger
        if event.why.winner is not None:
            require(talk.is_waiting, "two_owners", "handed out, but it does not wait", about)
            self._may_take(talk, event.agent_id)
            self._oldest_first(talk, event.agent_id)
        elif event.why.requested_by:
            require(bool(talk.wishes), "wish_once", "granted, but nobody wished", about)
            is_claim = trigger == "claimed"
            self._exists(event)
            require(not (is_claim and talk.owner), "two_owners", "claimed from its owner", about)
        elif trigger == "answered":
            require(talk.answerer == event.agent_id, "answered", "given to a stranger", about)
            require(not talk.owner, "two_owners", "answered, but it had an owner", about)
        else:
            is_due = talk.phase == "snoozed" and talk.until_ns <= self.now_ns
            require(is_due, "wake", "woken, but nothing is due", about)
            require(talk.owner == event.agent_id, "two_owners", "woken for a stranger", about)
        self.drafted[event.agent_id] += 1

    def _exists(self, event: e.ConversationAssigned) -> None:
        about = (event.conversation_id, event.agent_id)
        is_known = event.agent_id in self.ledger.agents
        require(is_known, "candidate", "given to an agent who does not exist", about)

    def _may_take(self, talk: Talk, agent_id: AgentId) -> None:
        ledger, about = self.ledger, (talk.id, agent_id)
        person, agent = ledger.person(agent_id), ledger.agents.get(agent_id)
        require(agent is not None, "candidate", "given to an agent who does not exist", about)
        require(bool(person.devices), "candidate", "given to an agent who is offline", about)
        require(person.availability == "online", "candidate", "given to one who is away", about)
        policy = ledger.policy_of(talk)
        require(policy.strategy != "manual", "candidate", "handed out, but it is manual", about)
        if talk.inbox_id in ledger.inboxes:
            able = ledger.able(ledger.kind_of(talk))
            require(agent_id in able, "candidate", "not in the team, or lacks a skill", about)
        held = ledger.held(agent_id) + self.drafted[agent_id]
        capacity = ledger.capacity(agent_id) if agent is not None else 0
        require(held < capacity, "capacity", f"holds {held} of {capacity}", about)
        waiting = ledger.unacknowledged(agent_id) + self.drafted[agent_id]
        burst = ledger.window(agent_id, self.settings.burst)
        require(waiting < burst, "pace", f"{waiting} unacknowledged of {burst}", about)

    def _oldest_first(self, talk: Talk, agent_id: AgentId) -> None:
        if not self.ledger.is_plain(talk):
            return
        mine = (RANK[talk.priority], talk.since, talk.id)
        for kind, line in self.ledger.lines.items():
            if agent_id not in self.ledger.able(kind):
                continue
            for place in line:
                if place >= mine:
                    break
                other = self.ledger.talks[place[2]]
                if other.id in self.handled or other.barred == agent_id:
                    continue
                if not self.ledger.is_plain(other):
                    continue
                require(
                    False,
                    "oldest_first",
                    f"{other.id} waits longer and the agent could take it",
                    (talk.id, other.id, agent_id),
                )

    def _queued(self, event: e.ConversationQueued) -> None:
        talk = self._talk(event.conversation_id)
        about, trigger = (talk.id, talk.owner or ""), event.why.trigger
        person = self.ledger.person(talk.owner) if talk.owner else None
        require(
            event.waiting_since == (talk.waits[0][0] if talk.waits else 0),
            "old_place",
            "it lost its place in the queue",
            about,
        )
        match trigger:
            case "waiting":
                require(talk.is_waiting and not talk.on_record, "limbo", "nothing waits", about)
            case "lease_lapsed" if person is not None:
                due_ns = talk.assigned_ns + talk.lease_s * SECOND_NS
                is_late = bool(talk.lease_s) and due_ns <= self.now_ns
                is_lying = person.received < talk.assigned <= self.stored
                require(is_late, "lease", "taken away before the lease ended", about)
                require(is_lying, "lease", "taken away although it was received", about)
            case "agent_offline" if person is not None:
                require(not person.devices, "offline_return", "the owner is online", about)
                require(bool(talk.waits), "offline_return", "answered, it stays", about)
                self._left_long_ago(talk)
            case "agent_removed":
                is_gone = talk.owner is not None and talk.owner not in self.ledger.agents
                require(is_gone, "agent_removed", "the owner exists", about)
            case "requested":
                require(bool(talk.wishes), "wish_once", "granted, but nobody wished", about)
            case "reopened":
                is_due = talk.phase == "snoozed" and talk.until_ns <= self.now_ns
                require(is_due, "wake", "woken, but nothing is due", about)
            case "deadline":
                self._loses_it(talk)
            case "fallback":
                require(
                    talk.is_waiting, "fallback", "another team asked, but it has an owner", about
                )
            case "team_removed":
                is_gone = talk.queue_of is not None and talk.queue_of not in self.ledger.teams
                require(talk.is_waiting, "team_removed", "it has an owner", about)
                require(is_gone, "team_removed", "the team exists", about)
            case _:
                require(False, "trigger", f"queued by {trigger}", about)

    def _loses_it(self, talk: Talk) -> None:
        policy, about = self.ledger.policy_of(talk), (talk.id, talk.owner or "")
        require(bool(talk.owner and talk.waits), "deadline", "there is no late owner", about)
        since, began_ns = talk.waits[0]
        due_ns = max(began_ns, talk.assigned_ns) + policy.reassign_after_s * SECOND_NS
        require(due_ns <= self.now_ns, "deadline", "reassigned before it was due", about)
        key = ("reassigned", talk.id, since)
        require(key not in self.ledger.deadlines, "deadline_once", "reassigned twice", about)

    def _left_long_ago(self, talk: Talk) -> None:
        person = self.ledger.person(talk.owner or AgentId(""))
        policy = self.ledger.policy_of(talk)
        if talk.waits[0][0] > max(person.left, talk.assigned):
            return
        due_ns = max(person.left_ns, talk.assigned_ns) + policy.offline_return_s * SECOND_NS
        require(due_ns <= self.now_ns, "offline_return", "returned too early", (talk.id,))

    def _deadline(self, event: e.DeadlineMissed | e.Escalated) -> None:
        talk, ledger = self._talk(event.conversation_id), self.ledger
        step = "missed" if isinstance(event, e.DeadlineMissed) else "escalated"
        is_new = acted(step, talk, event) not in ledger.deadlines
        require(is_new, "deadline_once", "acted on twice", (talk.id,))
        if event.deadline == "resolution":
            is_open = talk.phase != "resolved"
            require(is_open, "deadline", "it is resolved", (talk.id,))
            return
        is_waited = bool(talk.waits) and talk.waits[0][0] == event.waiting_since
        require(is_waited, "deadline", "nobody waits for that any more", (talk.id,))
        if isinstance(event, e.Escalated):
            missed = [("missed", talk.id, each, event.waiting_since) for each in _ANSWERS]
            has_missed = any(each in ledger.deadlines for each in missed)
            require(has_missed, "deadline", "escalated before it was missed", (talk.id,))
        else:
            self._missed(talk, event)

    def _missed(self, talk: Talk, event: e.DeadlineMissed) -> None:
        policy = self.ledger.policy_of(talk)
        is_first = event.deadline == "first_response"
        is_right = is_first == (talk.last_answer == 0)
        require(is_right, "deadline", "the wrong deadline", (talk.id,))
        allowed_s = policy.first_response_s if is_first else policy.next_response_s
        # In business time it comes later than by the clock, never earlier.
        due_ns = talk.waits[0][1] + allowed_s * SECOND_NS
        is_due = allowed_s > 0 and due_ns <= self.now_ns
        require(is_due, "deadline", "acted on before it was due", (talk.id,))


def arrives(ledger: Ledger, event: e.RoutingEvent) -> None:
    """A decision is stored, perhaps long after it was made: the fence must have kept out every rival's."""
    talk = ledger.talks[event.conversation_id]
    match event:
        case e.ConversationAssigned(why=e.Explanation(trigger="requested" | "reopened")):
            pass
        case e.ConversationAssigned():
            about = (talk.id, event.agent_id)
            require(not talk.owner, "two_owners", "stored, but it has an owner", about)
        case e.DeadlineMissed():
            key = acted("missed", talk, event)
            require(key not in ledger.deadlines, "deadline_once", "stored twice", (talk.id,))
        case e.Escalated():
            key = acted("escalated", talk, event)
            require(key not in ledger.deadlines, "deadline_once", "stored twice", (talk.id,))
        case e.AssignmentRefused():
            is_asked = event.request in talk.wish_positions
            require(is_asked, "wish_once", "answered twice", (talk.id,))
        case _:
            pass


_ANSWERS = ("first_response", "next_response")
