"""Who should get what, by the rule as the documentation states it: worked out agent by agent, without queues kept in
order, rosters or counts. One account at one moment, with what was drafted so far in the round."""

from __future__ import annotations

from collections import Counter

from services.dispatcher.decide import Settings
from shared.ids import AgentId
from simulate.books import Able
from simulate.ledger import RANK, SECOND_NS, Ledger
from simulate.talks import NEVER, Person, Talk

_FULL = ("silent", "at_capacity", "pace", "channel_full")
Score = tuple[bool, tuple[float, ...], AgentId]


class Bench:
    """See the module. `drafted`, `channels`: given in this round; `turns`: the place of the last one in the round."""

    def __init__(self, ledger: Ledger, settings: Settings, now_ns: int) -> None:
        self.ledger = ledger
        self.settings = settings
        self.now_ns = now_ns
        self.drafted: Counter[AgentId] = Counter()
        self.channels: Counter[tuple[AgentId, str]] = Counter()
        self.turns: dict[AgentId, int] = {}

    def give(self, agent_id: AgentId, talk: Talk) -> None:
        """One more is drafted."""
        self.drafted[agent_id] += 1
        self.channels[agent_id, talk.channel] += 1
        self.turns[agent_id] = NEVER + sum(self.drafted.values())

    def obstacle(self, talk: Talk, agent_id: AgentId) -> str:
        """Why the agent can't take it now; "" when they can. Skills and team are not looked at."""
        found = self.state(agent_id, talk.channel)
        return found or ("barred" if self.is_barred(talk, agent_id) else "")

    def state(self, agent_id: AgentId, channel: str) -> str:
        """Why the agent takes nothing of this channel now."""
        ledger, person = self.ledger, self.ledger.person(agent_id)
        agent = ledger.books.agents[agent_id]
        if not person.devices:
            return "offline"
        if person.availability != "online":
            return "not_available"
        if person.lapsed > person.received:
            return "silent"
        if self.held(agent_id) >= agent.capacity:
            return "at_capacity"
        waiting = ledger.unacknowledged(agent_id) + self.drafted[agent_id]
        if waiting >= ledger.window(agent_id, self.settings.burst):
            return "pace"
        limit = agent.channel_capacity.get(channel)
        if limit is not None:
            taken = ledger.held(agent_id, channel) + self.channels[agent_id, channel]
            return "channel_full" if taken >= limit else ""
        return ""

    def held(self, agent_id: AgentId) -> int:
        """What fills the agent's capacity, drafts included."""
        return self.ledger.held(agent_id) + self.drafted[agent_id]

    def is_barred(self, talk: Talk, agent_id: AgentId) -> bool:
        """Whether the agent let this wait lie or gave it back a moment ago."""
        if talk.barred != agent_id:
            return False
        if self.ledger.person(agent_id).received >= talk.barred_until:
            return False
        return self.now_ns < talk.barred_ns + self.settings.pardon_s * SECOND_NS

    def is_kept(self, talk: Talk) -> bool:
        """Whether it waits for the agent whom its contact knows, who is here and only full."""
        policy, known = self.ledger.policy_of(talk), self.known(talk)
        if known is None or not policy.prefer_previous_agent:
            return False
        if self.now_ns >= talk.since_ns + policy.previous_agent_wait_s * SECOND_NS:
            return False
        if known not in self.able(talk):
            return False
        return not self.is_barred(talk, known) and self.state(known, talk.channel) in _FULL

    def known(self, talk: Talk) -> AgentId | None:
        """Who last had a conversation of this contact."""
        return self.ledger.previous.get(self.ledger.contact_of(talk))

    def able(self, talk: Talk) -> Able:
        """Who may take it by team, skills and hours."""
        books, kind = self.ledger.books, self.ledger.kind_of(talk)
        return books.able(kind, is_closed=books.is_closed(kind, self.now_ns))

    def is_for(self, talk: Talk, agent_id: AgentId) -> bool:
        """Whether this agent could take it now, by every rule."""
        if self.ledger.policy_of(talk).strategy == "manual" or agent_id not in self.able(talk):
            return False
        return not self.obstacle(talk, agent_id) and not self.is_kept(talk)

    def ranking(self, talk: Talk) -> list[AgentId]:
        """Everybody who could take it, the best first."""
        free = [each for each in self.able(talk) if not self.obstacle(talk, each)]
        return [score[-1] for score in sorted(self._score(talk, each) for each in free)]

    def excluded(self, talk: Talk) -> dict[str, int]:
        """How many fall to which rule."""
        books, kind = self.ledger.books, self.ledger.kind_of(talk)
        is_closed = books.is_closed(kind, self.now_ns)
        counts = Counter(books.excluded(kind, is_closed=is_closed))
        for agent_id in self.able(talk):
            obstacle = self.obstacle(talk, agent_id)
            if obstacle == "barred":
                obstacle = "gave_back" if talk.barred_until == NEVER else "lease_failed"
            counts[obstacle] += 1
        return {rule: count for rule, count in counts.items() if count and rule}

    def rank(self, talk: Talk) -> int:
        """Its priority with what it has risen by waiting."""
        rank, step_s = RANK[talk.priority], self.ledger.policy_of(talk).ageing_s
        if not step_s:
            return rank
        waited_ns = max(0, self.now_ns - talk.since_ns)
        return max(0, rank - waited_ns // (step_s * SECOND_NS))

    def order(self, talk: Talk) -> tuple[int, int, str]:
        """Where it stands among everything that waits."""
        return (self.rank(talk), talk.since, talk.id)

    def _score(self, talk: Talk, agent_id: AgentId) -> Score:
        ledger = self.ledger
        policy, person = ledger.policy_of(talk), ledger.person(agent_id)
        skill, team = self.able(talk)[agent_id]
        load = self.held(agent_id) / max(1, ledger.books.agents[agent_id].capacity)
        turn, idle = self._turns(agent_id, person)
        by_strategy: dict[str, tuple[float, ...]] = {
            "round_robin": (team, turn, load, -skill),
            "longest_idle": (-skill, team, idle, load),
        }
        parts = by_strategy.get(policy.strategy, (-skill, team, load, turn))
        is_known = policy.prefer_previous_agent and self.known(talk) == agent_id
        return (not is_known, parts, agent_id)

    def _turns(self, agent_id: AgentId, person: Person) -> tuple[int, int]:
        now = self.turns.get(agent_id)
        return (now, now) if now is not None else (person.turn, person.idle)
