"""What must be true when the dispatcher has nothing left to say: nobody in limbo, nobody idle while somebody waits
whom they could serve, nothing overdue, a next look planned, and everybody who folds the log agrees."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from services.dispatcher.decide import Evidence, Settings
from services.dispatcher.decide.floor import Floor
from services.dispatcher.decide.state import Track
from services.store.fold import State as Tables
from shared.ids import ConversationId
from simulate.broken import require
from simulate.calendar import is_open, next_ns
from simulate.choice import Bench
from simulate.dues import dues_of
from simulate.ledger import SECOND_NS, Ledger
from simulate.talks import Talk

_SLACK_NS = 2_000_000_000
_RULES = {
    "first_response": "deadline",
    "next_response": "deadline",
    "reassigned": "deadline",
    "escalated": "deadline",
    "resolution": "deadline",
    "resolution_escalated": "deadline",
}


class Watchman:
    """One account. `dues`: when each conversation is to be looked at again, found without the dispatcher."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self.ledger = ledger
        self.settings = settings
        self.dues: dict[ConversationId, int] = {}
        self._agenda: list[tuple[int, ConversationId]] = []

    def look(
        self,
        now_ns: int,
        found: Evidence,
        floor: Floor,
        known: Callable[[ConversationId], Track | None],
    ) -> None:
        """Judge everything that was touched or falls due."""
        ledger = self.ledger
        due = set(ledger.touched)
        ledger.touched.clear()
        while self._agenda and self._agenda[0][0] <= now_ns:
            due.add(heappop(self._agenda)[1])
        for conversation_id in sorted(due):
            talk = ledger.talks[conversation_id]
            self._agree(talk, known(conversation_id))
            later_ns = self._judge(talk, now_ns, found, floor)
            if later_ns is None:
                self.dues.pop(conversation_id, None)
                continue
            later_ns = max(later_ns, now_ns + 1)
            if self.dues.get(conversation_id) != later_ns:
                self.dues[conversation_id] = later_ns
                heappush(self._agenda, (later_ns, conversation_id))
        self._nobody_idle(now_ns)

    def next_ns(self) -> int | None:
        """When something will be overdue that nobody has done by then."""
        agenda = self._agenda
        while agenda and self.dues.get(agenda[0][1]) != agenda[0][0]:
            heappop(agenda)
        return agenda[0][0] if agenda else None

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
            track.opened,
        )
        positions = tuple(position for position, _ in talk.waits)
        mine = (talk.owner, talk.phase, positions, talk.priority, talk.on_record, talk.opened)
        require(seen == mine, "agree", lambda: f"dispatcher {seen}, ledger {mine}", (talk.id,))
        if talk.is_waiting:
            places = (track.since, track.since_ns, talk.since, talk.since_ns)
            is_same = places[:2] == places[2:]
            require(is_same, "old_place", lambda: f"another place: {places}", (talk.id,))

    def _judge(self, talk: Talk, now_ns: int, found: Evidence, floor: Floor) -> int | None:
        ledger, about = self.ledger, (talk.id, talk.owner or "")
        require(not talk.wishes, "wish_once", "a wish was not answered", about)
        if talk.phase == "resolved":
            return None
        if talk.is_waiting:
            require(talk.on_record, "limbo", "unanswered, no owner, no queue", about)
        is_known = talk.owner is None or talk.owner in ledger.books.agents
        require(is_known, "agent_removed", "the owner does not exist", about)
        require(
            not ledger.is_orphan(talk), "team_removed", "it waits for a team that is gone", about
        )
        dues = dues_of(ledger, talk)
        if dues and talk.id not in floor.ready:
            planned_ns = floor.agenda.get(talk.id)
            is_planned = planned_ns is not None and planned_ns <= min(dues.values())
            require(is_planned, "next_action", "the dispatcher will not look in time", about)
        lease_ns = self._lease_ns(talk, found)
        if lease_ns is not None:
            dues["lease"] = lease_ns
        for step, due_ns in dues.items():
            is_done = due_ns + _SLACK_NS > now_ns
            require(is_done, _RULES.get(step, step), "overdue, and nobody acts", about)
        moments = [*dues.values(), *self._chances(talk, now_ns)]
        return min(moments) + _SLACK_NS if moments else None

    def _chances(self, talk: Talk, now_ns: int) -> list[int]:
        """When an agent may be asked again, or it is no longer kept for one: somebody may get it then."""
        if not talk.is_waiting:
            return []
        again_ns = talk.barred_ns + self.settings.pardon_s * SECOND_NS if talk.barred else 0
        wait_s = self.ledger.policy_of(talk).previous_agent_wait_s
        policy = self.ledger.policy_of(talk)
        moments = [again_ns, talk.since_ns + wait_s * SECOND_NS if wait_s else 0]
        if policy.outside_hours == "wait" and policy.hours is not None:
            is_now = is_open(policy.hours, now_ns)
            moments.append(next_ns(policy.hours, now_ns, is_open_then=not is_now) or 0)
        return [each for each in moments if each + _SLACK_NS > now_ns]

    def _lease_ns(self, talk: Talk, found: Evidence) -> int | None:
        if talk.owner is None or not talk.lease_s or found.stored < talk.assigned:
            return None
        if self.ledger.person(talk.owner).received >= talk.assigned:
            return None
        return max(talk.assigned_ns, found.fresh_ns) + talk.lease_s * SECOND_NS

    def _nobody_idle(self, now_ns: int) -> None:
        ledger = self.ledger
        if not ledger.lines:
            return
        # Two seconds back, so that who is asked again and what is kept no longer have had their moment.
        bench = Bench(ledger, self.settings, now_ns - _SLACK_NS)
        now = Bench(ledger, self.settings, now_ns)
        agents = ledger.books.agents
        free = [each for each in agents if not bench.state(each, "")]
        if not free:
            return
        for (kind, _), line in ledger.lines.items():
            able = now.able(ledger.talks[line[0][1]])
            for agent_id in free:
                if agent_id not in able or bench.state(agent_id, kind.channel):
                    continue
                talks = (ledger.talks[place[1]] for place in line)
                fits = (t for t in talks if now.is_for(t, agent_id) and bench.is_for(t, agent_id))
                talk = next(fits, None)
                about = (talk.id, agent_id) if talk is not None else ()
                require(talk is None, "idle", "it waits and this agent is free", about)


def agree_with_store(ledger: Ledger, tables: Tables, touched: set[ConversationId]) -> None:
    """What screens show is what routing decides on."""
    for conversation_id in sorted(touched):
        talk = ledger.talks[conversation_id]
        state = tables.conversations[ledger.account_id, conversation_id].state
        shown = (state.agent_id, state.phase, state.unanswered, state.priority, set(state.labels))
        positions = tuple(position for position, _ in talk.waits)
        mine = (talk.owner, talk.phase, positions, talk.priority, talk.labels)
        is_same = shown == mine
        require(
            is_same, "agree", f"store {shown}, ledger {mine}" if not is_same else "", (talk.id,)
        )
        is_theirs = state.contact_id == ledger.contact_of(talk)
        require(is_theirs, "merged", "the store has it with another contact", (talk.id,))


def agree_about_answers(ledger: Ledger, answers: dict[int, bool]) -> None:
    """`answers`: what the store tells of each, whether it crossed a colleague's."""
    for position, is_crossed in ledger.crossed.items():
        is_told = answers.get(position) == is_crossed
        require(is_told, "crossed", f"the answer at {position} was told otherwise")
    ledger.crossed.clear()
