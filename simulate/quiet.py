"""What must be true when the dispatcher has nothing left to say: nobody in limbo, nobody idle while somebody waits
whom they could serve, nothing overdue, and everybody who folds the log agrees."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from services.dispatcher.decide import Evidence, Settings
from services.dispatcher.decide.state import Track
from services.store.fold import State as Tables
from shared.ids import AgentId, ConversationId
from simulate.broken import require
from simulate.ledger import SECOND_NS, Ledger, Talk

_SLACK_NS = 2_000_000_000


class Watchman:
    """One account. `agenda`: when to look at a conversation again, found without the dispatcher."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self.ledger = ledger
        self.settings = settings
        self.agenda: list[tuple[int, ConversationId]] = []

    def look(
        self, now_ns: int, found: Evidence, known: Callable[[ConversationId], Track | None]
    ) -> None:
        """Judge everything that was touched or falls due."""
        ledger = self.ledger
        due = set(ledger.touched)
        ledger.touched.clear()
        while self.agenda and self.agenda[0][0] <= now_ns:
            due.add(heappop(self.agenda)[1])
        for conversation_id in sorted(due):
            talk = ledger.talks[conversation_id]
            self._agree(talk, known(conversation_id))
            if talk.phase == "resolved" and not talk.wishes:
                continue
            later_ns = self._judge(talk, now_ns, found)
            if later_ns is not None:
                heappush(self.agenda, (max(later_ns, now_ns + 1), conversation_id))
        self._nobody_idle()

    def _agree(self, talk: Talk, track: Track | None) -> None:
        if track is None:
            raise AssertionError("the dispatcher does not know a conversation")
        conversation = track.conversation
        seen = (
            conversation.agent_id,
            conversation.phase,
            conversation.unanswered,
            conversation.priority,
            track.is_queued,
        )
        mine = (talk.owner, talk.phase, _positions(talk), talk.priority, talk.on_record)
        require(seen == mine, "agree", f"dispatcher {seen}, ledger {mine}", (talk.id,))

    def _judge(self, talk: Talk, now_ns: int, found: Evidence) -> int | None:
        about = (talk.id, talk.owner or "")
        require(not talk.wishes, "wish_once", "a wish was not answered", about)
        if talk.is_waiting:
            require(talk.on_record, "limbo", "unanswered, no owner, no queue", about)
        dues = [*self._owner_dues(talk, now_ns, found), *self._wait_dues(talk)]
        for rule, due_ns in dues:
            is_due = due_ns + _SLACK_NS <= now_ns
            require(not is_due, rule, "it is overdue and nobody acts", about)
        return min((due_ns + _SLACK_NS for _, due_ns in dues), default=None)

    def _owner_dues(self, talk: Talk, now_ns: int, found: Evidence) -> list[tuple[str, int]]:
        ledger, owner = self.ledger, talk.owner
        if owner is None or talk.phase == "resolved":
            return []
        require(owner in ledger.agents, "limbo", "the owner does not exist", (talk.id, owner))
        person, policy = ledger.person(owner), ledger.policy_of(talk)
        dues = []
        if talk.lease_s and person.received < talk.assigned:
            lease_ns = talk.lease_s * SECOND_NS
            due_ns = max(talk.assigned_ns, found.fresh_ns) + lease_ns
            is_judged = found.stored >= talk.assigned
            dues.append(("lease", due_ns if is_judged else now_ns + SECOND_NS))
        if not person.devices and talk.waits and talk.phase == "active" and policy.offline_return_s:
            left_ns = max(person.left_ns, talk.assigned_ns)
            is_late_wait = talk.waits[0][0] > max(person.left, talk.assigned)
            allowed_s = 0 if is_late_wait else policy.offline_return_s
            dues.append(("offline_return", left_ns + allowed_s * SECOND_NS))
        return dues

    def _wait_dues(self, talk: Talk) -> list[tuple[str, int]]:
        policy = self.ledger.policy_of(talk)
        if talk.phase == "snoozed" and talk.until_ns:
            return [("wake", talk.until_ns)]
        if not talk.waits or talk.phase != "active" or policy.deadline_clock != "clock":
            return []
        kind = "next_response" if talk.last_answer else "first_response"
        allowed_s = policy.next_response_s if talk.last_answer else policy.first_response_s
        since, began_ns = talk.waits[0]
        if not allowed_s:
            return []
        known = self.ledger.deadlines
        if ("missed", talk.id, kind, since) not in known:
            return [("deadline", began_ns + allowed_s * SECOND_NS)]
        if ("escalated", talk.id, "response", since) not in known:
            more_s = policy.escalate_after_s or allowed_s
            return [("deadline", began_ns + (allowed_s + more_s) * SECOND_NS)]
        return []

    def _nobody_idle(self) -> None:
        ledger = self.ledger
        if not any(ledger.lines.values()):
            return
        free = [agent_id for agent_id in ledger.agents if self._is_free(agent_id)]
        if not free:
            return
        for kind, line in ledger.lines.items():
            able = ledger.able(kind) if line else frozenset()
            for agent_id in free:
                if agent_id not in able:
                    continue
                talk = next((t for t in _heads(ledger, line) if t.barred != agent_id), None)
                if talk is not None:
                    about = (talk.id, agent_id)
                    require(False, "idle", "it waits and this agent is free", about)

    def _is_free(self, agent_id: AgentId) -> bool:
        ledger = self.ledger
        person = ledger.person(agent_id)
        return (
            bool(person.devices)
            and person.availability == "online"
            and ledger.held(agent_id) < ledger.capacity(agent_id)
            and ledger.unacknowledged(agent_id) < ledger.window(agent_id, self.settings.burst)
        )


def _heads(ledger: Ledger, line: list[tuple[int, int, ConversationId]]) -> list[Talk]:
    talks = (ledger.talks[place[2]] for place in line[:20])
    return [talk for talk in talks if ledger.is_plain(talk)]


def agree_with_store(ledger: Ledger, tables: Tables, touched: set[ConversationId]) -> None:
    """What screens show is what routing decides on."""
    for conversation_id in sorted(touched):
        talk = ledger.talks[conversation_id]
        state = tables.conversations[ledger.account_id, conversation_id].state
        shown = (state.agent_id, state.phase, state.unanswered, state.priority, set(state.labels))
        mine = (talk.owner, talk.phase, _positions(talk), talk.priority, talk.labels)
        require(shown == mine, "agree", f"store {shown}, ledger {mine}", (talk.id,))


def _positions(talk: Talk) -> tuple[int, ...]:
    return tuple(position for position, _ in talk.waits)
