"""What must be true whenever something is decided: judged at the moment of the decision, against the ledger of the
whole log. A decision that was made before the log's end is caught here too, because the ledger knows the end."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.dispatcher.decide import Settings
from shared import events as e
from shared.ids import AgentId, ConversationId
from simulate.broken import require
from simulate.choice import Bench
from simulate.dues import dues_of, next_fallback
from simulate.ledger import RANK, SECOND_NS, Ledger, acted
from simulate.returning import after
from simulate.talks import Talk

_RUNNERS_UP = 3
_TRIGGERS = {
    "waiting",
    "lease_lapsed",
    "agent_offline",
    "agent_removed",
    "requested",
    "reopened",
    "deadline",
    "fallback",
    "team_removed",
}


class Moment(msgspec.Struct, frozen=True):
    """When a round is decided. `stored`: how far the store has got. `fair_ns`: nothing that the dispatcher knows of
    leases is older, because it slept, began or took over then. `given_ns`: when the store had each assignment.
    `decided_at`: the log's end as the decision had it. `is_ahead`: that was before a round in flight. `is_crossed`: others
    have appended since, so that what is still allowed need not be the best any more."""

    now_ns: int
    stored: int
    fair_ns: int
    given_ns: dict[int, int]
    decided_at: int
    is_ahead: bool
    is_crossed: bool


class Round:
    """One round of a dispatcher over one account."""

    def __init__(self, ledger: Ledger, settings: Settings, moment: Moment) -> None:
        self.ledger = ledger
        self.moment = moment
        self.now_ns = moment.now_ns
        self.bench = Bench(ledger, settings, moment.now_ns)
        self.handled: set[ConversationId] = set()
        self.returned: list[Talk] = []

    def judge(self, events: Sequence[e.Event]) -> None:
        """Every decision of the round, in its order."""
        for event in events:
            match event:
                case e.ConversationAssigned():
                    self._at_end(event.why.state_position)
                    self._assigned(event)
                case e.ConversationQueued():
                    self._at_end(event.why.state_position)
                    self._queued(event)
                    self._returns(event)
                case e.AssignmentRefused():
                    self._refused(event)
                    self._returns(event)
                case e.DeadlineMissed() | e.Escalated():
                    self._deadline(event)
                    continue
                case _:
                    continue
            self.handled.add(event.conversation_id)

    def _returns(self, event: e.ConversationQueued | e.AssignmentRefused) -> None:
        """What waits once this is stored comes before the younger already now."""
        found = after(self._talk(event.conversation_id), event, self.now_ns)
        if found.is_waiting:
            self.returned.append(found)

    def _at_end(self, position: int) -> None:
        end = self.moment.decided_at
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
            if not self.moment.is_crossed:
                self._oldest_first(talk, event.agent_id)
            if not self.moment.is_ahead:
                self._best(talk, event)
        elif event.why.requested_by:
            require(bool(talk.wishes), "wish_once", "granted, but nobody wished", about)
            is_claim = trigger == "claimed"
            self._exists(event)
            require(not (is_claim and talk.owner), "two_owners", "claimed from its owner", about)
        elif trigger == "answered":
            require(talk.answerer == event.agent_id, "answered", "given to a stranger", about)
            require(not talk.owner, "two_owners", "answered, but it had an owner", about)
        else:
            self._due(talk, "wake")
            require(talk.owner == event.agent_id, "two_owners", "woken for a stranger", about)
        self.bench.give(event.agent_id, talk)

    def _exists(self, event: e.ConversationAssigned) -> None:
        about = (event.conversation_id, event.agent_id)
        is_known = event.agent_id in self.ledger.books.agents
        require(is_known, "candidate", "given to an agent who does not exist", about)

    def _refused(self, event: e.AssignmentRefused) -> None:
        talk = self._talk(event.conversation_id)
        is_first = bool(talk.wish_positions) and talk.wish_positions[0] == event.request
        require(is_first, "wish_once", "refused, but it is not the oldest wish", (talk.id,))
        books, wish = self.ledger.books, talk.wishes[0]
        is_claim = isinstance(wish, e.ClaimRequested)
        is_unknown = wish.agent_id is not None and wish.agent_id not in books.agents
        team_id = None if isinstance(wish, e.ClaimRequested) else wish.team_id
        is_lost = team_id is not None and team_id not in books.teams
        is_taken = bool(talk.owner) and (is_claim or wish.agent_id == talk.owner)
        is_right = talk.phase == "resolved" or is_unknown or is_lost or is_taken
        if isinstance(wish, e.AssignmentRequested):
            has_crossed = 0 < wish.seen_up_to < talk.moved and talk.moved_by != wish.by.id
            is_right = is_right or has_crossed
        require(is_right, "wish_refused", f"refused as {event.code} for no reason", (talk.id,))

    def _may_take(self, talk: Talk, agent_id: AgentId) -> None:
        ledger, about = self.ledger, (talk.id, agent_id)
        agent = ledger.books.agents.get(agent_id)
        if agent is None:
            require(False, "candidate", "given to an agent who does not exist", about)
            return
        is_manual = ledger.policy_of(talk).strategy == "manual"
        require(not is_manual, "manual", "handed out, but agents claim these", about)
        require(
            agent_id in self.bench.able(talk),
            "candidate",
            "not in a team that works, or lacks a skill",
            about,
        )
        state = self.bench.state(agent_id, talk.channel)
        require(state not in ("offline", "not_available"), "candidate", f"{state}", about)
        is_full = state in ("at_capacity", "channel_full")
        held = self.bench.held(agent_id)
        require(not is_full, "capacity", f"{state}, holds {held} of {agent.capacity}", about)
        is_fast = state in ("pace", "silent")
        require(not is_fast, "pace", "given more than is acknowledged", about)
        is_barred = self.bench.is_barred(talk, agent_id)
        require(not is_barred, "barred", "asked again who let it lie", about)
        # Whom a contact knows may have changed with the round in flight; that is looked at again in the next.
        is_kept = not self.moment.is_ahead and self.bench.is_kept(talk)
        require(not is_kept, "kept", "kept for another agent", about)

    def _oldest_first(self, talk: Talk, agent_id: AgentId) -> None:
        mine = self.bench.order(talk)
        for (_, priority), line in self.ledger.lines.items():
            first = self.ledger.talks[line[0][1]]
            if RANK[priority] > mine[0] and not self.ledger.policy_of(first).ageing_s:
                continue
            for _, other_id in line:
                other = self.ledger.talks[other_id]
                if self.bench.order(other) >= mine:
                    break
                if other_id in self.handled:
                    continue
                require(
                    not self.bench.is_for(other, agent_id),
                    "oldest_first",
                    f"{other_id} comes first and the agent could take it",
                    (talk.id, other_id, agent_id),
                )
        for other in self.returned:
            is_passed = self.bench.order(other) < mine and self.bench.is_for(other, agent_id)
            require(
                not is_passed,
                "oldest_first",
                f"{other.id} returns in the same round, comes first, and the agent could take it",
                (talk.id, other.id, agent_id),
            )
        require(True, "oldest_first", "")

    def _best(self, talk: Talk, event: e.ConversationAssigned) -> None:
        ranking = self.bench.ranking(talk)
        about = (talk.id, event.agent_id, *ranking[:1])
        require(ranking[0] == event.agent_id, "best_agent", "another suits it better", about)
        named = [each.agent_id for each in event.why.runners_up]
        require(named == ranking[1 : 1 + _RUNNERS_UP], "explained", "other runners-up", about)
        excluded = self.bench.excluded(talk)
        is_told = event.why.excluded == excluded
        require(is_told, "explained", f"told {event.why.excluded}, it is {excluded}", about)

    def _queued(self, event: e.ConversationQueued) -> None:
        talk = self._talk(event.conversation_id)
        about, trigger = (talk.id, talk.owner or ""), event.why.trigger
        require(
            event.waiting_since == (talk.waits[0][0] if talk.waits else 0),
            "old_place",
            "it lost its place in the queue",
            about,
        )
        match trigger:
            case "waiting":
                require(talk.is_waiting and not talk.on_record, "limbo", "nothing waits", about)
            case "lease_lapsed":
                self._lapsed(talk)
            case "agent_offline":
                self._due(talk, "offline_return")
            case "agent_removed":
                is_gone = talk.owner is not None and talk.owner not in self.ledger.books.agents
                require(is_gone, "agent_removed", "the owner exists", about)
            case "requested":
                require(bool(talk.wishes), "wish_once", "granted, but nobody wished", about)
            case "reopened":
                self._due(talk, "wake")
                require(not talk.owner, "wake", "it has an owner, who wakes it", about)
            case "deadline":
                key = ("reassigned", talk.id, event.waiting_since)
                is_new = key not in self.ledger.deadlines
                require(is_new, "deadline_once", "reassigned twice", about)
                self._due(talk, "reassigned", "deadline")
            case "fallback":
                self._due(talk, "fallback")
                step = next_fallback(self.ledger, talk)
                is_next = step is not None and step[1] == event.team_id
                require(is_next, "fallback", "another team should be asked", about)
            case "team_removed":
                require(self.ledger.is_orphan(talk), "team_removed", "the team exists", about)
            case _:
                pass
        require(trigger in _TRIGGERS, "trigger", f"queued by {trigger}", about)

    def _lapsed(self, talk: Talk) -> None:
        about, moment = (talk.id, talk.owner or ""), self.moment
        require(bool(talk.owner and talk.lease_s), "lease", "there is no lease", about)
        person = self.ledger.person(talk.owner or AgentId(""))
        is_lying = person.received < talk.assigned <= moment.stored
        require(is_lying, "lease", "taken away although received or never given out", about)
        # Nobody is judged by a time in which the dispatcher slept (it notices that from a second on) or the store had
        # not given it out yet.
        fair_ns = moment.fair_ns - SECOND_NS
        from_ns = max(talk.assigned_ns, fair_ns, moment.given_ns.get(talk.assigned, 0))
        is_over = from_ns + talk.lease_s * SECOND_NS <= self.now_ns
        require(is_over, "lease", "taken away before the lease ended", about)

    def _due(self, talk: Talk, step: str, rule: str = "") -> None:
        due_ns = dues_of(self.ledger, talk).get(step)
        about = (talk.id, talk.owner or "")
        rule = rule or step
        require(due_ns is not None, rule, f"{step}: there is nothing to do", about)
        is_due = due_ns is not None and due_ns <= self.now_ns
        require(is_due, rule, f"{step}: acted on before it was due", about)

    def _deadline(self, event: e.DeadlineMissed | e.Escalated) -> None:
        talk, ledger = self._talk(event.conversation_id), self.ledger
        is_missed = isinstance(event, e.DeadlineMissed)
        key = acted("missed" if is_missed else "escalated", talk, event)
        require(key not in ledger.deadlines, "deadline_once", "acted on twice", (talk.id,))
        is_case = event.deadline == "resolution"
        since = talk.opened if is_case else talk.since
        is_this = event.waiting_since == since
        require(is_this, "deadline", "nobody waits for that any more", (talk.id,))
        step: str = event.deadline
        if not is_missed:
            step = "resolution_escalated" if is_case else "escalated"
        self._due(talk, step, "deadline")


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


def judged_rightly(ledger: Ledger, event: e.ConversationStarted | e.ConditionsJudged) -> None:
    """What the gateway says that page and contact meet is what they meet."""
    talk = ledger.talks[event.conversation_id]
    is_first = isinstance(event, e.ConditionsJudged) or talk.met_at == ledger.position
    is_so = not is_first or set(event.met) == talk.met
    require(is_so, "conditions", lambda: f"told {event.met}, it is {talk.met}", (talk.id,))
