"""The routing rule written a second time, slowly and without any index, to compare with."""

from __future__ import annotations

from services.dispatcher.decide import Settings
from services.dispatcher.decide.state import NEVER, Agent, Office, State, Track
from shared.directory import Account
from shared.events import ConversationAssigned, ConversationQueued, RoutingEvent
from shared.ids import AccountId, AgentId, ConversationId, TeamId

_RANK = {"urgent": 0, "high": 1, "normal": 2, "low": 3}
_Score = tuple[bool, int, int, float, int, AgentId]


class Rule:
    """One account at one moment."""

    def __init__(
        self, state: State, account_id: AccountId, settings: Settings, now_ns: int
    ) -> None:
        self.office: Office = state.offices[account_id]
        self.account: Account = state.account(account_id)
        self.settings = settings
        self.now_ns = now_ns
        self.position = state.position
        self.drafted = 0
        self.held: dict[AgentId, int] = {}
        self.unacknowledged: dict[AgentId, int] = {}
        self.idle = {name: agent.last_assigned for name, agent in self.office.agents.items()}
        for track in self.office.tracks.values():
            self._count(track)

    def picks(self, decided: list[RoutingEvent]) -> list[tuple[ConversationId, AgentId]]:
        """Who gets what from the queues, after what the round decided apart from them."""
        moved = [event for event in decided if _is_apart_from_queues(event)]
        for event in moved:
            self.drafted += 1
            if isinstance(event, ConversationAssigned):
                self._give(event.agent_id)
        handled = {event.conversation_id for event in moved}
        waiting = [track for track in self.office.tracks.values() if track.is_waiting]
        waiting.sort(key=_order)
        found = []
        for track in waiting:
            conversation_id = track.conversation.conversation_id
            scores = [self._score(track, each) for each in self.account.agents]
            free = [score for score in scores if score is not None]
            if free and conversation_id not in handled:
                self.drafted += 1
                self._give(min(free)[-1])
                found.append((conversation_id, min(free)[-1]))
        return found

    def _count(self, track: Track) -> None:
        conversation = track.conversation
        owner = conversation.agent_id
        if owner is None or conversation.phase == "resolved":
            return
        self.held[owner] = self.held.get(owner, 0) + (conversation.phase == "active")
        if track.lease_s and self.office.agents[owner].received < conversation.assigned:
            self.unacknowledged[owner] = self.unacknowledged.get(owner, 0) + 1

    def _give(self, agent_id: AgentId) -> None:
        self.held[agent_id] = self.held.get(agent_id, 0) + 1
        self.unacknowledged[agent_id] = self.unacknowledged.get(agent_id, 0) + 1
        self.idle[agent_id] = self.position + self.drafted

    def _score(self, track: Track, agent_id: AgentId) -> _Score | None:
        """None for an agent who may not have it."""
        profile = self.account.agents[agent_id]
        presence = self.office.agents.get(agent_id, Agent())
        team_id = self._team(track)
        members = self.account.teams[team_id].members if team_id else {}
        needs = self._needs(track)
        held = self.held.get(agent_id, 0)
        if (
            (team_id and agent_id not in members)
            or any(profile.skills.get(skill, 0) < level for skill, level in needs.items())
            or not presence.devices
            or presence.availability != "online"
            or held >= profile.capacity
            or self.unacknowledged.get(agent_id, 0) >= self.settings.burst
            or self._is_barred(track, agent_id, presence)
        ):
            return None
        policy, _ = self.account.policy_of(track.conversation.inbox_id)
        known = self.office.previous.get(self.office.contact_of(track))
        return (
            not (policy.prefer_previous_agent and known == agent_id),
            -sum(profile.skills.get(skill, 0) for skill in needs),
            members.get(agent_id, 0),
            held / max(1, profile.capacity),
            self.idle.get(agent_id, 0),
            agent_id,
        )

    def _team(self, track: Track) -> TeamId | None:
        inbox = self.account.inboxes.get(track.conversation.inbox_id)
        last = track.conversation.team_id
        for team_id in (track.wanted_team_id, inbox.team_id if inbox else last):
            if team_id in self.account.teams:
                return team_id
        return None

    def _needs(self, track: Track) -> dict[str, int]:
        conversation = track.conversation
        inbox = self.account.inboxes.get(conversation.inbox_id)
        needs = dict(inbox.skills) if inbox else {}
        policy, _ = self.account.policy_of(conversation.inbox_id)
        speaks = f"lang:{conversation.language}"
        has_speaker = any(speaks in agent.skills for agent in self.account.agents.values())
        if conversation.language and policy.language_skills and has_speaker:
            needs.setdefault(speaks, 1)
        return needs

    def _is_barred(self, track: Track, agent_id: AgentId, presence: Agent) -> bool:
        pardon_ns = track.barred_ns + self.settings.pardon_s * 10**9
        if track.barred_agent_id != agent_id or self.now_ns >= pardon_ns:
            return False
        return track.barred_until == NEVER or presence.received < track.barred_until


def _order(track: Track) -> tuple[int, int, str]:
    conversation = track.conversation
    return (_RANK[conversation.priority], track.since, conversation.conversation_id)


def _is_apart_from_queues(event: RoutingEvent) -> bool:
    match event:
        case ConversationAssigned():
            return event.why.winner is None
        case ConversationQueued():
            return event.why.trigger != "waiting"
        case _:
            return type(event).__name__ == "AssignmentRefused"
